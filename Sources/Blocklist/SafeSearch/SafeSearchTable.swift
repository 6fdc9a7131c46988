import Wire

/// The names of search engines whose safe search is enforced, ready for lookups. Immutable; lookups allocate nothing; any
/// thread.
public final class SafeSearchTable: Sendable {
    /// How strict an engine is, and for which groups.
    struct Level {
        var records: [LocalRecord]
        /// Bit n: for the group with id n.
        var groups: UInt64
    }

    /// An engine that is enforced for somebody.
    struct Engine {
        var names: [String]
        /// The strictest first.
        var levels: [Level]
    }

    /// The name's engine, and where the levels of each engine begin; one more for the end.
    private let names: NameTable
    private let firsts: [Int32]
    /// Of each level: for whom.
    private let groups: [UInt64]
    private let sets: RecordSets

    init(_ engines: [Engine] = []) {
        var names: [(name: [UInt8], value: Int32)] = []
        var firsts: [Int32] = [0]
        var groups: [UInt64] = []
        var sets: [RecordSet] = []
        for (number, engine) in engines.enumerated() {
            // A name that some other program wrote into the database may be none.
            names += engine.names.compactMap { name in
                (try? DomainName(name)).map { ($0.wire, Int32(number)) }
            }
            for level in engine.levels {
                var set = RecordSet()
                for record in level.records { try? set.append(record) }
                sets.append(set)
                groups.append(level.groups)
            }
            firsts.append(Int32(sets.count))
        }
        self.names = NameTable(names)
        self.firsts = firsts
        self.groups = groups
        self.sets = RecordSets(sets)
    }

    public var isEmpty: Bool { names.isEmpty }

    /// Names that are answered otherwise for somebody.
    public var count: Int { names.count }

    /// The number of the set that a name is answered from, for somebody in groups; the strictest of theirs. -1: none.
    ///
    /// - Parameters:
    ///   - name: wire form in lower case, with the root's byte.
    ///   - groups: bit n: in the group with id n.
    func find(_ name: RawSpan, groups wanted: UInt64) -> Int {
        let engine = Int(names.find(name))
        guard engine >= 0 else { return -1 }
        var level = Int(firsts[engine])
        while level < Int(firsts[engine + 1]) {
            if groups[level] & wanted != 0 { return level }
            level += 1
        }
        return -1
    }

    /// The bytes of a set, in the layout of `RecordSet`.
    @_lifetime(borrow self)
    public func bytes(_ number: Int) -> RawSpan {
        let sets = sets
        return unsafe _overrideLifetime(sets.bytes(number), borrowing: self)
    }
}
