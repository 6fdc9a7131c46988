/// Makes a `PatternTable` of patterns added in their order.
struct PatternTableBuilder {
    private struct Literal {
        var pattern: Int
        var bytes: [UInt8]
    }

    private var entries: [UInt8] = []
    private var automata: [UInt8] = []
    private var unfiltered: [Int] = []
    private var literals: [Literal] = []
    private(set) var count = 0

    /// Pieces that many names have: they choose little.
    private static let frequent: Set<UInt32> = Set(
        [
            ".com", ".net", ".org", "www.", ".co.", ".io.", "com.", "net.", "ads.", ".ads", "cdn.", ".cdn", "api.",
            ".api",
            "in-a", "n-ad", "-add", "addr", "ddr.", "dr.a", "r.ar", ".arp", "arpa",
        ].map { piece(Array($0.utf8), 0, 4) })

    /// - Parameter tag: what the table gives back for the pattern.
    mutating func add(_ pattern: Pattern, tag: UInt32) {
        put(UInt64(automata.count), &entries)
        put(pattern.start, &entries)
        put(UInt16(pattern.classCount + 1), &entries)
        put(tag, &entries)
        automata += pattern.classes
        unsafe pattern.table.withUnsafeBytes { unsafe automata.append(contentsOf: $0) }
        while automata.count % 8 != 0 { automata.append(0) }
        if pattern.literals.isEmpty { unfiltered.append(count) }
        for bytes in pattern.literals { literals.append(Literal(pattern: count, bytes: bytes)) }
        count += 1
    }

    /// Bytes of the automata so far.
    var automataSize: Int { automata.count }

    func finish() -> [UInt8] {
        var header = [UInt64](repeating: 0, count: PatternTable.headerSize / 8)
        var bytes = [UInt8](repeating: 0, count: PatternTable.headerSize) + entries
        func note(_ field: PatternTable.Field, _ value: Int) { header[field.rawValue] = UInt64(value) }
        note(.count, count)
        note(.unfilteredCount, unfiltered.count)
        note(.unfilteredAt, bytes.count)
        for number in unfiltered { put(UInt32(number), &bytes) }
        align(&bytes)
        if !literals.isEmpty { finishFilter(&bytes, note) }
        let automataAt = bytes.count
        bytes += automata
        note(.size, bytes.count)
        // Automata were placed from their section's begin.
        for number in 0..<count {
            let at = PatternTable.headerSize + number * PatternTable.entrySize
            unsafe bytes.withUnsafeMutableBytes { raw in
                let place = unsafe raw.load(fromByteOffset: at, as: UInt64.self)
                unsafe raw.storeBytes(of: place + UInt64(automataAt), toByteOffset: at, as: UInt64.self)
            }
        }
        unsafe bytes.withUnsafeMutableBytes { raw in
            for (index, value) in header.enumerated() {
                unsafe raw.storeBytes(of: value, toByteOffset: index * 8, as: UInt64.self)
            }
        }
        return bytes
    }

    /// Writes bitmap, slots, items and literals.
    private func finishFilter(_ bytes: inout [UInt8], _ note: (PatternTable.Field, Int) -> Void) {
        var frequency: [UInt32: Int] = [:]
        for literal in literals where literal.bytes.count >= 4 {
            for at in 0...literal.bytes.count - 4 { frequency[Self.piece(literal.bytes, at, 4), default: 0] += 1 }
        }
        var items: [UInt32: [(literal: Int, at: Int)]] = [:]
        for (index, literal) in literals.enumerated() {
            guard literal.bytes.count >= 4 else {
                items[Self.piece(literal.bytes, 0, 3), default: []].append((index, 0))
                continue
            }
            let at = (0...literal.bytes.count - 4).min { left, right in
                cost(Self.piece(literal.bytes, left, 4), frequency)
                    < cost(Self.piece(literal.bytes, right, 4), frequency)
            }!
            items[Self.piece(literal.bytes, at, 4), default: []].append((index, at))
        }
        note(.hasShort, literals.contains { $0.bytes.count < 4 } ? 1 : 0)
        // One bit in 32 is set at most: most names meet none.
        let bitmapBits = Self.bits(items.count * 32, least: 9)
        let slotBits = Self.bits(items.count * 2, least: 3)
        note(.bitmapBits, bitmapBits)
        note(.bitmapAt, bytes.count)
        var bitmap = [UInt8](repeating: 0, count: 1 << (bitmapBits - 3))
        var slots = [(piece: UInt32, first: Int, count: Int)](repeating: (0, 0, 0), count: 1 << slotBits)
        var rows: [UInt8] = []
        var texts: [UInt8] = []
        var itemCount = 0
        for (piece, list) in items.sorted(by: { $0.key < $1.key }) {
            let bit = PatternTable.hash(piece, bits: UInt64(bitmapBits))
            bitmap[bit >> 3] |= 1 << UInt8(bit & 7)
            var slot = PatternTable.hash(piece, bits: UInt64(slotBits))
            while slots[slot].count > 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = (piece, itemCount, list.count)
            itemCount += list.count
            // Literals were added in the order of their patterns, so the items of a slot are in theirs.
            for item in list {
                let literal = literals[item.literal]
                put(UInt32(literal.pattern), &rows)
                put(UInt32(texts.count), &rows)
                put(UInt16(literal.bytes.count), &rows)
                put(UInt16(item.at), &rows)
                texts += literal.bytes
            }
        }
        bytes += bitmap
        align(&bytes)
        note(.slotBits, slotBits)
        note(.slotsAt, bytes.count)
        for slot in slots {
            put(slot.piece, &bytes)
            put(UInt32(slot.first), &bytes)
            put(UInt32(slot.count), &bytes)
            put(UInt32(0), &bytes)
        }
        note(.itemCount, itemCount)
        note(.itemsAt, bytes.count)
        bytes += rows
        note(.literalsAt, bytes.count)
        note(.literalsSize, texts.count)
        bytes += texts
        align(&bytes)
    }

    private func cost(_ piece: UInt32, _ frequency: [UInt32: Int]) -> Int {
        (frequency[piece] ?? 0) + (Self.frequent.contains(piece) ? 1 << 20 : 0)
    }

    /// So many bits that 2 to their power is at least a count.
    private static func bits(_ count: Int, least: Int) -> Int {
        var bits = least
        while 1 << bits < count && bits < 24 { bits += 1 }
        return bits
    }

    private static func piece(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt32 {
        (0..<count).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }

    private func put<T: FixedWidthInteger>(_ value: T, _ bytes: inout [UInt8]) {
        for byte in 0..<T.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> T(8 * byte))) }
    }

    private func align(_ bytes: inout [UInt8]) {
        while bytes.count % 8 != 0 { bytes.append(0) }
    }
}
