/// Writes the IP and UDP headers around a payload (RFC 768, RFC 791, RFC 8200).
public enum UDPDatagram {
    /// Bytes of both headers.
    @inlinable
    public static func headerByteCount(isIPv6: Bool) -> Int {
        isIPv6 ? 48 : 28
    }

    /// Writes the headers in front of `payloadByteCount` bytes which stand at `headerByteCount(isIPv6:)`, both checksums
    /// included.
    ///
    /// - Returns: the length of the packet in bytes.
    @inlinable
    public static func compose(
        _ out: inout MutableRawSpan, from source: IPAddress, port sourcePort: UInt16, to destination: IPAddress,
        port destinationPort: UInt16, payloadByteCount: Int
    ) -> Int {
        let isIPv6 = source.isIPv6
        let udp = isIPv6 ? 40 : 20
        let length = 8 + payloadByteCount
        if isIPv6 {
            out.put32(0, 0x6000_0000)
            out.put16(4, UInt16(truncatingIfNeeded: length))
            out.put16(6, UInt16(Packet.Number.udp) << 8 | 64)
            source.compose(into: &out, at: 8)
            destination.compose(into: &out, at: 24)
        } else {
            out.put32(0, 0x4500_0000 | UInt32(truncatingIfNeeded: 20 + length))
            out.put32(4, 0)
            out.put32(8, 0x4000_0000 | UInt32(Packet.Number.udp) << 16)
            source.compose(into: &out, at: 12)
            destination.compose(into: &out, at: 16)
            out.put16(10, ~Checksum.fold(Checksum.sum(out.bytes.part(0, 20))))
        }
        out.put16(udp, sourcePort)
        out.put16(udp + 2, destinationPort)
        out.put16(udp + 4, UInt16(truncatingIfNeeded: length))
        out.put16(udp + 6, 0)
        let pseudo = Checksum.pseudoHeader(source, destination, Packet.Number.udp, length: length)
        let checksum = ~Checksum.fold(Checksum.sum(out.bytes.part(udp, length), pseudo))
        out.put16(udp + 6, checksum == 0 ? 0xffff : checksum)
        return udp + length
    }
}
