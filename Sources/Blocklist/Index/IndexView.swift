import Wire

/// The sections of a compiled index, borrowed from the `IndexImage` that owns their memory.
///
/// Looking up costs one cache line a suffix: a line of 64 bytes holds the fingerprints of about 32 names, and only a
/// fingerprint that fits leads to the name itself, which is compared symbol by symbol. So an answer is always exact.
/// Nothing here allocates, and a view is integers and pointers only.
@safe
struct IndexView: @unchecked Sendable {
    /// Where a name was found: the class (list, allow or deny, exact or suffix) and the line.
    struct Hit {
        var list: Int32
        var line: Int32
        var kind: EntryKind
    }

    /// Names a line has room for; fuller lines are marked `crowded`, their names are all compared.
    static let fingerprints = 52
    static let crowded: UInt8 = 255
    static let lineSize = 64

    let seed: UInt64
    /// All ones, but in tests that want collisions.
    let mask: UInt64
    let names: Int
    private let depths: (low: UInt64, high: UInt64)
    private let lineCount: UInt64
    private let lines: UnsafeRawPointer
    private let texts: UnsafeRawPointer
    private let words: UnsafePointer<UInt64>
    private let lengths: UnsafePointer<UInt8>
    private let sources: UnsafeRawPointer
    private let sourceBits: UInt64
    private let classes: UnsafeRawPointer
    private let classCount: Int
    private let allowedPrefixes: PrefixTable
    private let deniedPrefixes: PrefixTable

    /// - Parameter base: the first byte of an index whose checksum is right.
    init(_ header: IndexHeader, _ base: UnsafeRawPointer) {
        seed = header.seed
        mask = header.hashMask
        names = Int(header.names)
        depths = (header.depthsLow, header.depthsHigh)
        lineCount = header.lines
        unsafe lines = base + Int(header.linesAt)
        unsafe texts = base + Int(header.namesAt)
        unsafe words = (base + Int(header.symbolsAt)).assumingMemoryBound(to: UInt64.self)
        unsafe lengths = (base + Int(header.symbolsAt) + 256 * 8).assumingMemoryBound(to: UInt8.self)
        unsafe sources = base + Int(header.sourcesAt)
        sourceBits = header.sourceBits
        unsafe classes = base + Int(header.classesAt)
        classCount = Int(header.classes)
        unsafe allowedPrefixes = PrefixTable(base + Int(header.allowedPrefixesAt))
        unsafe deniedPrefixes = PrefixTable(base + Int(header.deniedPrefixesAt))
    }

    /// Whether any name of this many labels (1 to 127) is listed.
    @inline(__always)
    func lists(depth: Int) -> Bool {
        let word = depth < 64 ? depths.low : depths.high
        return word >> UInt64(depth & 63) & 1 != 0
    }

    /// Finds a name.
    ///
    /// - Parameters:
    ///   - hash: `NameHash.value` of the name, of this view's seed.
    ///   - text: the name as text; eight bytes behind it must be readable and the first of them 0.
    ///   - whole: whether this is the whole query name, so that exact rules apply.
    @inline(__always)
    func find(_ hash: UInt64, _ text: UnsafeRawPointer, _ count: Int, whole: Bool) -> Hit? {
        let (line, rest) = (hash & mask).multipliedFullWidth(by: lineCount)
        let base = unsafe lines + Int(line) * IndexView.lineSize
        let ends = unsafe UInt64(base.load(fromByteOffset: 8, as: UInt32.self))
        if ends >> 24 == UInt64(IndexView.crowded) { return unsafe search(base, text, count, whole) }
        let run = (rest >> 62) * 8
        let end = Int(ends >> run & 0xFF)
        var at = Int((ends << 8) >> run & 0xFF)
        let pattern = (rest >> 54 & 0xFF) &* 0x0101_0101_0101_0101
        while at < end {
            let word = unsafe UInt64(littleEndian: (base + 12 + at).loadUnaligned(as: UInt64.self)) ^ pattern
            // The high bit of every byte of `word` that is zero.
            var hits = ~((word & 0x7F7F_7F7F_7F7F_7F7F &+ 0x7F7F_7F7F_7F7F_7F7F) | word | 0x7F7F_7F7F_7F7F_7F7F)
            if end - at < 8 { hits &= (1 << UInt64(8 * (end - at))) - 1 }
            while hits != 0 {
                let ordinal = at + hits.trailingZeroBitCount >> 3
                if let hit = unsafe check(base, ordinal, text, count, whole) { return hit }
                hits &= hits - 1
            }
            at += 8
        }
        return nil
    }

    /// Compares every name of a crowded line.
    private func search(_ base: UnsafeRawPointer, _ text: UnsafeRawPointer, _ count: Int, _ whole: Bool) -> Hit? {
        let first = unsafe base.load(as: UInt32.self)
        let total = unsafe Int(base.load(fromByteOffset: IndexView.lineSize, as: UInt32.self) - first)
        let group = unsafe texts + Int(base.load(fromByteOffset: 4, as: UInt32.self))
        var codes = unsafe group + total
        for ordinal in 0..<total {
            let length = unsafe Int(group.load(fromByteOffset: ordinal, as: UInt8.self))
            if unsafe equal(codes, length, text, count), let hit = hit(Int(first) + ordinal, whole) { return hit }
            unsafe codes += length
        }
        return nil
    }

    /// Compares one name of a line, counted from its first.
    private func check(
        _ base: UnsafeRawPointer, _ ordinal: Int, _ text: UnsafeRawPointer, _ count: Int, _ whole: Bool
    ) -> Hit? {
        let first = unsafe base.load(as: UInt32.self)
        let total = unsafe Int(base.load(fromByteOffset: IndexView.lineSize, as: UInt32.self) - first)
        let group = unsafe texts + Int(base.load(fromByteOffset: 4, as: UInt32.self))
        var before = total
        for index in 0..<ordinal { before += unsafe Int(group.load(fromByteOffset: index, as: UInt8.self)) }
        let length = unsafe Int(group.load(fromByteOffset: ordinal, as: UInt8.self))
        guard unsafe equal(group + before, length, text, count) else { return nil }
        return hit(Int(first) + ordinal, whole)
    }

    @inline(__always)
    private func equal(_ codes: UnsafeRawPointer, _ length: Int, _ text: UnsafeRawPointer, _ count: Int) -> Bool {
        var at = 0
        for index in 0..<length {
            let code = unsafe Int(codes.load(fromByteOffset: index, as: UInt8.self))
            let size = unsafe Int(lengths[code])
            // Symbols hold no zero byte, so a comparison never runs past the zero behind the text.
            let word = unsafe UInt64(littleEndian: (text + at).loadUnaligned(as: UInt64.self))
            if unsafe (word ^ words[code]) << UInt64(64 - 8 * size) != 0 { return false }
            at += size
        }
        return at == count
    }

    /// Where the name of an ordinal comes from; nil when its rule is exact or below and does not apply.
    private func hit(_ ordinal: Int, _ whole: Bool) -> Hit? {
        let bit = UInt64(ordinal) * sourceBits
        let word = unsafe (sources + Int(bit >> 3)).loadUnaligned(as: UInt64.self)
        let hit = origin(word >> (bit & 7) & (1 << sourceBits - 1))
        return hit.kind.contains(whole ? .below : .exact) ? nil : hit
    }

    /// Different prefixes of the lists.
    var prefixes: Int { allowedPrefixes.count + deniedPrefixes.count }

    /// The longest prefix that holds an address, of the allow lists or of the deny lists.
    func longestPrefix(_ address: IPAddress, isAllowed: Bool) -> Hit? {
        (isAllowed ? allowedPrefixes : deniedPrefixes).longest(address).map { origin(UInt64($0.source)) }
    }

    /// The class and line that a source number stands for.
    private func origin(_ source: UInt64) -> Hit {
        var low = 0
        var high = classCount
        while high - low > 1 {
            let middle = (low + high) / 2
            if unsafe classes.load(fromByteOffset: middle * 24, as: UInt64.self) <= source {
                low = middle
            } else {
                high = middle
            }
        }
        let record = unsafe classes + low * 24
        let kind = unsafe EntryKind(
            rawValue: UInt8(truncatingIfNeeded: record.load(fromByteOffset: 12, as: UInt32.self)))
        let line = unsafe source - record.load(as: UInt64.self)
        let list = unsafe record.load(fromByteOffset: 8, as: Int32.self)
        return Hit(list: list, line: Int32(truncatingIfNeeded: line), kind: kind)
    }
}
