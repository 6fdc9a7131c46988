public import Kernel
public import Wire

/// One query as the engine knows it when it has answered: integers only, so that writing it down costs a copy.
///
/// The names that go with it (the qname, the answer) travel beside it as bytes; see `QueryRing.push`. Any thread.
public struct QueryRow: Sendable, Equatable {
    /// When the query arrived: microseconds since 1970 in UTC.
    public var time: Int64 = 0
    /// Who asked; the unspecified address when not known.
    public var client = IPAddress(v4: 0)
    public var transport = Transport.udp
    public var verdict = Verdict.forward
    public var reason = Reason.none
    /// How the rule matched.
    public var match = Match.none
    /// Labels of the matched name, a suffix of the qname (exact and suffix matches).
    public var labels: UInt8 = 0
    /// Whether the answer came from the cache.
    public var cached = false
    public var dnssec = DNSSEC.none
    /// The server that gave the answer; the unspecified address when none was asked.
    public var upstream = IPAddress(v4: 0)
    public var upstreamPort: UInt16 = 53
    public var qtype: UInt16 = 0
    /// The response code of the answer, 12 bits (RFC 6891 section 6.1.3); -1 when no answer was given.
    public var rcode: Int16 = -1
    /// The resolver that the client asked, at port 53; the unspecified address when not known.
    public var resolver = IPAddress(v4: 0)
    /// The port that the client asked from; 0 when not known.
    public var clientPort: UInt16 = 0
    /// ifindex of the link the query was captured on; -1 when not known.
    public var link: Int32 = -1
    /// The list of `blocklist.db` that decided; 0 for a user rule, -1 for none.
    public var list: Int32 = -1
    /// The user rule's id, or the line in the list; -1 for none.
    public var rule: Int32 = -1
    /// Microseconds from the query's arrival to its answer; -1 when no answer was given.
    public var latency: Int32 = -1
    /// Identical queries that the row stands for; the writer adds them up when there are very many.
    public var count: UInt32 = 1
    /// Who asked. When it is not known, the log's writer asks `LogLabels.owner`.
    public var owner = Owner.unknown

    @inlinable
    public init() {}

    public enum Transport: UInt8, Sendable {
        case udp, tcp
    }

    /// The raw values of `Blocklist.Verdict.Action`: nothing matched, allowed by a rule, blocked by a rule.
    public enum Verdict: UInt8, Sendable {
        case forward, allow, block
    }

    /// The raw values of `Blocklist.Verdict.Match`.
    public enum Match: UInt8, Sendable {
        case none, exact, suffix, regex
    }

    /// Why the query was answered as it was.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// Nothing to say: no rule matched.
        case none
        /// A list decided.
        case list
        /// A rule of the user decided.
        case rule
        /// A CNAME in the answer led to a blocked name.
        case cname
        /// A local record answered, or the name is of a zone that is never forwarded.
        case record
        /// Filtering was paused.
        case paused
        /// The message was broken (FORMERR), of an unsupported kind (NOTIMP), or not served (REFUSED).
        case malformed
        case unsupported
        case refused
        /// No upstream answered (SERVFAIL).
        case failed
        /// Too many queries were waiting.
        case overload
        /// The name is of a resolver that would go around the filter, or asks whether one may be used.
        case bypass
        /// The safe search of a search engine is enforced.
        case safesearch
    }

    /// What is known of the answer's authenticity.
    public enum DNSSEC: UInt8, Sendable {
        /// There is no upstream's answer.
        case none
        /// An upstream's answer that nobody vouches for.
        case unchecked
        /// What validation said (RFC 4033 section 5); `secure` when the upstream set AD (RFC 6840 section 5.8).
        case secure, insecure, bogus, indeterminate
    }
}
