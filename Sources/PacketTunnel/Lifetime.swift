public import Wire

/// The TTL or hop limit of packets that the kernel is to forward as if webtun were not there.
public enum Lifetime {
    /// Raises it by one, as the kernel's forwarding takes one away. 255 stays, and leaves as 254.
    ///
    /// - Parameters:
    ///   - bytes: the packet, from its IP header on. IPv4's header checksum is adjusted (RFC 1624).
    ///   - packet: what `Packet.parse` made of it; not malformed.
    @inlinable
    public static func raise(_ bytes: inout MutableRawSpan, _ packet: Packet) {
        let at = packet.isIPv6 ? 7 : 8
        let lifetime = bytes.bytes.u8(at)
        guard lifetime < 255 else { return }
        let old = packet.isIPv6 ? 0 : bytes.get16(8)
        bytes.put8(at, lifetime + 1)
        guard !packet.isIPv6 else { return }
        bytes.put16(10, Checksum.adjust(bytes.get16(10), old: UInt64(old), new: UInt64(bytes.get16(8))))
    }
}
