/// A 64-bit checksum against torn, truncated and rotten files: four lanes of multiply and rotate over 32-byte blocks.
/// It is no protection against someone who can write the file.
struct Checksum {
    private var lanes: (UInt64, UInt64, UInt64, UInt64) = (
        0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5
    )
    private var length: UInt64 = 0

    /// Takes bytes in. Every call but the last must bring a multiple of 32 bytes.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        assert(length % 32 == 0)
        length += UInt64(bytes.count)
        guard var next = bytes.baseAddress else { return }
        var (a, b, c, d) = lanes
        let whole = bytes.count / 32
        for _ in 0..<whole {
            unsafe a = Checksum.mix(a, next.loadUnaligned(as: UInt64.self))
            unsafe b = Checksum.mix(b, next.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            unsafe c = Checksum.mix(c, next.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            unsafe d = Checksum.mix(d, next.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
            unsafe next += 32
        }
        for offset in whole * 32..<bytes.count { a = unsafe Checksum.mix(a, UInt64(bytes[offset])) }
        lanes = (a, b, c, d)
    }

    var value: UInt64 {
        var sum = length
        for lane in [lanes.0, lanes.1, lanes.2, lanes.3] { sum = Checksum.mix(sum, lane ^ lane >> 29) }
        return sum ^ sum >> 32
    }

    @inline(__always)
    private static func mix(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        let product = (lane ^ UInt64(littleEndian: word)) &* 0x9FB2_1C65_1E98_DF25
        return product << 23 | product >> 41
    }
}
