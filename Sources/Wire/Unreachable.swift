/// "Destination unreachable, communication administratively prohibited": what a filter answers to a packet that it does not
/// let pass and that is no TCP segment (RFC 792; RFC 1812 section 5.2.7.1; RFC 4443 section 3.1).
public enum Unreachable {
    /// Bytes of the answer at most: RFC 1812 section 4.3.2.3 for IPv4, RFC 4443 section 2.4 for IPv6.
    @inlinable
    public static func limit(isIPv6: Bool) -> Int { isIPv6 ? 1280 : 576 }

    /// Composes the answer to the packet's sender, as from the address it was sent to.
    ///
    /// - Parameters:
    ///   - out: room for `limit` bytes.
    ///   - bytes: the packet, from its IP header on.
    ///   - packet: what `Packet.parse` made of it.
    /// - Returns: the bytes of the answer; 0 for what no ICMP error may answer (RFC 1122 section 3.2.2, RFC 4443
    ///   section 2.4): an ICMP error, a fragment that is not the first, a packet to or from a group or no address.
    public static func compose(into out: inout MutableRawSpan, answering bytes: RawSpan, _ packet: Packet) -> Int {
        guard mayAnswer(bytes, packet) else { return 0 }
        let isIPv6 = packet.isIPv6
        let at = isIPv6 ? 40 : 20
        let quoted = min(packet.end, Unreachable.limit(isIPv6: isIPv6) - at - 8)
        let length = 8 + quoted
        if isIPv6 {
            out.put32(0, 0x6000_0000)
            out.put16(4, UInt16(truncatingIfNeeded: length))
            out.put16(6, UInt16(Packet.Number.icmpv6) << 8 | 64)
        } else {
            out.put32(0, 0x4500_0000 | UInt32(truncatingIfNeeded: 20 + length))
            out.put32(4, 0)
            out.put32(8, 64 << 24 | UInt32(Packet.Number.icmp) << 16)
        }
        packet.destination.compose(into: &out, at: isIPv6 ? 8 : 12)
        packet.source.compose(into: &out, at: isIPv6 ? 24 : 16)
        if !isIPv6 { out.put16(10, ~Checksum.fold(Checksum.sum(out.bytes.part(0, 20)))) }
        // Type 3 code 13, or type 1 code 1; no checksum yet.
        out.put32(at, isIPv6 ? 0x0101_0000 : 0x030d_0000)
        out.put32(at + 4, 0)
        out.put(at + 8, bytes.part(0, quoted))
        let pseudo =
            isIPv6
            ? Checksum.pseudoHeader(packet.destination, packet.source, Packet.Number.icmpv6, length: length) : 0
        out.put16(at + 2, ~Checksum.fold(Checksum.sum(out.bytes.part(at, length), pseudo)))
        return at + length
    }

    private static func mayAnswer(_ bytes: RawSpan, _ packet: Packet) -> Bool {
        if packet.source.isUnspecified || packet.source.isMulticastOrBroadcast { return false }
        if packet.destination.isMulticastOrBroadcast { return false }
        switch packet.kind {
        case .malformed: return false
        case .fragment: return Fragment(bytes, packet).isFirst
        case .icmp: return !isError(bytes, packet)
        case .tcp, .udp, .other: return true
        }
    }

    /// Whether an ICMP message tells of an error (RFC 1122 section 3.2.2, RFC 4443 section 2.1): such belong to the flow that
    /// they quote.
    ///
    /// - Parameter packet: of kind `icmp`.
    @inlinable
    public static func isError(_ bytes: RawSpan, _ packet: Packet) -> Bool {
        let type = bytes.u8(packet.transport)
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        return packet.isIPv6 ? type < 128 : type == 3 || type == 4 || type == 5 || type == 11 || type == 12
    }
}
