import Glibc

/// Random integers of the kernel's CSPRNG (`getentropy(3)`), fetched 256 bytes at a time: IDs, letter cases and the choice
/// of a socket must not be predictable from earlier ones (RFC 5452 section 9.2).
///
/// One thread; no allocation.
struct UpstreamRandom {
    private static let words = 32
    private var pool = InlineArray<32, UInt64>(repeating: 0)
    private var left = 0

    mutating func next() -> UInt64 {
        if left == 0 { refill() }
        left -= 1
        let word = pool[left]
        pool[left] = 0
        return word
    }

    /// A number below `bound`, a power of two or far below 2⁶⁴ (the bias is then not measurable).
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next() % UInt64(bound))
    }

    private mutating func refill() {
        let result = unsafe withUnsafeMutableBytes(of: &pool) { bytes in
            guard let base = bytes.baseAddress else { return CInt(-1) }
            return unsafe getentropy(base, bytes.count)
        }
        precondition(result == 0, "the kernel gives no random bytes")
        left = UpstreamRandom.words
    }
}
