/// A set of places of a pattern: small numbers, a bit each.
struct PlaceSet: Hashable {
    private(set) var words: [UInt64] = []

    init() {}

    init(_ place: Int) {
        insert(place)
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    mutating func insert(_ place: Int) {
        while words.count <= place >> 6 { words.append(0) }
        words[place >> 6] |= 1 << UInt64(place & 63)
    }

    mutating func formUnion(_ other: PlaceSet) {
        while words.count < other.words.count { words.append(0) }
        for index in other.words.indices { words[index] |= other.words[index] }
    }

    func union(_ other: PlaceSet) -> PlaceSet {
        var set = self
        set.formUnion(other)
        return set
    }

    /// The places, lowest first.
    func forEach(_ body: (Int) -> Void) {
        for index in words.indices {
            var word = words[index]
            while word != 0 {
                body(index << 6 | word.trailingZeroBitCount)
                word &= word - 1
            }
        }
    }
}
