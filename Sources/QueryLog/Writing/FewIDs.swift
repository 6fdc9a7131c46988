/// The ids of a few things, looked up anew in every transaction. A small table of the last ones stands before a dictionary.
struct FewIDs<Key: Hashable> {
    private var recent: [(key: Key, id: Int64)?]
    private var all: [Key: Int64] = [:]

    /// A power of two.
    private static var size: Int { 32 }

    init() {
        recent = Array(repeating: nil, count: FewIDs.size)
    }

    /// - Parameters:
    ///   - hint: any number that differs for keys that often follow one another.
    ///   - find: gives the id of a key that is not known yet.
    @inline(__always)
    mutating func id(
        _ key: Key, hint: Int, _ find: () throws(QueryLogError) -> Int64
    ) throws(QueryLogError) -> Int64 {
        let slot = hint & (FewIDs.size - 1)
        if let last = recent[slot], last.key == key { return last.id }
        let id: Int64
        if let known = all[key] {
            id = known
        } else {
            id = try find()
            all[key] = id
        }
        recent[slot] = (key, id)
        return id
    }

    mutating func removeAll() {
        if all.isEmpty { return }
        for index in recent.indices { recent[index] = nil }
        all.removeAll(keepingCapacity: true)
    }
}
