/// The row number of a list's entry: list, line and place in the line in one integer, so that the rows of a list lie
/// together, in the order of its lines, without an index.
struct EntryID: Equatable {
    static let lineBits: Int64 = 30
    static let nameBits: Int64 = 12
    static let namesPerLine = 1 << nameBits
    static let lines = 1 << lineBits

    var raw: Int64

    init(raw: Int64) {
        self.raw = raw
    }

    /// - Parameters:
    ///   - line: from 1, below `lines`.
    ///   - name: the name's place among those taken from the line, from 0.
    @inline(__always)
    init(list: Int64, line: Int, name: Int) {
        raw = list << (EntryID.lineBits + EntryID.nameBits) | Int64(line) << EntryID.nameBits | Int64(name)
    }

    var list: Int32 { Int32(truncatingIfNeeded: raw >> (EntryID.lineBits + EntryID.nameBits)) }
    var line: Int { Int(raw >> EntryID.nameBits) & (EntryID.lines - 1) }
    var name: Int { Int(raw) & (EntryID.namesPerLine - 1) }

    /// All rows of a list.
    static func range(of list: Int64) -> ClosedRange<Int64> {
        EntryID(list: list, line: 0, name: 0).raw...EntryID(list: list + 1, line: 0, name: 0).raw - 1
    }
}
