/// A set of interned ids, as bits: they are small and dense.
struct IDSet {
    private var words: [UInt64] = []
    private(set) var least: Int64 = .max
    private(set) var greatest: Int64 = -1

    init(_ ids: [Int64] = []) {
        for id in ids { insert(id) }
    }

    /// Ids that no table of ours gives are left out.
    mutating func insert(_ id: Int64) {
        guard id >= 0, id < 1 << 36 else { return }
        let word = Int(id >> 6)
        if word >= words.count { words += Array(repeating: 0, count: max(64, word + 1 - words.count, words.count)) }
        words[word] |= 1 << UInt64(id & 63)
        least = min(least, id)
        greatest = max(greatest, id)
    }

    var isEmpty: Bool { greatest < 0 }

    @inline(__always)
    func contains(_ id: Int64) -> Bool {
        id >= least && id <= greatest && words[Int(id >> 6)] & (1 << UInt64(id & 63)) != 0
    }
}
