import Wire

/// Answers to pings (RFC 792, RFC 4443 section 4.2), composed in place.
enum Echo {
    /// Makes the reply of an echo request: addresses swapped, type changed, checksums adjusted by the difference, so that
    /// a damaged request stays damaged.
    ///
    /// - Parameter packet: what `Packet.parse` made of the bytes; of kind `icmp`.
    /// - Returns: false when the packet is no echo request; it is unchanged then.
    static func composeReply(into bytes: inout MutableRawSpan, answering packet: Packet) -> Bool {
        let (request, reply): (UInt16, UInt16) = packet.isIPv6 ? (128 << 8, 129 << 8) : (8 << 8, 0)
        let at = packet.transport
        guard bytes.get16(at) == request else { return false }
        bytes.put16(at, reply)
        bytes.put16(at + 2, Checksum.adjust(bytes.get16(at + 2), old: UInt64(request), new: UInt64(reply)))
        packet.destination.compose(into: &bytes, at: packet.isIPv6 ? 8 : 12)
        packet.source.compose(into: &bytes, at: packet.isIPv6 ? 24 : 16)
        if packet.isIPv6 {
            bytes.put8(7, 64)
        } else {
            let lifetime = UInt64(bytes.get16(8))
            bytes.put8(8, 64)
            bytes.put16(10, Checksum.adjust(bytes.get16(10), old: lifetime, new: UInt64(bytes.get16(8))))
        }
        return true
    }
}
