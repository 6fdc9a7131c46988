/// The hash of a name, built label by label from the root, so that one backward pass over a query name gives the hash
/// of each of its suffixes.
///
/// A label is taken eight bytes at a time through a 64 × 64 → 128 bit multiplication folded to 64 bits. Collisions
/// cost time only: every match is confirmed by comparing names.
struct NameHash {
    private(set) var state: UInt64

    /// - Parameter seed: random for each database, so that no list can be written to collide.
    @inline(__always)
    init(seed: UInt64) {
        state = seed
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
        var hash = state
        var rest = count
        var next = unsafe label
        while rest > 8 {
            let word = unsafe UInt64(littleEndian: next.loadUnaligned(as: UInt64.self))
            hash = NameHash.fold(hash ^ word, 0x9E37_79B9_7F4A_7C15)
            unsafe next += 8
            rest -= 8
        }
        let word = unsafe UInt64(littleEndian: next.loadUnaligned(as: UInt64.self)) << UInt64(64 - 8 * rest)
        // The label's length is part of the multiplier: "ab" + "c" and "a" + "bc" differ.
        state = NameHash.fold(hash ^ word, 0xD6E8_FEB8_6659_FD93 &+ UInt64(count) &* 0x2545_F491_4F6C_DD1E)
    }

    /// The hash of the name so far.
    @inline(__always)
    var value: UInt64 {
        NameHash.fold(state ^ 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB)
    }
}
