/// Which names of two labels have listed names below them: a bitmap with a bit for each hash, six to twelve bits for each
/// such name, so that about one name in ten that has none seems to.
///
/// Most names that are asked for are below a name that has nothing to do with any list: for them a look-up ends here.
struct ParentFilter {
    /// Labels of a parent.
    static let depth = 2
    /// Of the places of parents the upper half, as they came, many of them more than once.
    private var places: [UInt32] = []

    private static let leastBits = 9
    /// 16 MB.
    static let mostBits = 27

    /// - Parameter place: `NameHash.place` of a name of two labels above a listed one.
    @inline(__always)
    mutating func add(_ place: UInt64) {
        let upper = UInt32(place >> 32)
        if places.last != upper { places.append(upper) }
    }

    /// The bitmap, and how many bits of a place count in it.
    consuming func finish() -> (words: [UInt64], bits: Int) {
        let fine = min(ParentFilter.mostBits, ParentFilter.bits(for: places.count * 16))
        var words = [UInt64](repeating: 0, count: 1 << (fine - 6))
        for place in places {
            let bit = Int(place >> UInt32(32 - fine))
            words[bit >> 6] |= 1 << UInt64(bit & 63)
        }
        let different = words.reduce(0) { $0 + $1.nonzeroBitCount }
        let bits = min(fine, ParentFilter.bits(for: different * 12))
        return (ParentFilter.fold(words, by: fine - bits), bits)
    }

    /// The largest number of bits whose combinations are no more than so many, within the limits.
    private static func bits(for count: Int) -> Int {
        max(leastBits, count.bitWidth - 1 - max(1, count).leadingZeroBitCount)
    }

    /// Makes one bit of each 2^`steps` neighbours: set when any of them is.
    private static func fold(_ words: [UInt64], by steps: Int) -> [UInt64] {
        guard steps > 0 else { return words }
        var folded = [UInt64](repeating: 0, count: words.count >> steps)
        for (index, word) in words.enumerated() where word != 0 {
            var rest = word
            while rest != 0 {
                let bit = (index << 6 | rest.trailingZeroBitCount) >> steps
                folded[bit >> 6] |= 1 << UInt64(bit & 63)
                rest &= rest - 1
            }
        }
        return folded
    }
}
