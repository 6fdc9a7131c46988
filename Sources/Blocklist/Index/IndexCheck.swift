/// Looks at everything in an index that a lookup follows without looking: afterwards no bytes, whatever they are, lead
/// out of the index's memory. Cold path; it reads the small sections, not the lines and records, which lookups bound
/// themselves.
@safe
struct IndexCheck {
    private let header: IndexHeader
    private let base: UnsafeRawPointer
    private let size: UInt64
    private let path: String

    /// - Parameters:
    ///   - base: `size` bytes, aligned to 64.
    /// - Throws: `BlocklistError.indexCorrupt` with what is wrong.
    @unsafe
    static func check(
        _ header: IndexHeader, _ base: UnsafeRawPointer, size: Int, path: String
    ) throws(BlocklistError) {
        let check = unsafe IndexCheck(header: header, base: base, size: UInt64(size), path: path)
        try check.sections()
        try check.classes()
        try check.sets()
        try check.patterns()
        try check.parents()
        try check.prefixes(header.allowedPrefixesAt)
        try check.prefixes(header.deniedPrefixesAt)
    }

    @unsafe
    private init(header: IndexHeader, base: UnsafeRawPointer, size: UInt64, path: String) {
        self.header = header
        unsafe self.base = unsafe base
        self.size = size
        self.path = path
    }

    private func require(_ holds: Bool, _ what: String) throws(BlocklistError) {
        guard holds else { throw .indexCorrupt(path, what) }
    }

    /// A section of so many parts lies within the file, at a multiple of `alignment`.
    private func section(
        _ at: UInt64, _ count: UInt64, bytes: UInt64, _ alignment: UInt64, _ what: String
    ) throws(BlocklistError) {
        let (length, overflow) = count.multipliedReportingOverflow(by: bytes)
        try require(
            !overflow && at >= UInt64(IndexHeader.size) && at % alignment == 0 && at <= size && length <= size - at,
            "\(what) are not within the file")
    }

    private func sections() throws(BlocklistError) {
        try section(header.classesAt, header.classes, bytes: UInt64(IndexClass.size), 8, "the classes")
        try section(header.textsAt, header.textsSize, bytes: 1, 1, "the texts")
        try section(header.setsAt, header.sets, bytes: 4, 4, "the sets")
        try section(header.membersAt, header.members, bytes: 4, 4, "the members of sets")
        try require(header.lines >= 1 && header.lines <= UInt64(UInt32.max), "there are no lines")
        let lines = header.lines * UInt64(IndexView.lineSize) + UInt64(IndexView.lineSize + IndexView.lineSlack)
        try section(header.linesAt, lines, bytes: 1, UInt64(IndexView.lineSize), "the lines")
        try require(header.setBits <= 24 && header.names <= UInt64(UInt32.max), "the records are too long")
        let bits = header.names * (UInt64(NameHash.checkBits) + header.setBits)
        try section(header.recordsAt, (bits + 7) / 8 + UInt64(IndexView.recordSlack), bytes: 1, 1, "the records")
    }

    private func parents() throws(BlocklistError) {
        try require(
            9...UInt64(ParentFilter.mostBits) ~= header.parentBits, "the parents have \(header.parentBits) bits")
        try section(header.parentsAt, 1 << (header.parentBits - 3), bytes: 1, 8, "the parents")
    }

    private func word(_ section: UInt64, _ index: Int) -> UInt32 {
        unsafe base.load(fromByteOffset: Int(section) + index * 4, as: UInt32.self)
    }

    private func classes() throws(BlocklistError) {
        var line: UInt32 = 0
        for number in 0..<Int(header.classes) {
            let record = unsafe IndexClass(base + Int(header.classesAt) + number * IndexClass.size)
            for range in [record.title, record.options] {
                try require(
                    range.upperBound <= Int(header.textsSize), "class \(number) speaks of a text that is not there")
            }
            try require(record.base >= line, "class \(number) begins before the one in front of it")
            line = record.base
        }
    }

    private func sets() throws(BlocklistError) {
        for set in 0..<Int(header.sets) {
            let word = word(header.setsAt, set)
            guard word & IndexView.several != 0 else {
                try require(UInt64(word) < header.classes, "set \(set) has a class that is not there")
                continue
            }
            let place = UInt64(word & ~IndexView.several)
            try require(place < header.members, "set \(set) is not among the members")
            let count = UInt64(self.word(header.membersAt, Int(place)))
            try require(count >= 1 && count < header.members - place, "set \(set) is longer than the members")
            for index in 0..<Int(count) {
                let number = self.word(header.membersAt, Int(place) + 1 + index)
                try require(UInt64(number) < header.classes, "set \(set) has a class that is not there")
            }
        }
    }

    private func patterns() throws(BlocklistError) {
        try section(header.patternsAt, UInt64(PatternTable.headerSize), bytes: 1, 8, "the patterns")
        let problem = unsafe PatternTable.problem(
            base + Int(header.patternsAt), room: Int(size - header.patternsAt), tags: Int(header.classes))
        if let problem { throw .indexCorrupt(path, problem) }
    }

    private func prefixes(_ at: UInt64) throws(BlocklistError) {
        try section(at, UInt64(PrefixLayout.headSize), bytes: 1, 8, "the prefixes")
        let problem = unsafe PrefixLayout.problem(base + Int(at), room: Int(size - at))
        if let problem { throw .indexCorrupt(path, problem) }
        let count = unsafe PrefixTable(base + Int(at)).count
        try require(header.classes > 0 || count == 0, "there are prefixes of no class")
    }
}
