import CTunnel
import Wire

/// An entry of the kernel's connection tracking as ctnetlink tells it (`<linux/netfilter/nfnetlink_conntrack.h>`).
///
/// Reading allocates nothing. Numbers come in network byte order.
struct TrackedEntry {
    /// In the direction of the first packet that was seen, and what answers have. With NAT they differ.
    var original: FlowKey?
    var reply: FlowKey?
    var mark = TrackMark.none
    /// `enum tcp_conntrack`; 0 of other protocols.
    var state: UInt8 = 0
    /// `IPS_*`.
    var status: UInt32 = 0
    /// Seconds until it is forgotten without another packet.
    var remaining: UInt32 = 0
    var packetsOriginal: UInt64 = 0
    var bytesOriginal: UInt64 = 0
    var packetsReply: UInt64 = 0
    var bytesReply: UInt64 = 0
    /// Nanoseconds since 1970; 0: not kept.
    var start: UInt64 = 0
    var stop: UInt64 = 0

    var isClosed: Bool { state == 7 || state == 8 }
    /// More than a question and its answer (`IPS_ASSURED`).
    var isAssured: Bool { status & 4 != 0 }

    /// - Parameter body: behind the netlink header.
    init(_ body: ArraySlice<UInt8>) {
        NetlinkAttributes.walk(body.dropFirst(4)) { type, value in
            switch type {
            case 1: original = TrackedEntry.tuple(value)
            case 2: reply = TrackedEntry.tuple(value)
            case 3: status = UInt32(truncatingIfNeeded: TrackedEntry.number(value))
            case 4:
                NetlinkAttributes.walk(value) { type, value in
                    guard type == 1 else { return }
                    NetlinkAttributes.walk(value) { type, value in
                        if type == 1 { state = UInt8(truncatingIfNeeded: TrackedEntry.number(value)) }
                    }
                }
            case 7: remaining = UInt32(truncatingIfNeeded: TrackedEntry.number(value))
            case 8: mark = TrackMark(of: UInt32(truncatingIfNeeded: TrackedEntry.number(value)))
            case 9: (packetsOriginal, bytesOriginal) = TrackedEntry.pair(value)
            case 10: (packetsReply, bytesReply) = TrackedEntry.pair(value)
            case 20: (start, stop) = TrackedEntry.pair(value)
            default: break
            }
        }
    }

    /// Two numbers, the attributes 1 and 2.
    private static func pair(_ bytes: ArraySlice<UInt8>) -> (UInt64, UInt64) {
        var pair: (UInt64, UInt64) = (0, 0)
        NetlinkAttributes.walk(bytes) { type, value in
            if type == 1 { pair.0 = number(value) }
            if type == 2 { pair.1 = number(value) }
        }
        return pair
    }

    /// `CTA_TUPLE_*` as the key of a flow in that direction.
    private static func tuple(_ bytes: ArraySlice<UInt8>) -> FlowKey? {
        var source: IPAddress?
        var destination: IPAddress?
        var ports: (UInt16, UInt16) = (0, 0)
        var proto: UInt8 = 0
        var (identifier, kind): (UInt16, UInt8) = (0, 0)
        NetlinkAttributes.walk(bytes) { type, value in
            NetlinkAttributes.walk(value) { inner, value in
                switch (type, inner) {
                case (1, 1), (1, 3): source = address(value)
                case (1, 2), (1, 4): destination = address(value)
                case (2, 1): proto = UInt8(truncatingIfNeeded: number(value))
                case (2, 2): ports.0 = UInt16(truncatingIfNeeded: number(value))
                case (2, 3): ports.1 = UInt16(truncatingIfNeeded: number(value))
                case (2, 4), (2, 7): identifier = UInt16(truncatingIfNeeded: number(value))
                case (2, 5), (2, 8): kind = UInt8(truncatingIfNeeded: number(value))
                default: break
                }
            }
        }
        guard let source, let destination else { return nil }
        // An echo has its identifier on the side that asks.
        if proto == 1 || proto == 58 { ports = kind == 0 || kind == 129 ? (0, identifier) : (identifier, 0) }
        return FlowKey(
            source: source, sourcePort: ports.0, destination: destination, destinationPort: ports.1, proto: proto)
    }

    private static func address(_ bytes: ArraySlice<UInt8>) -> IPAddress? {
        switch bytes.count {
        case 4: IPAddress(v4: UInt32(truncatingIfNeeded: number(bytes)))
        case 16: IPAddress(high: number(bytes.prefix(8)), low: number(bytes.suffix(8)))
        default: nil
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        var value: UInt64 = 0
        var at = bytes.startIndex
        while at < bytes.endIndex {
            value = value << 8 | UInt64(bytes[at])
            at += 1
        }
        return value
    }
}
