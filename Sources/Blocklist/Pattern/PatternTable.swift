import Glibc

/// Many patterns in one block of bytes, as it stands in a compiled index: automata, and what chooses the few that a name can
/// match. A lower number comes before a higher one.
///
/// Of each literal of a pattern (`Pattern.literals`) one piece of four bytes, or of three when it has no more, is in a hash
/// table, the rarest of them; a bitmap of the pieces' hashes answers nearly always that there is none. So a name of n bytes
/// costs n questions to the bitmap, however many patterns there are; where a piece is found, its whole literal is compared,
/// and the automaton runs only then. Patterns without a literal run for each name.
///
/// Layout, integers in the machine's order, places in bytes from the begin:
///
/// | section | content |
/// |---|---|
/// | header, 128 bytes | counts and places, u64 each: see `Field` |
/// | entries, 16 bytes each | place of the automaton u64, first state u16, columns u16, tag u32 |
/// | unfiltered | numbers of the patterns without a literal, u32 each |
/// | bitmap | a bit for each hash of a piece |
/// | slots, 16 bytes each | piece u32, first item u32, items u32, 0: an open-addressed table; no items: free |
/// | items, 12 bytes each | pattern u32, place of the literal u32, its length u16, place of the piece in it u16 |
/// | literals | bytes |
/// | automata | 256 byte classes, then the table, u16 each (`Pattern`) |
enum PatternTable {
    static let headerSize = 128
    static let entrySize = 16
    static let slotSize = 16
    static let itemSize = 12

    /// The integers of the header.
    enum Field: Int {
        case count, unfilteredCount, unfilteredAt, bitmapBits, bitmapAt, slotBits, slotsAt, itemCount, itemsAt
        case literalsAt, literalsSize, size
        /// Whether there are pieces of three bytes.
        case hasShort
    }

    @inline(__always)
    static func hash(_ piece: UInt32, bits: UInt64) -> Int {
        Int(truncatingIfNeeded: (UInt64(piece) &* 0x9E37_79B9_7F4A_7C15) >> (64 - bits))
    }

    /// The table's bytes, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let base: UnsafeRawPointer
        let count: Int
        private let unfilteredCount: Int
        private let unfilteredAt: Int
        private let bitmapBits: UInt64
        private let bitmapAt: Int
        private let slotBits: UInt64
        private let slotsAt: Int
        private let itemsAt: Int
        private let literalsAt: Int
        private let hasShort: Bool

        /// - Parameter base: the table, aligned to 8; its bytes outlive the view.
        @unsafe
        init(_ base: UnsafeRawPointer) {
            func field(_ field: Field) -> UInt64 {
                unsafe base.load(fromByteOffset: field.rawValue * 8, as: UInt64.self)
            }
            unsafe self.base = unsafe base
            count = Int(truncatingIfNeeded: field(.count))
            unfilteredCount = Int(truncatingIfNeeded: field(.unfilteredCount))
            unfilteredAt = Int(truncatingIfNeeded: field(.unfilteredAt))
            bitmapBits = field(.bitmapBits)
            bitmapAt = Int(truncatingIfNeeded: field(.bitmapAt))
            slotBits = field(.slotBits)
            slotsAt = Int(truncatingIfNeeded: field(.slotsAt))
            itemsAt = Int(truncatingIfNeeded: field(.itemsAt))
            literalsAt = Int(truncatingIfNeeded: field(.literalsAt))
            hasShort = field(.hasShort) != 0
        }

        /// The tag that a pattern was added with.
        func tag(_ number: Int) -> Int {
            unsafe Int(base.load(fromByteOffset: headerSize + number * entrySize + 12, as: UInt32.self))
        }

        /// The first of the patterns below `limit` that matches a text. Does not allocate.
        ///
        /// - Parameters:
        ///   - text: lower case; four bytes behind it can be read.
        ///   - isAsked: whether the pattern of a tag counts.
        @inline(__always)
        func match(
            _ text: UnsafeRawPointer, _ length: Int, limit: Int, isAsked: (_ tag: Int) -> Bool
        ) -> Int? {
            var best = min(limit, count)
            for index in 0..<unfilteredCount {
                let number = unsafe Int(base.load(fromByteOffset: unfilteredAt + index * 4, as: UInt32.self))
                guard number < best else { break }
                if isAsked(tag(number)), unsafe runs(number, text, length) { best = number }
            }
            if bitmapBits > 0 {
                var at = 0
                while at + 3 <= length {
                    let piece = unsafe text.loadUnaligned(fromByteOffset: at, as: UInt32.self)
                    if at + 4 <= length, mayHold(piece) {
                        unsafe find(piece, text, at, length, &best, isAsked)
                    }
                    if hasShort, mayHold(piece & 0x00FF_FFFF) {
                        unsafe find(piece & 0x00FF_FFFF, text, at, length, &best, isAsked)
                    }
                    at += 1
                }
            }
            return best < min(limit, count) ? best : nil
        }

        @inline(__always)
        private func mayHold(_ piece: UInt32) -> Bool {
            let bit = hash(piece, bits: bitmapBits)
            return unsafe base.load(fromByteOffset: bitmapAt + bit >> 3, as: UInt8.self) >> UInt8(bit & 7) & 1 != 0
        }

        /// Puts the text to the patterns of a piece that stands in it at `at`.
        private func find(
            _ piece: UInt32, _ text: UnsafeRawPointer, _ at: Int, _ length: Int, _ best: inout Int,
            _ isAsked: (_ tag: Int) -> Bool
        ) {
            var slot = hash(piece, bits: slotBits)
            while true {
                let record = unsafe base + slotsAt + slot * slotSize
                let items = unsafe Int(record.load(fromByteOffset: 8, as: UInt32.self))
                if items == 0 { return }
                if unsafe record.load(as: UInt32.self) == piece {
                    let first = unsafe Int(record.load(fromByteOffset: 4, as: UInt32.self))
                    for item in first..<first + items {
                        let record = unsafe base + itemsAt + item * itemSize
                        let number = unsafe Int(record.load(as: UInt32.self))
                        guard number < best else { return }
                        let literal = unsafe Int(record.load(fromByteOffset: 4, as: UInt32.self))
                        let size = unsafe Int(record.load(fromByteOffset: 8, as: UInt16.self))
                        let start = unsafe at - Int(record.load(fromByteOffset: 10, as: UInt16.self))
                        guard start >= 0, start + size <= length,
                            unsafe memcmp(text + start, base + literalsAt + literal, size) == 0
                        else { continue }
                        if isAsked(tag(number)), unsafe runs(number, text, length) { best = number }
                    }
                    return
                }
                slot = (slot + 1) & ((1 << Int(slotBits)) - 1)
            }
        }

        /// Whether a pattern's automaton accepts a text.
        func runs(_ number: Int, _ text: UnsafeRawPointer, _ length: Int) -> Bool {
            let entry = unsafe base + headerSize + number * entrySize
            let classes = unsafe base + Int(entry.load(as: UInt64.self))
            let table = unsafe classes + 256
            var state = unsafe entry.load(fromByteOffset: 8, as: UInt16.self)
            let width = unsafe Int(entry.load(fromByteOffset: 10, as: UInt16.self))
            var at = 0
            while at < length && state < Pattern.dead {
                let byte = unsafe Int(text.load(fromByteOffset: at, as: UInt8.self))
                let column = unsafe Int(classes.load(fromByteOffset: byte, as: UInt8.self))
                state = unsafe table.load(fromByteOffset: (Int(state) * width + column) * 2, as: UInt16.self)
                at += 1
            }
            if state < Pattern.dead {
                state = unsafe table.load(fromByteOffset: (Int(state) * width + width - 1) * 2, as: UInt16.self)
            }
            return state == Pattern.accept
        }
    }

    /// What is wrong with a table that stands in `room` bytes; nil when no lookup can lead out of them. Cold path.
    ///
    /// - Parameter tags: one more than the highest that there may be.
    @unsafe
    static func problem(_ base: UnsafeRawPointer, room: Int, tags: Int) -> String? {
        func field(_ field: Field) -> Int {
            unsafe Int(clamping: base.load(fromByteOffset: field.rawValue * 8, as: UInt64.self))
        }
        func fits(_ at: Int, _ count: Int, _ bytes: Int) -> Bool {
            at >= headerSize && at <= size && count >= 0 && count <= size && count * bytes <= size - at
        }
        let size = field(.size)
        let count = field(.count)
        guard size <= room, fits(headerSize, count, entrySize) else { return "the patterns are not within the file" }
        guard fits(field(.unfilteredAt), field(.unfilteredCount), 4), field(.unfilteredAt) % 4 == 0 else {
            return "patterns are not within the file"
        }
        for index in 0..<field(.unfilteredCount) {
            let number = unsafe base.loadUnaligned(fromByteOffset: field(.unfilteredAt) + index * 4, as: UInt32.self)
            guard number < count else { return "a pattern is not there" }
        }
        for number in 0..<count {
            let entry = unsafe base + headerSize + number * entrySize
            let place = unsafe Int(clamping: entry.load(as: UInt64.self))
            let width = unsafe Int(entry.load(fromByteOffset: 10, as: UInt16.self))
            guard unsafe Int(entry.load(fromByteOffset: 12, as: UInt32.self)) < tags else {
                return "pattern \(number) is of no class"
            }
            guard width >= 2, fits(place, 256, 1), place % 2 == 0 else {
                return "pattern \(number) is not within the file"
            }
            for byte in 0..<256 where unsafe base.load(fromByteOffset: place + byte, as: UInt8.self) >= width - 1 {
                return "pattern \(number) has a class that is not there"
            }
            guard unsafe statesFit(base, entry, place + 256, width, size) else {
                return "pattern \(number) has a state that is not there"
            }
        }
        return unsafe filterProblem(base, field, fits)
    }

    /// Whether all states that lead on from the first one are in the file.
    @unsafe
    private static func statesFit(
        _ base: UnsafeRawPointer, _ entry: UnsafeRawPointer, _ table: Int, _ width: Int, _ size: Int
    ) -> Bool {
        var highest = unsafe Int(entry.load(fromByteOffset: 8, as: UInt16.self))
        if highest >= Int(Pattern.dead) { return true }
        var state = 0
        while state <= highest {
            guard table + (state + 1) * width * 2 <= size else { return false }
            for column in 0..<width {
                let next = unsafe base.load(fromByteOffset: table + (state * width + column) * 2, as: UInt16.self)
                if next < Pattern.dead { highest = max(highest, Int(next)) }
            }
            state += 1
        }
        return true
    }

    @unsafe
    private static func filterProblem(
        _ base: UnsafeRawPointer, _ field: (Field) -> Int, _ fits: (Int, Int, Int) -> Bool
    ) -> String? {
        guard field(.bitmapBits) > 0 else { return nil }
        let wrong = "the patterns' filter is not within the file"
        guard 9...24 ~= field(.bitmapBits), 3...24 ~= field(.slotBits),
            fits(field(.bitmapAt), 1 << (field(.bitmapBits) - 3), 1),
            fits(field(.slotsAt), 1 << field(.slotBits), slotSize), field(.slotsAt) % 4 == 0,
            fits(field(.itemsAt), field(.itemCount), itemSize), field(.itemsAt) % 4 == 0,
            fits(field(.literalsAt), field(.literalsSize), 1)
        else { return wrong }
        var isFree = false
        for slot in 0..<1 << field(.slotBits) {
            let record = unsafe base + field(.slotsAt) + slot * slotSize
            let first = unsafe Int(record.load(fromByteOffset: 4, as: UInt32.self))
            let items = unsafe Int(record.load(fromByteOffset: 8, as: UInt32.self))
            if items == 0 { isFree = true }
            guard first + items <= field(.itemCount) else { return wrong }
        }
        guard isFree else { return wrong }
        for item in 0..<field(.itemCount) {
            let record = unsafe base + field(.itemsAt) + item * itemSize
            let literal = unsafe Int(record.load(fromByteOffset: 4, as: UInt32.self))
            let size = unsafe Int(record.load(fromByteOffset: 8, as: UInt16.self))
            guard unsafe Int(record.load(as: UInt32.self)) < field(.count), literal + size <= field(.literalsSize)
            else {
                return wrong
            }
        }
        return nil
    }
}
