import Kernel
import Wire

/// How entries of connection tracking are read as records of flows: it counts seconds until it forgets, where webtun wants to
/// know when a packet was last seen.
struct TrackedView {
    /// Nanoseconds, monotonic.
    let now: UInt64
    /// Nanoseconds from the monotonic clock to the wall clock.
    let offset: UInt64
    let timeouts: TrackingTimeouts

    /// - Parameter isReversed: the far side began, or its first packet was the first that was seen.
    func record(_ entry: TrackedEntry, isReversed: Bool, _ epoch: UInt32) -> FlowRecord {
        let began = entry.start > offset ? min(entry.start - offset, now) : 0
        var seen = now
        if entry.stop > offset { seen = min(entry.stop - offset, now) }
        seen -= min(seen, timeouts.silence(of: entry) * 1_000_000_000)
        var ends: FlowRecord.Ends = entry.isClosed || entry.stop != 0 ? [.finOut, .finIn] : []
        if entry.state == 8 { ends = .reset }
        return FlowRecord(
            ifindex: 0, isServed: false, isAllowed: entry.mark == TrackMark(epoch: epoch), cookie: 0, began: began,
            lastSeen: max(seen, began), packetsOut: isReversed ? entry.packetsReply : entry.packetsOriginal,
            bytesOut: isReversed ? entry.bytesReply : entry.bytesOriginal,
            packetsIn: isReversed ? entry.packetsOriginal : entry.packetsReply,
            bytesIn: isReversed ? entry.bytesOriginal : entry.bytesReply, ends: ends)
    }
}

extension TrackedEntry {
    /// The flow as webtun reads it from the TUN, and whether that is the direction of the answers.
    func flow(_ own: AddressTable) -> (FlowKey, isReversed: Bool)? {
        guard let original, let reply else { return nil }
        if own.isOwn(original.destination), !own.isOwn(reply.destination) { return (original.reversed, true) }
        return (reply.reversed, false)
    }
}

/// After how many seconds of silence connection tracking forgets (the kernel's nf_conntrack-sysctl).
struct TrackingTimeouts {
    /// Of TCP by state, `enum tcp_conntrack`.
    private let tcp: [UInt64]
    /// While data is not acknowledged, or sent again.
    private let waiting: UInt64
    private let udp: UInt64
    private let stream: UInt64
    private let icmp: UInt64
    private let icmpv6: UInt64
    private let generic: UInt64

    /// As they are set now.
    init() {
        func setting(_ name: String, _ usual: UInt64) -> UInt64 {
            Change.read(Change.settings + "netfilter/nf_conntrack_" + name).flatMap { UInt64($0) } ?? usual
        }
        func state(_ name: String, _ usual: UInt64) -> UInt64 { setting("tcp_timeout_" + name, usual) }
        tcp = [
            0, state("syn_sent", 120), state("syn_recv", 60), state("established", 432_000), state("fin_wait", 120),
            state("close_wait", 60), state("last_ack", 30), state("time_wait", 120), state("close", 10),
            state("syn_sent", 120),
        ]
        waiting = max(state("max_retrans", 300), state("unacknowledged", 300))
        udp = setting("udp_timeout", 30)
        stream = setting("udp_timeout_stream", 120)
        icmp = setting("icmp_timeout", 30)
        icmpv6 = setting("icmpv6_timeout", 30)
        generic = setting("generic_timeout", 600)
    }

    /// Seconds since the entry's last packet.
    func silence(of entry: TrackedEntry) -> UInt64 {
        let remaining = UInt64(entry.remaining)
        let whole: UInt64 =
            switch entry.original?.proto {
            case Packet.Number.tcp:
                entry.state == 3 && remaining <= waiting ? waiting : tcp[min(Int(entry.state), tcp.count - 1)]
            case Packet.Number.udp: entry.isAssured ? stream : udp
            case Packet.Number.icmp: icmp
            case Packet.Number.icmpv6: icmpv6
            default: generic
            }
        return whole > remaining ? whole - remaining : 0
    }
}
