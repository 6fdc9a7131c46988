/// The hash of a name, built label by label from the root, so that one backward pass over a query name gives the hash
/// of each of its suffixes.
///
/// A label is taken eight bytes at a time through a 64 × 64 → 128 bit multiplication folded to 64 bits, in two lanes that
/// share nothing but the label. Listed names are not stored: the first lane says where a name would be and eight bits of
/// what stands there, the second lane gives 48 more.
struct NameHash {
    private var first: UInt64
    private var second: UInt64

    /// - Parameter seed: random for each database, so that no list can be written to collide.
    @inline(__always)
    init(seed: UInt64) {
        first = seed
        second = NameHash.fold(seed ^ 0x8EBC_6AF0_9C88_C6E3, 0x5895_58CB_7F4A_7C15)
    }

    @inline(__always)
    private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    /// Puts one more label before the name hashed so far.
    ///
    /// - Parameters:
    ///   - label: its first byte; eight bytes from its last one must be readable.
    ///   - count: 1 to 63.
    @inline(__always)
    mutating func prepend(_ label: UnsafeRawPointer, _ count: Int) {
        var (one, two) = (first, second)
        var rest = count
        var next = unsafe label
        while rest > 8 {
            let word = unsafe UInt64(littleEndian: next.loadUnaligned(as: UInt64.self))
            one = NameHash.fold(one ^ word, 0x9E37_79B9_7F4A_7C15)
            two = NameHash.fold(two ^ word, 0xC2B2_AE3D_27D4_EB4F)
            unsafe next += 8
            rest -= 8
        }
        let word = unsafe UInt64(littleEndian: next.loadUnaligned(as: UInt64.self)) << UInt64(64 - 8 * rest)
        // The label's length is part of the multiplier: "ab" + "c" and "a" + "bc" differ, and so do a dot inside a label
        // and the dot between two.
        let length = UInt64(count)
        first = NameHash.fold(one ^ word, 0xD6E8_FEB8_6659_FD93 &+ length &* 0x2545_F491_4F6C_DD1E)
        second = NameHash.fold(two ^ word, 0x9FB2_1C65_1E98_DF25 &+ length &* 0x1B87_3593_CC9E_2D52)
    }

    /// Where the name so far belongs.
    @inline(__always)
    var place: UInt64 {
        NameHash.fold(first ^ 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB)
    }

    /// What tells it from other names there: `checkBits` bits.
    @inline(__always)
    var check: UInt64 {
        NameHash.fold(second ^ 0x8BB8_4B93_962E_ACC9, 0x4B33_A62E_D433_D4A3) >> UInt64(64 - NameHash.checkBits)
    }

    static let checkBits = 48
}
