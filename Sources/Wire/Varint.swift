/// Unsigned integers in 7-bit groups, least significant first, each byte but the last with its top bit set: the "varint"
/// of Protocol Buffers (Encoding, "Base 128 Varints").
public enum Varint {
    /// Appends the 1 to 10 bytes of `value`.
    @inlinable
    public static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// Reads the integer at `offset` and moves `offset` behind it; nil when it is cut off or longer than 64 bits.
    @inlinable
    public static func read(_ bytes: RawSpan, _ offset: inout Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.byteCount, shift < 64 {
            let byte = bytes.u8(offset)
            offset += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return shift == 63 && byte > 1 ? nil : value }
            shift += 7
        }
        return nil
    }
}
