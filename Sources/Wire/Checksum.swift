/// The ones' complement checksum of IPv4, UDP, TCP and ICMP (RFC 1071), as 64-bit partial sums of 16-bit words.
public enum Checksum {
    /// The unfolded sum of the bytes as big-endian 16-bit words; an odd last byte is padded with zero.
    @inlinable
    public static func sum(_ bytes: RawSpan, _ initial: UInt64 = 0) -> UInt64 {
        var sum = initial
        var at = 0
        let count = bytes.byteCount
        while at + 4 <= count {
            sum &+= UInt64(bytes.u32(at))
            at += 4
        }
        if at + 2 <= count {
            sum &+= UInt64(bytes.u16(at))
            at += 2
        }
        if at < count {
            sum &+= UInt64(bytes.u8(at)) << 8
        }
        return sum
    }

    /// The sum folded to 16 bits, not complemented.
    @inlinable
    public static func fold(_ sum: UInt64) -> UInt16 {
        var folded = (sum >> 32) + (sum & 0xffff_ffff)
        folded = (folded >> 32) + (folded & 0xffff_ffff)
        folded = (folded >> 16) + (folded & 0xffff)
        folded = (folded >> 16) + (folded & 0xffff)
        folded = (folded >> 16) + (folded & 0xffff)
        return UInt16(truncatingIfNeeded: folded)
    }

    /// The sum of the address words.
    @inlinable
    public static func sum(_ address: IPAddress) -> UInt64 {
        (address.high >> 32) + (address.high & 0xffff_ffff) + (address.low >> 32) + (address.low & 0xffff_ffff)
    }

    /// The sum of the pseudo-header of RFC 768, RFC 9293 section 3.1 and RFC 8200 section 8.1.
    ///
    /// - Parameter length: bytes of the transport header and payload.
    @inlinable
    public static func pseudoHeader(_ from: IPAddress, _ to: IPAddress, _ proto: UInt8, length: Int) -> UInt64 {
        sum(from) &+ sum(to) &+ UInt64(proto) &+ UInt64(length)
    }

    /// A checksum field after words that summed to `old` became words that sum to `new` (RFC 1624, equation 3).
    ///
    /// For a complemented checksum. A partial checksum (virtio `NEEDS_CSUM`) is not complemented: see `adjustPartial`.
    @inlinable
    public static func adjust(_ checksum: UInt16, old: UInt64, new: UInt64) -> UInt16 {
        ~fold(UInt64(~checksum) &+ UInt64(~fold(old)) &+ UInt64(fold(new)))
    }

    /// As `adjust`, for a field that holds the folded pseudo-header sum, not complemented, which the sender's device or
    /// the kernel completes (`struct virtio_net_hdr` with `VIRTIO_NET_HDR_F_NEEDS_CSUM`).
    @inlinable
    public static func adjustPartial(_ partial: UInt16, old: UInt64, new: UInt64) -> UInt16 {
        fold(UInt64(partial) &+ UInt64(~fold(old)) &+ UInt64(fold(new)))
    }
}
