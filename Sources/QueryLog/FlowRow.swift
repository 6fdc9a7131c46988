public import Kernel
public import Wire

/// One flow as the flow engine knows it, in integers: what the log writes of it is a copy into the ring.
///
/// A flow is told of when it is judged, and with the same `flow` number when it ends; in between, a long one may be counted
/// as often as the engine likes. The name travels beside the row as bytes; see `QueryRing.push`. Any thread.
public struct FlowRow: Sendable, Equatable {
    /// The engine's number of the flow: never 0, never used twice between start and stop.
    public var flow: UInt64 = 0
    /// When its first packet was seen: microseconds since 1970 in UTC.
    public var time: Int64 = 0
    /// Who began it; the unspecified address when not known.
    public var client = IPAddress(v4: 0)
    public var event = Event.judged
    /// The protocol number of the IP header (IANA "Protocol Numbers"): 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    public var proto: UInt8 = 0
    public var verdict = Verdict.allow
    public var reason = Reason.none
    public var nameSource = NameSource.none
    /// How the rule matched the flow's name; none when it matched the address, or nothing did.
    public var match = QueryRow.Match.none
    /// Labels of the matched name, a suffix of the flow's name (exact and suffix matches).
    public var labels: UInt8 = 0
    /// Whom it was for.
    public var remote = IPAddress(v4: 0)
    /// The port of the client and that of the remote; 0 for protocols without ports.
    public var clientPort: UInt16 = 0
    public var port: UInt16 = 0
    /// ifindex of the link it was captured on; -1 when not known.
    public var link: Int32 = -1
    /// The list of `blocklist.db` that decided; 0 for a user rule, -1 for none.
    public var list: Int32 = -1
    /// The user rule's id, or the line in the list; -1 for none.
    public var rule: Int32 = -1
    public var owner = Owner.unknown
    /// Packets and bytes (from the IP header on) so far, both directions.
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    /// Microseconds from the first packet to the last; -1 when not known yet.
    public var duration: Int64 = -1

    @inlinable
    public init() {}

    /// What the row tells.
    public enum Event: UInt8, Sendable {
        /// The flow has a verdict: a row appears in the log. A flow that is judged again and otherwise gets another row.
        case judged
        /// It goes on; packets, bytes and duration are those so far.
        case counted
        /// It is over; packets, bytes and duration are final. All other fields are as they were when it was judged.
        case ended
    }

    public enum Verdict: UInt8, Sendable {
        case allow, drop
    }

    /// Where the name comes from.
    public enum NameSource: UInt8, Sendable {
        case none
        /// A DNS answer that webtun gave this client.
        case dns
        /// The ClientHello of TLS, the same with encrypted parts (its outer name), QUIC, and the Host of HTTP/1.
        case sni, ech, quic, http
    }

    /// Why the verdict is what it is.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// Nothing matched: the default.
        case none
        /// A list decided, by name or address.
        case list
        /// A rule of the user decided.
        case rule
        /// It would have gone around the filter: DNS over TLS, HTTPS or QUIC.
        case bypass
        /// Filtering was paused.
        case paused
        /// No name was found within the limits: the default.
        case unnamed
        /// Too many flows were waiting for their names.
        case overload
    }
}
