/// Makes a compiled index of names added one by one.
///
/// Names lie in one arena, beside a 16-byte record each (hash, place, source); the records are scattered by the top
/// bits of their hash and sorted within, names listed several times are settled, and the sections written in order.
/// Memory: about 40 bytes a name and the names themselves. One thread.
struct IndexBuilder: ~Copyable {
    /// A list and what its entries do: one run of source numbers.
    struct SourceClass {
        var list: Int32
        var kind: EntryKind
        var title: String
        /// The highest line number that will be added.
        var lines: Int
    }

    /// What decides between indexes: the database, its generation, and the hash.
    struct Identity {
        var database: UInt64 = 0
        var generation: UInt64 = 0
        var seed: UInt64 = 0
        var hashMask: UInt64 = .max
    }

    struct Record {
        var hash: UInt64
        var place: UInt32
        var source: UInt32
    }

    /// Names in a line of the index, on average.
    private static let namesPerLine = 32

    private let identity: Identity
    private let classes: [SourceClass]
    /// The first source number of each class, and the number after the last.
    private var bases: [Int] = [0]
    private var arena: NameArena
    private var records: [Record] = []
    private var depths: (low: UInt64, high: UInt64) = (0, 0)
    private let namesPerLine: Int
    private var allowed = PrefixTableBuilder()
    private var denied = PrefixTableBuilder()

    /// - Parameters:
    ///   - classes: in the order in which lists are preferred.
    ///   - expected: about how many names will come.
    init(
        _ identity: Identity, _ classes: [SourceClass], expected: Int = 0, namesPerLine: Int = namesPerLine
    ) throws(BlocklistError) {
        self.identity = identity
        self.classes = classes
        self.namesPerLine = namesPerLine
        for sourceClass in classes { bases.append(bases.last! + sourceClass.lines + 1) }
        guard bases.last! <= UInt32.max else {
            throw .tooLarge("the lists hold more than 4,294,967,295 lines together")
        }
        arena = NameArena(capacity: expected * 24)
        records.reserveCapacity(expected)
    }

    /// Adds a name: text as `NameBytes` describes it.
    ///
    /// - Throws: `BlocklistError.badEntry` for anything else.
    mutating func add(_ text: UnsafeRawBufferPointer, class index: Int, line: Int) throws(BlocklistError) {
        guard 1...NameBytes.longest ~= text.count, line <= classes[index].lines else {
            throw .badEntry(classes[index].list, Int32(clamping: line), "not a name that an import stores")
        }
        let place = unsafe arena.append(text)
        guard place <= UInt32.max else { throw .tooLarge("the lists' names are longer than 4 GiB together") }
        guard let hash = hash(place) else {
            throw .badEntry(classes[index].list, Int32(clamping: line), "not a name that an import stores")
        }
        records.append(Record(hash: hash, place: UInt32(place), source: UInt32(bases[index] + line)))
    }

    /// Adds an address or prefix, as text in the form that imports store.
    ///
    /// - Throws: `BlocklistError.badEntry` for anything else.
    mutating func addAddress(_ text: UnsafeRawBufferPointer, class index: Int, line: Int) throws(BlocklistError) {
        let token = unsafe Span<UInt8>(_unsafeElements: text.assumingMemoryBound(to: UInt8.self))
        guard line <= classes[index].lines, case .success(let prefix) = AddressParser.prefix(token) else {
            throw .badEntry(classes[index].list, Int32(clamping: line), "not an address that an import stores")
        }
        let source = UInt32(bases[index] + line)
        if classes[index].kind.contains(.allow) {
            allowed.add(prefix, source: source)
        } else {
            denied.add(prefix, source: source)
        }
    }

    /// The hash of a name in the arena, whose depth it notes; nil when the text is not a name.
    private mutating func hash(_ place: Int) -> UInt64? {
        let text = unsafe arena.text(place)
        var hash = NameHash(seed: identity.seed)
        var end = arena.length(place)
        var at = end
        var depth = 0
        while at > 0 {
            at -= 1
            let byte = unsafe text.load(fromByteOffset: at, as: UInt8.self)
            guard NameBytes.symbol(byte) != 0 else { return nil }
            guard byte == NameBytes.dot || at == 0 else { continue }
            let start = byte == NameBytes.dot ? at + 1 : 0
            guard 1...NameBytes.longestLabel ~= end - start else { return nil }
            unsafe hash.prepend(text + start, end - start)
            depth += 1
            end = at
            if at == 0 && byte == NameBytes.dot { return nil }
        }
        if depth < 64 { depths.low |= 1 << UInt64(depth) } else { depths.high |= 1 << UInt64(depth - 64) }
        return hash.value & identity.hashMask
    }

    /// Writes the index and gives back what `IndexSink.finish` does.
    consuming func build(into sink: consuming IndexSink) throws(BlocklistError) -> [UInt8] {
        let names = settle()
        var header = IndexHeader()
        header.identity = identity.database
        header.generation = identity.generation
        header.seed = identity.seed
        header.hashMask = identity.hashMask
        header.names = UInt64(names)
        header.entries = UInt64(records.count)
        header.lines = UInt64(max(1, (records.count + namesPerLine - 1) / namesPerLine))
        (header.depthsLow, header.depthsHigh) = depths
        try sink.append([UInt8](repeating: 0, count: IndexHeader.size))
        let symbols = train()
        header.symbolsAt = UInt64(sink.written)
        try sink.append(symbols)
        try write(classes: classes, into: &sink, &header)
        let lines = try writeNames(symbols, into: &sink, &header)
        try sink.align(64)
        header.linesAt = UInt64(sink.written)
        try sink.append(lines)
        try writeSources(into: &sink, &header)
        try sink.align(64)
        header.allowedPrefixesAt = UInt64(sink.written)
        try sink.append(IndexBuilder.take(&allowed).finish())
        header.deniedPrefixesAt = UInt64(sink.written)
        try sink.append(IndexBuilder.take(&denied).finish())
        return try sink.finish(header)
    }

    /// Takes a table's prefixes out, so that sorting does not copy them.
    private static func take(_ table: inout PrefixTableBuilder) -> PrefixTableBuilder {
        let taken = table
        table = PrefixTableBuilder()
        return taken
    }

    /// A symbol table for a sample of the names, spread over all of them.
    private func train() -> SymbolTable {
        let count = min(records.count, 12_000)
        var sample: [UInt8] = []
        var ends: [Int] = []
        for index in 0..<count {
            let place = Int(records[Int(Int64(index) * Int64(records.count) / Int64(count))].place)
            let text = unsafe arena.text(place)
            unsafe sample.append(contentsOf: UnsafeRawBufferPointer(start: text, count: arena.length(place)))
            ends.append(sample.count)
        }
        sample += [UInt8](repeating: 0, count: 8)
        return unsafe sample.withUnsafeBytes { unsafe SymbolTrainer.train($0.baseAddress!, ends) }
    }

    /// Sorts the records by hash and keeps, of the entries of one name, those that can win. Returns how many names.
    private mutating func settle() -> Int {
        RecordSort.sort(&records, perBucket: namesPerLine)
        var kept = 0
        var names = 0
        var next = 0
        while next < records.count {
            var end = next + 1
            while end < records.count && records[end].hash == records[next].hash { end += 1 }
            if end - next == 1 {
                records[kept] = records[next]
                kept += 1
                names += 1
            } else {
                for name in winners(records[next..<end]) {
                    names += 1
                    for record in name {
                        records[kept] = record
                        kept += 1
                    }
                }
            }
            next = end
        }
        records.removeLast(records.count - kept)
        return names
    }

    /// The entries that can win, by name, among records of one hash.
    private func winners(_ records: ArraySlice<Record>) -> [[Record]] {
        let sorted = records.sorted { a, b in
            let order = arena.compare(Int(a.place), Int(b.place))
            if order != 0 { return order < 0 }
            let (left, right) = (kind(a).rank, kind(b).rank)
            return left != right ? left < right : a.source < b.source
        }
        var names: [[Record]] = []
        for record in sorted {
            guard let last = names.last, arena.compare(Int(last[0].place), Int(record.place)) == 0 else {
                names.append([record])
                continue
            }
            // The best entry for the name itself and the best for the names below it, in the order of their rank.
            let isNeeded =
                last.count == 1
                && (kind(last[0]).contains(.exact) && !kind(record).contains(.exact)
                    || kind(last[0]).contains(.below) && !kind(record).contains(.below))
            if isNeeded { names[names.count - 1].append(record) }
        }
        return names
    }

    private func kind(_ record: Record) -> EntryKind {
        var low = 0
        var high = classes.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if bases[middle] <= Int(record.source) { low = middle } else { high = middle }
        }
        return classes[low].kind
    }

    /// Compresses the names line by line into `sink` and returns the section of lines.
    private func writeNames(
        _ symbols: SymbolTable, into sink: inout IndexSink, _ header: inout IndexHeader
    ) throws(BlocklistError) -> [UInt8] {
        header.namesAt = UInt64(sink.written)
        let start = sink.written
        let count = header.lines
        var lines = [UInt8](repeating: 0, count: (Int(count) + 1) * IndexView.lineSize)
        var codes = [UInt8](repeating: 0, count: 64 * 1024)
        try symbols.withEncoder { encoder throws(BlocklistError) in
            var next = 0
            for line in 0..<count {
                let first = next
                while next < records.count
                    && records[next].hash.multipliedFullWidth(by: count).high == line
                {
                    next += 1
                }
                let offset = sink.written - start
                guard offset <= UInt32.max else { throw BlocklistError.tooLarge("the index's names exceed 4 GiB") }
                compose(line: Int(line), first: first, end: next, offset: offset, count: count, &lines)
                let size = next - first
                if codes.count < size * 256 { codes = [UInt8](repeating: 0, count: size * 256) }
                let used = unsafe codes.withUnsafeMutableBufferPointer { codes in
                    var used = size
                    for ordinal in 0..<size {
                        let place = Int(records[first + ordinal].place)
                        let length = unsafe encoder.encode(
                            arena.text(place), arena.length(place), into: codes.baseAddress! + used)
                        unsafe codes[ordinal] = UInt8(length)
                        used += length
                    }
                    return used
                }
                try sink.append(codes[..<used])
            }
        }
        let last = Int(count) * IndexView.lineSize
        unsafe lines.withUnsafeMutableBytes {
            unsafe $0.storeBytes(of: UInt32(records.count), toByteOffset: last, as: UInt32.self)
        }
        header.namesSize = UInt64(sink.written - start)
        return lines
    }

    /// Fills one line of 64 bytes with the fingerprints of records `first..<end`.
    @inline(__always)
    private func compose(line: Int, first: Int, end: Int, offset: Int, count: UInt64, _ lines: inout [UInt8]) {
        unsafe lines.withUnsafeMutableBytes { bytes in
            let base = line * IndexView.lineSize
            unsafe bytes.storeBytes(of: UInt32(first), toByteOffset: base, as: UInt32.self)
            unsafe bytes.storeBytes(of: UInt32(offset), toByteOffset: base + 4, as: UInt32.self)
            guard end - first <= IndexView.fingerprints else {
                unsafe bytes[base + 11] = IndexView.crowded
                return
            }
            for index in first..<end {
                let rest = records[index].hash.multipliedFullWidth(by: count).low
                unsafe bytes[base + 12 + index - first] = UInt8(truncatingIfNeeded: rest >> 54)
                for run in Int(rest >> 62)..<4 { unsafe bytes[base + 8 + run] += 1 }
            }
        }
    }

    private func write(
        classes: [SourceClass], into sink: inout IndexSink, _ header: inout IndexHeader
    ) throws(BlocklistError) {
        var table: [UInt8] = []
        var titles: [UInt8] = []
        func put(_ value: some FixedWidthInteger) {
            for byte in 0..<value.bitWidth / 8 { table.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
        }
        for (index, sourceClass) in classes.enumerated() {
            put(UInt64(bases[index]))
            put(sourceClass.list)
            put(UInt32(sourceClass.kind.rawValue))
            put(UInt32(titles.count))
            put(UInt32(sourceClass.title.utf8.count))
            titles += Array(sourceClass.title.utf8)
        }
        header.classes = UInt64(classes.count)
        header.classesAt = UInt64(sink.written)
        try sink.append(table)
        header.titlesAt = UInt64(sink.written)
        header.titlesSize = UInt64(titles.count)
        try sink.append(titles)
        try sink.align(64)
    }

    /// Writes each record's source in as few bits as the largest needs.
    private func writeSources(into sink: inout IndexSink, _ header: inout IndexHeader) throws(BlocklistError) {
        try sink.align(64)
        header.sourcesAt = UInt64(sink.written)
        let bits = max(1, UInt64(bases.last!.bitWidth - bases.last!.leadingZeroBitCount))
        header.sourceBits = bits
        var bytes: [UInt8] = []
        bytes.reserveCapacity(records.count * Int(bits) / 8 + 16)
        var pending: UInt64 = 0
        var held: UInt64 = 0
        for record in records {
            pending |= UInt64(record.source) << held
            held += bits
            while held >= 8 {
                bytes.append(UInt8(truncatingIfNeeded: pending))
                pending >>= 8
                held -= 8
            }
        }
        bytes.append(UInt8(truncatingIfNeeded: pending))
        bytes += [UInt8](repeating: 0, count: 8)
        try sink.append(bytes)
    }
}

extension IndexSink {
    /// Adds the words and lengths of a symbol table, unused ones zero.
    fileprivate mutating func append(_ symbols: SymbolTable) throws(BlocklistError) {
        try align(64)
        var bytes: [UInt8] = []
        for code in 0..<256 {
            let word = code < symbols.words.count ? symbols.words[code] : 0
            for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * byte))) }
        }
        bytes += symbols.lengths + [UInt8](repeating: 0, count: 256 - symbols.lengths.count)
        try append(bytes)
    }
}
