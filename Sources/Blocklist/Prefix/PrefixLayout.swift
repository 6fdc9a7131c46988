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
///   outers     12 bytes each, by source: a source, that of the next prefix around it or equal to it, its length u32
/// ```
struct PrefixLayout {
    static let headSize = 128
    /// The words of the head: numbers of runs and prefixes, bits of a source, and the places of the parts.
    enum Word: Int {
        case runs4, runs6, prefixes, sourceBits, starts4, facts4, fences, fenceCount, highs, lows, facts6, outers,
            outerCount
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
    let outers: Int
    let outerCount: Int
    static let outerSize = 12
    /// Bytes of the whole table.
    let size: Int

    init(runs4: Int, runs6: Int, sourceBits: Int, outerCount: Int) {
        self.runs4 = runs4
        self.runs6 = runs6
        self.sourceBits = sourceBits
        self.outerCount = outerCount
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
        outers = aligned(facts6 + packed(runs6, PrefixLayout.lengthBits6 + sourceBits))
        size = aligned(outers + outerCount * PrefixLayout.outerSize)
    }

    func head(prefixes: Int) -> [(word: Word, value: Int)] {
        [
            (.runs4, runs4), (.runs6, runs6), (.prefixes, prefixes), (.sourceBits, sourceBits), (.starts4, starts4),
            (.facts4, facts4), (.fences, fences), (.fenceCount, fenceCount), (.highs, highs), (.lows, lows),
            (.facts6, facts6), (.outers, outers), (.outerCount, outerCount),
        ]
    }
}

extension PrefixLayout {
    /// What is wrong with the parts of a table that a look-up follows without looking; nil: nothing.
    ///
    /// - Parameters:
    ///   - base: the table, aligned to 8 bytes.
    ///   - room: readable bytes; `headSize` or more.
    @unsafe
    static func problem(_ base: UnsafeRawPointer, room: Int) -> String? {
        func word(_ word: Word) -> Int {
            // A number that is too large for a file is wrong whatever it stands for.
            Int(clamping: unsafe base.load(fromByteOffset: word.rawValue * 8, as: UInt64.self))
        }
        let most = 1 << 33
        for count in [Word.runs4, .runs6, .prefixes, .outerCount] where word(count) > most {
            return "a table of prefixes is longer than can be"
        }
        guard 1...32 ~= word(.sourceBits) else { return "a table of prefixes has sources of \(word(.sourceBits)) bits" }
        let layout = PrefixLayout(
            runs4: word(.runs4), runs6: word(.runs6), sourceBits: word(.sourceBits), outerCount: word(.outerCount))
        for (place, value) in layout.head(prefixes: word(.prefixes)) where word(place) != value {
            return "the parts of a table of prefixes are not where they belong"
        }
        guard layout.size <= room else { return "a table of prefixes is longer than the file" }
        guard layout.runs4 > 0 else { return nil }
        var last = 0
        for bucket in 0...65_536 {
            let run = unsafe Int(base.load(fromByteOffset: headSize + bucket * 4, as: UInt32.self))
            guard run >= last, run <= layout.runs4 else { return "a table of prefixes has a bucket that is not there" }
            last = run
        }
        return nil
    }
}
