public import Wire

/// Decides what becomes of a packet that reached the tunnel and is no DNS.
///
/// Sans-I/O: bytes in, an action out. One thread. Nothing allocates.
public struct FlowEngine: Sendable {
    public enum Action: Equatable, Sendable {
        /// The packet leaves as the application sent it, with the virtio header it came with.
        case forward
        /// The packet gave way to an answer of so many bytes, which goes into the TUN with a plain virtio header.
        case reply(byteCount: Int)
        case drop(Reason)
    }

    /// Why a packet is dropped.
    public enum Reason: UInt8, CaseIterable, Sendable {
        /// Not IP, or its lengths contradict each other.
        case malformed
        /// A fragment: the query it is a part of cannot be judged, so it must not leave.
        case fragment
        /// For a group, all hosts or a link-local address: nothing that leaves the TUN, where nobody else is. Such are
        /// the kernel's own announcements.
        case linkScope
        /// For the peer address, where pings are answered and connections refused, and nothing else.
        case peer
    }

    /// What was decided since the start, in packets.
    public struct Counters: Sendable {
        public var forwarded: UInt64 = 0
        public var replied: UInt64 = 0
        /// By `Reason`.
        fileprivate(set) var dropped = [4 of UInt64](repeating: 0)

        public subscript(reason: Reason) -> UInt64 { dropped[Int(reason.rawValue)] }
    }

    private let peer4: IPAddress
    private let peer6: IPAddress
    public private(set) var counters = Counters()

    /// - Parameters:
    ///   - peer4: the far address of the TUN, which answers pings.
    ///   - peer6: the same for IPv6.
    public init(peer4: IPAddress, peer6: IPAddress) {
        self.peer4 = peer4
        self.peer6 = peer6
    }

    /// - Parameters:
    ///   - bytes: the packet, from its IP header on; an answer is composed in its place.
    ///   - packet: what `Packet.parse` made of it.
    public mutating func decide(_ bytes: inout MutableRawSpan, _ packet: Packet) -> Action {
        let action = judge(&bytes, packet)
        switch action {
        case .forward: counters.forwarded += 1
        case .reply: counters.replied += 1
        case .drop(let reason): counters.dropped[Int(reason.rawValue)] += 1
        }
        return action
    }

    private func judge(_ bytes: inout MutableRawSpan, _ packet: Packet) -> Action {
        switch packet.kind {
        case .malformed: return .drop(.malformed)
        case .fragment: return .drop(.fragment)
        case .udp, .tcp, .icmp, .other: break
        }
        if packet.destination == (packet.isIPv6 ? peer6 : peer4) { return answer(&bytes, packet) }
        if packet.destination.isMulticastOrBroadcast || packet.destination.isLinkLocal { return .drop(.linkScope) }
        return .forward
    }

    /// What the peer address says: pings are answered, connections refused.
    private func answer(_ bytes: inout MutableRawSpan, _ packet: Packet) -> Action {
        switch packet.kind {
        case .icmp where Echo.composeReply(into: &bytes, answering: packet):
            return .reply(byteCount: packet.end)
        case .tcp:
            let count = Segment.composeReset(into: &bytes, answering: packet)
            return count > 0 ? .reply(byteCount: count) : .drop(.peer)
        default:
            return .drop(.peer)
        }
    }
}
