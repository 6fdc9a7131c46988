import Wire

/// The sections of a compiled index, borrowed from the `IndexImage` that owns their memory.
///
/// Looking up costs one cache line a suffix: a line of 64 bytes holds the fingerprints of about 34 names. A fingerprint
/// that fits leads to the name's record: 48 more bits of its hash, and the number of the set of classes that list it.
/// Nothing here allocates, and a view is integers and pointers only.
@safe
struct IndexView: @unchecked Sendable {
    /// Entries of one list that do the same.
    struct Class {
        /// Its number in the index.
        var number: Int
        /// The list's id; in the overlay the rule's.
        var list: Int32
        /// The list's place in the bitmaps of profiles; in the overlay that of the rule's group.
        var slot: UInt16
        var kind: EntryKind
    }

    /// The classes that list a name, in their order of precedence.
    struct Row {
        fileprivate var at: Int
        /// 1 or more.
        var count: Int
        /// `at` is the one class, not the place of a row.
        fileprivate var isOne: Bool
    }

    /// Names a line has room for; fuller lines are marked `crowded`, their names are all compared.
    static let fingerprints = 56
    static let crowded: UInt8 = 255
    static let lineSize = 64
    /// Readable bytes behind the last line, so that no byte in a line can lead out of the index.
    static let lineSlack = 320
    /// Readable bytes behind the last record.
    static let recordSlack = 16
    /// In a set: what follows is the place of a row, not a class.
    static let several: UInt32 = 1 << 31
    /// The bits of `NameHash.place` that count; `IndexBuilder.Record` needs the others.
    static let placeMask: UInt64 = ~0xFF_FFFF
    static let checkMask: UInt64 = 1 << UInt64(NameHash.checkBits) - 1

    let seed: UInt64
    let names: Int
    let classCount: Int
    private let mask: UInt64
    private let depths: (low: UInt64, high: UInt64)
    private let lineCount: UInt64
    private let lines: UnsafeRawPointer
    private let records: UnsafeRawPointer
    private let recordBits: Int
    private let setMask: UInt64
    private let sets: UnsafeRawPointer
    private let setCount: Int
    private let members: UnsafeRawPointer
    private let parents: UnsafeRawPointer
    private let parentBits: UInt64
    private let classes: UnsafeRawPointer
    /// The patterns of the lists; their tags are classes.
    let patterns: PatternTable.View
    private let allowedPrefixes: PrefixTable
    private let deniedPrefixes: PrefixTable

    /// - Parameters:
    ///   - base: the first byte of an index that `IndexCheck` found right.
    ///   - lines: a copy of its lines, `linesSize(header)` bytes; nil: those of the index.
    init(_ header: IndexHeader, _ base: UnsafeRawPointer, lines copy: UnsafeRawPointer? = nil) {
        seed = header.seed
        mask = header.hashMask & IndexView.placeMask
        names = Int(header.names)
        depths = (header.depthsLow, header.depthsHigh)
        lineCount = header.lines
        unsafe lines = copy ?? base + Int(header.linesAt)
        unsafe records = base + Int(header.recordsAt)
        recordBits = NameHash.checkBits + Int(header.setBits)
        setMask = 1 << header.setBits - 1
        unsafe sets = base + Int(header.setsAt)
        setCount = Int(header.sets)
        unsafe members = base + Int(header.membersAt)
        unsafe parents = base + Int(header.parentsAt)
        parentBits = header.parentBits
        unsafe classes = base + Int(header.classesAt)
        classCount = Int(header.classes)
        unsafe patterns = PatternTable.View(base + Int(header.patternsAt))
        unsafe allowedPrefixes = PrefixTable(base + Int(header.allowedPrefixesAt))
        unsafe deniedPrefixes = PrefixTable(base + Int(header.deniedPrefixesAt))
    }

    /// Bytes of the lines, those behind the last included.
    static func linesSize(_ header: IndexHeader) -> Int {
        (Int(header.lines) + 1) * lineSize + lineSlack
    }

    /// Whether any name of this many labels (1 to 127) is listed.
    @inline(__always)
    func lists(depth: Int) -> Bool {
        let word = depth < 64 ? depths.low : depths.high
        return word >> UInt64(depth & 63) & 1 != 0
    }

    /// Whether a name of two labels may have listed names below it; `false` is sure.
    ///
    /// - Parameter place: `NameHash.place`, of this view's seed.
    @inline(__always)
    func hasBelow(_ place: UInt64) -> Bool {
        let bit = place >> (64 - parentBits)
        let word = unsafe parents.load(fromByteOffset: Int(bit >> 6) * 8, as: UInt64.self)
        return word >> (bit & 63) & 1 != 0
    }

    /// The first word of the line where a name of this hash would be, which brings the line into the cache.
    ///
    /// - Parameter place: `NameHash.place`, of this view's seed.
    @inline(__always)
    func head(_ place: UInt64) -> UInt64 {
        let line = (place & mask).multipliedFullWidth(by: lineCount).high
        return unsafe (lines + Int(line) * IndexView.lineSize).load(as: UInt64.self)
    }

    /// Finds a name. Returns the number of its set, or -1.
    ///
    /// - Parameters:
    ///   - head: what `head` gave for the place.
    ///   - check: `NameHash.check`.
    @inline(__always)
    func find(_ place: UInt64, head: UInt64, check: UInt64) -> Int {
        let (line, rest) = (place & mask).multipliedFullWidth(by: lineCount)
        let base = unsafe lines + Int(line) * IndexView.lineSize
        let ends = head >> 32
        if ends >> 24 == UInt64(IndexView.crowded) { return unsafe search(base, check) }
        let run = (rest >> 62) * 8
        let end = Int(ends >> run & 0xFF)
        var at = Int((ends << 8) >> run & 0xFF)
        let pattern = (rest >> 54 & 0xFF) &* 0x0101_0101_0101_0101
        // Sixteen at once, whatever the run's length: nearly every run has no more, so there is no branch to guess.
        repeat {
            let one = unsafe IndexView.zeros((base + 8 + at).loadUnaligned(as: UInt64.self) ^ pattern)
            let two = unsafe IndexView.zeros((base + 16 + at).loadUnaligned(as: UInt64.self) ^ pattern)
            let left = end - at
            // A bit for every byte that fits: those of `one` at 8i + 7, those of `two` at 8i + 3.
            var hits = one & (1 << (8 * left) &- 1) | (two & (1 << (8 * max(0, left - 8)) &- 1)) >> 4
            while hits != 0 {
                let bit = hits.trailingZeroBitCount
                let ordinal = at + bit >> 3 + (bit & 7 == 7 ? 0 : 8)
                let set = record(Int(head & 0xFFFF_FFFF) + ordinal, check)
                if set >= 0 { return set }
                hits &= hits - 1
            }
            at += 16
        } while at < end
        return -1
    }

    /// The high bit of every byte that is zero.
    @inline(__always)
    private static func zeros(_ word: UInt64) -> UInt64 {
        let word = UInt64(littleEndian: word)
        return ~((word & 0x7F7F_7F7F_7F7F_7F7F &+ 0x7F7F_7F7F_7F7F_7F7F) | word | 0x7F7F_7F7F_7F7F_7F7F)
    }

    /// Compares every record of a crowded line.
    private func search(_ base: UnsafeRawPointer, _ check: UInt64) -> Int {
        let first = unsafe Int(base.load(as: UInt32.self))
        let end = unsafe Int(base.load(fromByteOffset: IndexView.lineSize, as: UInt32.self))
        var ordinal = first
        while ordinal < end {
            let set = record(ordinal, check)
            if set >= 0 { return set }
            ordinal += 1
        }
        return -1
    }

    /// The set of a record when its check is this one, else -1.
    @inline(__always)
    private func record(_ ordinal: Int, _ check: UInt64) -> Int {
        guard ordinal < names else { return -1 }
        let bit = ordinal * recordBits
        let word = unsafe (records + bit >> 3).loadUnaligned(as: UInt64.self)
        guard word >> UInt64(bit & 7) & IndexView.checkMask == check else { return -1 }
        let behind = bit + NameHash.checkBits
        let rest = unsafe (records + behind >> 3).loadUnaligned(as: UInt32.self)
        let set = Int(UInt64(rest) >> UInt64(behind & 7) & setMask)
        return set < setCount ? set : -1
    }

    // MARK: Classes

    /// The classes of a set that `find` gave.
    @inline(__always)
    func row(_ set: Int) -> Row {
        let word = unsafe sets.load(fromByteOffset: set * 4, as: UInt32.self)
        if word & IndexView.several == 0 { return Row(at: Int(word), count: 1, isOne: true) }
        let place = Int(word & ~IndexView.several)
        let count = unsafe Int(members.load(fromByteOffset: place * 4, as: UInt32.self))
        return Row(at: place + 1, count: count, isOne: false)
    }

    /// - Parameter index: from 0, less than the row's count.
    @inline(__always)
    subscript(row: Row, index: Int) -> Class {
        if row.isOne { return self[row.at] }
        return self[unsafe Int(members.load(fromByteOffset: (row.at + index) * 4, as: UInt32.self))]
    }

    /// A class by its number, which must be less than `classCount`.
    @inline(__always)
    subscript(number: Int) -> Class {
        let word = unsafe classes.load(fromByteOffset: number * IndexClass.size, as: UInt64.self)
        return Class(
            number: number, list: Int32(truncatingIfNeeded: word), slot: UInt16(truncatingIfNeeded: word >> 32),
            kind: EntryKind(rawValue: UInt8(truncatingIfNeeded: word >> 48)))
    }

    // MARK: Addresses

    /// Where an address was found: the class and the line.
    struct PrefixHit {
        var of: Class
        var line: Int32
    }

    /// Different prefixes of the lists.
    var prefixes: Int { allowedPrefixes.count + deniedPrefixes.count }

    /// The longest prefix that holds an address, of the allow lists or of the deny lists in force.
    func longestPrefix(_ address: IPAddress, isAllowed: Bool, _ inForce: Profiles.Slots) -> PrefixHit? {
        let table = isAllowed ? allowedPrefixes : deniedPrefixes
        guard var hit = table.longest(address) else { return nil }
        for _ in 0...table.outerCount {
            let origin = origin(hit.source)
            if inForce.contains(origin.of.slot) { return origin }
            guard let outer = table.outer(hit.source) else { return nil }
            hit = outer
        }
        return nil
    }

    /// The class and line that the source number of a prefix stands for.
    private func origin(_ source: UInt32) -> PrefixHit {
        var low = 0
        var high = classCount
        while high - low > 1 {
            let middle = (low + high) / 2
            if base(middle) <= source { low = middle } else { high = middle }
        }
        return PrefixHit(of: self[low], line: Int32(truncatingIfNeeded: source &- base(low)))
    }

    /// The first source number of a class's prefixes.
    @inline(__always)
    private func base(_ number: Int) -> UInt32 {
        unsafe classes.load(fromByteOffset: number * IndexClass.size + 8, as: UInt32.self)
    }
}
