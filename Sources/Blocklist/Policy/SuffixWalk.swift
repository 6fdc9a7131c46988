/// A walk over the suffixes of a query name, from its last label to the whole name: a later one is a longer one. Each label
/// is hashed once, and only when the walk comes to it. Integers and a pointer: nothing allocates.
struct SuffixWalk {
    /// The name's last labels.
    struct Suffix {
        fileprivate let hash: NameHash
        /// Its labels, 1 or more.
        let depth: Int
        /// Where it begins in the name's wire form.
        let start: Int

        /// Whether it is the name itself.
        @inline(__always)
        var isWhole: Bool { start == 0 }
        /// `NameHash.place`
        @inline(__always)
        var place: UInt64 { hash.place }
        /// `NameHash.check`
        @inline(__always)
        var check: UInt64 { hash.check }
    }

    private let query: QueryText
    private var hash: NameHash
    private var end: Int
    private var labelsLeft: Int

    @inline(__always)
    fileprivate init(_ query: QueryText, seed: UInt64) {
        self.query = query
        hash = NameHash(seed: seed)
        end = query.end
        labelsLeft = query.labels
    }

    /// Labels of the next suffix; more than the name has when there is none.
    @inline(__always)
    var nextDepth: Int { query.labels - labelsLeft + 1 }

    /// The next suffix, one label longer than the last; nil behind the whole name.
    @inline(__always)
    mutating func next() -> Suffix? {
        guard labelsLeft > 0 else { return nil }
        labelsLeft -= 1
        let place = query.place(labelsLeft)
        unsafe hash.prepend(query.text(place), end - place)
        end = place - 1
        return Suffix(hash: hash, depth: query.labels - labelsLeft, start: end)
    }

    /// Goes no further.
    @inline(__always)
    mutating func stop() { labelsLeft = 0 }
}

extension QueryText {
    /// - Parameter seed: of the hashes.
    @inline(__always)
    func suffixes(seed: UInt64) -> SuffixWalk { SuffixWalk(self, seed: seed) }

    /// `NameHash.place` of the whole name; 0 for the root.
    func hash(seed: UInt64) -> UInt64 {
        var walk = suffixes(seed: seed)
        var place: UInt64 = 0
        while let suffix = walk.next() { if suffix.isWhole { place = suffix.place } }
        return place
    }
}
