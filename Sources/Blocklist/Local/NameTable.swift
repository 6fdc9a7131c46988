import Wire

/// A few thousand names, each with a number; found by a whole name or by the longest suffix of one. Immutable; lookups
/// allocate nothing; any thread.
///
/// An open-addressed table of the hashes of the names. Of a name that is looked up, only suffixes with as many labels as
/// some name of the table are hashed.
final class NameTable: Sendable {
    private struct Entry {
        var place: Int32
        var byteCount: Int32
        var value: Int32
    }

    /// A slot holds the hash's upper half and the entry's number plus 1; 0 is free.
    private let slots: [UInt64]
    private let entries: [Entry]
    private let bytes: [UInt8]
    private let seed: UInt64
    /// Bit n: some name has n labels; the last bit stands for 63 and more.
    private let depths: UInt64

    /// - Parameter names: in wire form and lower case, each once; of a name that comes again the first counts.
    init(_ names: [(name: [UInt8], value: Int32)]) {
        seed = UInt64.random(in: 1...UInt64.max)
        var size = 8
        while size < names.count * 2 { size *= 2 }
        var slots = [UInt64](repeating: 0, count: size)
        var entries: [Entry] = []
        var bytes: [UInt8] = []
        var depths: UInt64 = 0
        adding: for (name, value) in names {
            let hash = unsafe NameTable.hash(name.span.bytes, from: 0, seed: seed)
            var slot = Int(truncatingIfNeeded: hash) & (size - 1)
            while slots[slot] != 0 {
                let other = entries[Int(slots[slot] & 0xffff_ffff) - 1]
                if bytes[Int(other.place)..<Int(other.place + other.byteCount)].elementsEqual(name) { continue adding }
                slot = (slot + 1) & (size - 1)
            }
            slots[slot] = (hash >> 32) << 32 | UInt64(entries.count + 1)
            entries.append(Entry(place: Int32(bytes.count), byteCount: Int32(name.count), value: value))
            bytes += name
            depths |= unsafe NameTable.bit(NameTable.labels(name.span.bytes))
        }
        self.slots = slots
        self.entries = entries
        self.bytes = bytes
        self.depths = depths
    }

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    /// The number of a name, -1 when it is not in the table.
    ///
    /// - Parameter name: wire form in lower case with the root's byte.
    func find(_ name: RawSpan) -> Int32 {
        guard depths & NameTable.bit(NameTable.labels(name)) != 0 else { return -1 }
        return find(name, from: 0)
    }

    /// The number of the longest suffix of a name that is in the table, -1 when none is.
    ///
    /// - Parameter isProper: only names above this one.
    func findSuffix(_ name: RawSpan, isProper: Bool = false) -> Int32 {
        var left = NameTable.labels(name)
        var at = 0
        if isProper {
            guard left > 0 else { return -1 }
            at = 1 + Int(name.u8(0))
            left -= 1
        }
        while true {
            if depths & NameTable.bit(left) != 0 {
                let value = find(name, from: at)
                if value >= 0 { return value }
            }
            guard left > 0 else { return -1 }
            at += 1 + Int(name.u8(at))
            left -= 1
        }
    }

    private static func bit(_ labels: Int) -> UInt64 { 1 << UInt64(min(labels, 63)) }

    /// Labels of a name; a malformed one ends where it is cut.
    private static func labels(_ name: RawSpan) -> Int {
        var count = 0
        var at = 0
        while at < name.byteCount, name.u8(at) != 0 {
            at += 1 + Int(name.u8(at))
            count += 1
        }
        // Without the root's byte at the end it is in no table, and no walk over it may run on.
        return at == name.byteCount - 1 ? count : 0
    }

    private func find(_ name: RawSpan, from offset: Int) -> Int32 {
        let hash = NameTable.hash(name, from: offset, seed: seed)
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 {
            if slots[slot] >> 32 == hash >> 32 {
                let entry = entries[Int(slots[slot] & 0xffff_ffff) - 1]
                if matches(entry, name, from: offset) { return entry.value }
            }
            slot = (slot + 1) & mask
        }
        return -1
    }

    private func matches(_ entry: Entry, _ name: RawSpan, from offset: Int) -> Bool {
        let count = Int(entry.byteCount)
        guard name.byteCount - offset == count else { return false }
        let stored = bytes
        return unsafe stored.span.bytes.part(Int(entry.place), count).matches(name.part(offset, count))
    }

    private static func hash(_ name: RawSpan, from offset: Int, seed: UInt64) -> UInt64 {
        var state = seed
        var at = offset
        while at + 8 <= name.byteCount {
            state = fold(state ^ name.u64(at), 0xa076_1d64_78bd_642f)
            at += 8
        }
        var last = UInt64(name.byteCount - offset)
        while at < name.byteCount {
            last = last << 8 | UInt64(name.u8(at))
            at += 1
        }
        return fold(state ^ last, 0xe703_7ed1_a0b4_28db)
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = (left ^ 0x8ebc_6af0_9c88_c6e3).multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
