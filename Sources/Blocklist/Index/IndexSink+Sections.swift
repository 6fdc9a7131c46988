/// The sections of an index as bytes.
extension IndexSink {
    /// The classes, and the texts they speak of.
    mutating func append(
        _ classes: [IndexBuilder.SourceClass], _ bases: [UInt32], _ header: inout IndexHeader
    ) throws(BlocklistError) {
        var texts: [UInt8] = []
        var places: [String: Range<Int>] = [:]
        func place(_ text: String) -> Range<Int> {
            if let known = places[text] { return known }
            let start = texts.count
            texts += Array(text.utf8)
            places[text] = start..<texts.count
            return start..<texts.count
        }
        try align(64)
        header.classes = UInt64(classes.count)
        header.classesAt = UInt64(written)
        for (sourceClass, base) in zip(classes, bases) {
            try append(
                IndexClass(
                    list: sourceClass.list, slot: sourceClass.slot, kind: sourceClass.kind, base: base,
                    title: place(sourceClass.title), options: place(sourceClass.options)
                ).bytes)
        }
        guard texts.count <= UInt32.max else { throw .tooLarge("the options of the lists exceed 4 GiB") }
        header.textsAt = UInt64(written)
        header.textsSize = UInt64(texts.count)
        try append(texts)
    }

    /// The sets of classes.
    mutating func append(_ sets: SetTable, _ header: inout IndexHeader) throws(BlocklistError) {
        try align(64)
        header.sets = UInt64(sets.words.count)
        header.setsAt = UInt64(written)
        try append(words: sets.words)
        header.members = UInt64(sets.members.count)
        header.membersAt = UInt64(written)
        try append(words: sets.members)
    }

    /// The bitmap of names with listed ones below.
    mutating func append(_ parents: consuming ParentFilter, _ header: inout IndexHeader) throws(BlocklistError) {
        let (words, bits) = parents.finish()
        try align(64)
        header.parentsAt = UInt64(written)
        header.parentBits = UInt64(bits)
        var next = 0
        while next < words.count {
            let part = words[next..<min(next + 8192, words.count)]
            try append(part.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } })
            next += part.count
        }
    }

    private mutating func append(words: [UInt32]) throws(BlocklistError) {
        try append(words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } })
    }

    /// The lines, and the records they lead to.
    ///
    /// - Parameter records: by place, one for each name, with its set.
    mutating func append(
        _ records: [IndexBuilder.Record], namesPerLine: Int, setBits: Int, _ header: inout IndexHeader
    ) throws(BlocklistError) {
        guard records.count <= UInt32.max else { throw .tooLarge("the lists hold more than 4,294,967,295 names") }
        header.names = UInt64(records.count)
        header.lines = UInt64(max(1, (records.count + namesPerLine - 1) / namesPerLine))
        header.setBits = UInt64(setBits)
        try align(64)
        header.linesAt = UInt64(written)
        try appendLines(records, count: header.lines)
        try align(64)
        header.recordsAt = UInt64(written)
        var packed = PackedBits()
        for record in records {
            packed.put(record.check, NameHash.checkBits)
            packed.put(UInt64(record.number), setBits)
            if packed.bytes.count >= 1 << 16 { try append(packed.take()) }
        }
        packed.flush()
        try append(packed.take())
        try append([UInt8](repeating: 0, count: IndexView.recordSlack))
    }

    private mutating func appendLines(_ records: [IndexBuilder.Record], count: UInt64) throws(BlocklistError) {
        let size = IndexView.lineSize
        let perBlock = 1024
        var block = [UInt8](repeating: 0, count: perBlock * size)
        var next = 0
        for line in 0..<count {
            let place = Int(line % UInt64(perBlock)) * size
            if place == 0 { for index in block.indices { block[index] = 0 } }
            let first = next
            while next < records.count, records[next].place.multipliedFullWidth(by: count).high == line { next += 1 }
            IndexSink.compose(records, first..<next, count: count, into: &block, at: place)
            if place == (perBlock - 1) * size { try append(block) }
        }
        try append(block[..<(Int(count % UInt64(perBlock)) * size)])
        // One more, that says where the last one's names end.
        var last = [UInt8](repeating: 0, count: size + IndexView.lineSlack)
        last.put(UInt32(records.count), at: 0)
        try append(last)
    }

    /// One line of 64 bytes.
    private static func compose(
        _ records: [IndexBuilder.Record], _ names: Range<Int>, count: UInt64, into block: inout [UInt8], at place: Int
    ) {
        block.put(UInt32(names.lowerBound), at: place)
        guard names.count <= IndexView.fingerprints else {
            block[place + 7] = IndexView.crowded
            return
        }
        var ends: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
        for (ordinal, index) in names.enumerated() {
            let rest = records[index].place.multipliedFullWidth(by: count).low
            block[place + 8 + ordinal] = UInt8(truncatingIfNeeded: rest >> 54)
            let end = UInt8(ordinal + 1)
            switch rest >> 62 {
            case 0: ends = (end, end, end, end)
            case 1: (ends.1, ends.2, ends.3) = (end, end, end)
            case 2: (ends.2, ends.3) = (end, end)
            default: ends.3 = end
            }
        }
        (block[place + 4], block[place + 5], block[place + 6], block[place + 7]) = ends
    }
}

/// Numbers of a few bits each, one behind the other, the lowest bits first.
private struct PackedBits {
    private(set) var bytes: [UInt8] = []
    private var pending: UInt64 = 0
    private var held = 0

    /// - Parameter count: at most 56 bits; those of `value` above must be 0.
    mutating func put(_ value: UInt64, _ count: Int) {
        pending |= value << UInt64(held)
        held += count
        while held >= 8 {
            bytes.append(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            held -= 8
        }
    }

    /// Fills the last byte up with zeros.
    mutating func flush() {
        if held > 0 { bytes.append(UInt8(truncatingIfNeeded: pending)) }
        pending = 0
        held = 0
    }

    mutating func take() -> [UInt8] {
        defer { bytes.removeAll(keepingCapacity: true) }
        return bytes
    }
}

extension [UInt8] {
    fileprivate mutating func put(_ value: UInt32, at place: Int) {
        for byte in 0..<4 { self[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
    }
}
