/// The sets of classes that list a name, each kept once.
struct SetTable {
    /// As in the index: a class, or `IndexView.several` and the place of a row.
    private(set) var words: [UInt32] = []
    /// Rows: a count and so many classes.
    private(set) var members: [UInt32] = []
    /// The set of one class, for each class; -1: there is none yet.
    private var ones: [Int32]
    private var rows: [[UInt32]: UInt32] = [:]

    /// Sets that the records have bits for.
    static let most = 1 << 24

    init(classes: Int) {
        ones = [Int32](repeating: -1, count: classes)
    }

    /// Bits of a set's number.
    var bits: Int { words.count <= 1 ? 0 : (words.count - 1).bitWidth - (words.count - 1).leadingZeroBitCount }

    /// The set of one class.
    mutating func number(ofOne number: Int) throws(BlocklistError) -> UInt32 {
        // Classes can be added while names are settled.
        while ones.count <= number { ones.append(-1) }
        if ones[number] >= 0 { return UInt32(ones[number]) }
        let set = try append(UInt32(number))
        ones[number] = Int32(set)
        return set
    }

    /// The set of two classes or more, in their order of precedence.
    mutating func number(of row: [UInt32]) throws(BlocklistError) -> UInt32 {
        if let known = rows[row] { return known }
        let set = try append(UInt32(members.count) | IndexView.several)
        members.append(UInt32(row.count))
        members += row
        rows[row] = set
        return set
    }

    private mutating func append(_ word: UInt32) throws(BlocklistError) -> UInt32 {
        guard words.count < SetTable.most, members.count < Int(IndexView.several) else {
            throw .tooLarge("the lists overlap in more than \(SetTable.most) ways")
        }
        words.append(word)
        return UInt32(words.count - 1)
    }
}
