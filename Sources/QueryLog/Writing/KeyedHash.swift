internal import Wire

/// A fast hash of bytes under a key of this process, so that foreign names cannot be chosen to collide: 128-bit products
/// folded to 64 bits, eight bytes at a time. Not for anything that leaves the process.
enum KeyedHash {
    private static let key = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max) | 1)

    static func hash(_ bytes: RawSpan, seed: UInt64 = 0) -> UInt64 {
        let count = bytes.byteCount
        let (first, second) = key
        var state = mix(first ^ UInt64(truncatingIfNeeded: count) ^ seed, second)
        var at = 0
        while at + 8 <= count {
            state = mix(state ^ bytes.u64(at), second)
            at += 8
        }
        if at < count {
            var rest: UInt64 = 0
            if count >= 8 {
                // The last eight bytes, some of them again.
                rest = bytes.u64(count - 8)
            } else {
                while at < count {
                    rest = rest << 8 | UInt64(bytes.u8(at))
                    at += 1
                }
            }
            state = mix(state ^ rest, second)
        }
        return mix(state ^ first, second &+ 0x9e37_79b9_7f4a_7c15)
    }

    /// One more word into a hash.
    @inline(__always)
    static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
