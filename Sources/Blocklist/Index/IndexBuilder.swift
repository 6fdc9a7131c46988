import Glibc

/// Makes a compiled index of names added one by one.
///
/// Of a name only its hash is kept, in a 16-byte record with its class; the records are scattered by the top bits of the
/// hash and sorted within, the classes of one name become a set, and the sections are written in order. Memory: 32 bytes
/// an entry while sorting. One thread.
struct IndexBuilder: ~Copyable {
    /// Entries of one list that do the same.
    struct SourceClass: Hashable, Sendable {
        /// The list's id; in the overlay the rule's.
        var list: Int32
        var kind: EntryKind
        /// The list's name.
        var title: String
        /// Of a list of addresses: the highest line number that will be added.
        var lines: Int
        /// What its entries ask of a query besides the name, as table `entry` has it; the kind then has `hasOptions`.
        var options = ""
        /// The list's place in the bitmaps of profiles; in the overlay that of the rule's group.
        var slot: UInt16 = 0
    }

    /// What decides between indexes: the database, its generation, and the hash.
    struct Identity {
        var database: UInt64 = 0
        var generation: UInt64 = 0
        var seed: UInt64 = 0
        var hashMask: UInt64 = .max
    }

    /// An entry: in `key` the upper 40 bits are of the hash's place, the lower 24 are the class, and once the names are
    /// settled the set.
    struct Record {
        var key: UInt64
        var check: UInt64

        var place: UInt64 { key & IndexView.placeMask }
        var number: Int { Int(key & ~IndexView.placeMask) }
    }

    /// Names in a line of the index, on average.
    private static let namesPerLine = 34
    /// Classes that a record has bits for.
    private static let mostClasses = 1 << 24

    private let identity: Identity
    private(set) var classes: [SourceClass] = []
    /// The first source number of each class's prefixes.
    private var bases: [UInt32] = []
    private var sources = 0
    private var scratch = NameScratch()
    private var records: [Record] = []
    private var parents = ParentFilter()
    private var depths: (low: UInt64, high: UInt64) = (0, 0)
    private let namesPerLine: Int
    private var allowed = PrefixTableBuilder()
    private var denied = PrefixTableBuilder()
    var patterns: [ListedPattern] = []
    /// What became of the classes of one list and kind that list a name together.
    var joinedGroups: [[UInt32]: [UInt32]] = [:]

    /// - Parameters:
    ///   - classes: more can be added later.
    ///   - expected: about how many names will come.
    init(
        _ identity: Identity, _ classes: [SourceClass] = [], expected: Int = 0, namesPerLine: Int = namesPerLine
    ) throws(BlocklistError) {
        self.identity = identity
        self.namesPerLine = namesPerLine
        records.reserveCapacity(expected)
        for sourceClass in classes { _ = try add(sourceClass) }
    }

    /// Adds a class and returns its number.
    mutating func add(_ sourceClass: SourceClass) throws(BlocklistError) -> Int {
        guard classes.count < IndexBuilder.mostClasses else {
            throw .tooLarge("the lists' entries differ in more than \(IndexBuilder.mostClasses) ways")
        }
        classes.append(sourceClass)
        bases.append(UInt32(sources))
        if sourceClass.kind.contains(.address) { sources += sourceClass.lines + 1 }
        guard sources <= UInt32.max else {
            throw .tooLarge("the lists of addresses hold more than 4,294,967,295 lines together")
        }
        return classes.count - 1
    }

    /// Adds a name: text as `NameBytes` describes it.
    ///
    /// - Parameter line: for the error.
    /// - Throws: `BlocklistError.badEntry` for anything else.
    mutating func add(_ text: UnsafeRawBufferPointer, class index: Int, line: Int) throws(BlocklistError) {
        guard 1...NameBytes.longest ~= text.count, let hash = unsafe hash(text) else {
            throw .badEntry(classes[index].list, Int32(clamping: line), "not a name that an import stores")
        }
        let place = hash.place & identity.hashMask & IndexView.placeMask
        records.append(Record(key: place | UInt64(index), check: hash.check))
    }

    /// Adds an address or prefix, as text in the form that imports store.
    ///
    /// - Throws: `BlocklistError.badEntry` for anything else.
    mutating func addAddress(_ text: UnsafeRawBufferPointer, class index: Int, line: Int) throws(BlocklistError) {
        let token = unsafe Span<UInt8>(_unsafeElements: text.assumingMemoryBound(to: UInt8.self))
        guard line <= classes[index].lines, case .success(let prefix) = AddressParser.prefix(token) else {
            throw .badEntry(classes[index].list, Int32(clamping: line), "not an address that an import stores")
        }
        let source = bases[index] + UInt32(line)
        if classes[index].kind.contains(.allow) {
            allowed.add(prefix, source: source)
        } else {
            denied.add(prefix, source: source)
        }
    }

    /// The hash of a name, whose depth it notes; nil when the text is not a name.
    private mutating func hash(_ text: UnsafeRawBufferPointer) -> NameHash? {
        let name = unsafe scratch.take(text)
        var hash = NameHash(seed: identity.seed)
        var end = text.count
        var at = end
        var depth = 0
        var parent: UInt64 = 0
        while at > 0 {
            at -= 1
            let byte = unsafe name.load(fromByteOffset: at, as: UInt8.self)
            guard NameBytes.symbol(byte) != 0 else { return nil }
            guard byte == NameBytes.dot || at == 0 else { continue }
            let start = byte == NameBytes.dot ? at + 1 : 0
            guard 1...NameBytes.longestLabel ~= end - start else { return nil }
            unsafe hash.prepend(name + start, end - start)
            depth += 1
            if depth == ParentFilter.depth { parent = hash.place }
            end = at
            if at == 0 && byte == NameBytes.dot { return nil }
        }
        if depth > ParentFilter.depth { parents.add(parent) }
        if depth < 64 { depths.low |= 1 << UInt64(depth) } else { depths.high |= 1 << UInt64(depth - 64) }
        return hash
    }

    /// Writes the index and gives back what `IndexSink.finish` does.
    consuming func build(into sink: consuming IndexSink) throws(BlocklistError) -> [UInt8] {
        let sets = try settle()
        var header = IndexHeader()
        header.identity = identity.database
        header.generation = identity.generation
        header.seed = identity.seed
        header.hashMask = identity.hashMask
        (header.depthsLow, header.depthsHigh) = depths
        try sink.append([UInt8](repeating: 0, count: IndexHeader.size))
        try sink.append(classes, bases, &header)
        try sink.append(sets, &header)
        try sink.append(records, namesPerLine: namesPerLine, setBits: sets.bits, &header)
        records = []
        try sink.append(IndexBuilder.take(&parents), &header)
        try sink.align(64)
        header.patternsAt = UInt64(sink.written)
        try sink.append(patternTable())
        try sink.align(64)
        header.allowedPrefixesAt = UInt64(sink.written)
        try sink.append(IndexBuilder.take(&allowed).finish())
        header.deniedPrefixesAt = UInt64(sink.written)
        try sink.append(IndexBuilder.take(&denied).finish())
        return try sink.finish(header)
    }

    private static func take(_ parents: inout ParentFilter) -> ParentFilter {
        let taken = parents
        parents = ParentFilter()
        return taken
    }

    /// Takes a table's prefixes out, so that sorting does not copy them.
    private static func take(_ table: inout PrefixTableBuilder) -> PrefixTableBuilder {
        let taken = table
        table = PrefixTableBuilder()
        return taken
    }

    /// Sorts the records by hash and makes one of all that belong to a name, with the set of its classes.
    private mutating func settle() throws(BlocklistError) -> SetTable {
        RecordSort.sort(&records, perBucket: namesPerLine)
        let precedence = precedence()
        var sets = SetTable(classes: classes.count)
        var kept = 0
        var next = 0
        while next < records.count {
            var end = next + 1
            while end < records.count && records[end].place == records[next].place { end += 1 }
            if end - next == 1 {
                let record = records[next]
                records[kept] = try Record(
                    key: record.place | UInt64(sets.number(ofOne: record.number)), check: record.check)
                kept += 1
            } else {
                for name in IndexBuilder.names(records[next..<end], precedence) {
                    let row = try name.row.count == 1 ? name.row : joined(name.row)
                    let set = try row.count == 1 ? sets.number(ofOne: Int(row[0])) : sets.number(of: row)
                    records[kept] = Record(key: records[next].place | UInt64(set), check: name.check)
                    kept += 1
                }
            }
            next = end
        }
        records.removeLast(records.count - kept)
        return sets
    }

    /// For each class its place in the order in which the classes of one name are asked: by rank, then by list.
    private func precedence() -> [UInt32] {
        let order = classes.indices.sorted { a, b in
            let (one, two) = (classes[a], classes[b])
            // What says more of a name in one list comes before what says less.
            let (plain, other) = (one.options.isEmpty ? 1 : 0, two.options.isEmpty ? 1 : 0)
            return (one.kind.rank, one.slot, one.list, plain, a) < (two.kind.rank, two.slot, two.list, other, b)
        }
        var precedence = [UInt32](repeating: 0, count: classes.count)
        for (place, index) in order.enumerated() { precedence[index] = UInt32(place) }
        return precedence
    }

    /// The names among records of one place, each with its classes in their order of precedence.
    private static func names(
        _ records: ArraySlice<Record>, _ precedence: [UInt32]
    ) -> [(check: UInt64, row: [UInt32])] {
        let sorted = records.sorted { a, b in
            a.check != b.check ? a.check < b.check : precedence[a.number] < precedence[b.number]
        }
        var names: [(check: UInt64, row: [UInt32])] = []
        for record in sorted {
            let number = UInt32(record.number)
            guard let last = names.indices.last, names[last].check == record.check else {
                names.append((record.check, [number]))
                continue
            }
            // A list may have a name twice.
            if names[last].row.last != number { names[last].row.append(number) }
        }
        return names
    }
}

/// Room for a name and the bytes behind it that are read with it.
@safe
private struct NameScratch: ~Copyable {
    private let memory: UnsafeMutableRawPointer
    private static let size = NameBytes.longest + 19

    init() {
        unsafe memory = .allocate(byteCount: NameScratch.size, alignment: 16)
        unsafe _ = memset(memory, 0, NameScratch.size)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Copies a name of at most `NameBytes.longest` bytes; good until the next one.
    @inline(__always)
    mutating func take(_ text: UnsafeRawBufferPointer) -> UnsafeRawPointer {
        unsafe memcpy(memory, text.baseAddress!, text.count)
        return unsafe UnsafeRawPointer(memory)
    }
}
