/// Where the parts of a table of prefixes are, by the numbers of its runs. Offsets count from the table's start, which
/// is a multiple of 64; integers are little-endian.
///
/// ```
///   head       128 bytes of u64: see `Word`
///   buckets    65,537 × u32: the first IPv4 run of each /16 (absent without IPv4 runs)
///   starts4    u16 each: the lower half of the run's first address
///   facts4     packed, 6 bits of length and a source each
///   fences     16 bytes each: the first address of every 64th IPv6 run
///   highs      u64 each: the upper half of the run's first address
///   lows       u64 each: the lower half
///   facts6     packed, 8 bits of length and a source each
/// ```
struct PrefixLayout {
    static let headSize = 128
    /// The words of the head: numbers of runs and prefixes, bits of a source, and the places of the parts.
    enum Word: Int {
        case runs4, runs6, prefixes, sourceBits, starts4, facts4, fences, fenceCount, highs, lows, facts6
    }

    /// IPv6 runs between two fences.
    static let block = 64
    static let lengthBits4 = 6
    static let lengthBits6 = 8

    let runs4: Int
    let runs6: Int
    let sourceBits: Int
    let starts4: Int
    let facts4: Int
    let fences: Int
    let fenceCount: Int
    let highs: Int
    let lows: Int
    let facts6: Int
    /// Bytes of the whole table.
    let size: Int

    init(runs4: Int, runs6: Int, sourceBits: Int) {
        self.runs4 = runs4
        self.runs6 = runs6
        self.sourceBits = sourceBits
        func aligned(_ place: Int) -> Int { (place + 63) & ~63 }
        // Packed facts are read eight bytes at a time.
        func packed(_ count: Int, _ bits: Int) -> Int { (count * bits + 7) / 8 + 8 }
        starts4 = aligned(PrefixLayout.headSize + (runs4 == 0 ? 0 : 65_537 * 4))
        facts4 = aligned(starts4 + runs4 * 2)
        fences = aligned(facts4 + packed(runs4, PrefixLayout.lengthBits4 + sourceBits))
        fenceCount = (runs6 + PrefixLayout.block - 1) / PrefixLayout.block
        highs = aligned(fences + fenceCount * 16)
        lows = highs + runs6 * 8
        facts6 = lows + runs6 * 8
        size = aligned(facts6 + packed(runs6, PrefixLayout.lengthBits6 + sourceBits))
    }

    func head(prefixes: Int) -> [(word: Word, value: Int)] {
        [
            (.runs4, runs4), (.runs6, runs6), (.prefixes, prefixes), (.sourceBits, sourceBits), (.starts4, starts4),
            (.facts4, facts4), (.fences, fences), (.fenceCount, fenceCount), (.highs, highs), (.lows, lows),
            (.facts6, facts6),
        ]
    }
}
