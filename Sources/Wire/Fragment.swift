/// What a fragment says of itself (RFC 791 section 3.1, RFC 8200 section 4.5).
public struct Fragment: Equatable, Sendable {
    /// The one with the transport header.
    public let isFirst: Bool
    /// 16 bits in IPv4, 32 in IPv6: the same for all fragments of a packet.
    public let identification: UInt32
    /// The ports of a first fragment of UDP or TCP that has them; 0 else.
    public let sourcePort: UInt16
    public let destinationPort: UInt16

    /// - Parameters:
    ///   - bytes: the packet, from its IP header on.
    ///   - packet: what `Packet.parse` made of it; of kind `fragment`.
    @inlinable
    public init(_ bytes: RawSpan, _ packet: Packet) {
        if packet.isIPv6 {
            // The transport header is taken to stand right behind the fragment header.
            isFirst = bytes.u16(packet.transport - 6) & 0xfff8 == 0
            identification = bytes.u32(packet.transport - 4)
        } else {
            isFirst = bytes.u16(6) & 0x1fff == 0
            identification = UInt32(bytes.u16(4))
        }
        let hasPorts =
            isFirst && (packet.proto == Packet.Number.udp || packet.proto == Packet.Number.tcp)
            && packet.transport + 4 <= packet.end
        sourcePort = hasPorts ? bytes.u16(packet.transport) : 0
        destinationPort = hasPorts ? bytes.u16(packet.transport + 2) : 0
    }
}
