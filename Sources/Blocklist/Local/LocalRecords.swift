import Wire

/// Names and their sets of records, ready for lookups. Immutable; lookups allocate nothing; any thread.
///
/// A name's own records come first; else those of the wildcard with the longest name above it, however many labels lie
/// between. Records of a name say nothing about names below it.
public final class LocalRecords: Sendable {
    /// The set that a name is answered from.
    public struct Place: Sendable, Equatable {
        let number: Int32
        /// It belongs to a wildcard.
        public let isWildcard: Bool
    }

    private let names: NameTable
    /// The names above which a `*` stands.
    private let wildcards: NameTable
    private let sets: RecordSets

    /// - Parameter records: names in stored form, `*.` in front of one for every name below. What does not fit into a set
    ///   any more, or is no name, is left out.
    init(_ records: [(name: String, record: LocalRecord)]) {
        var order: [String] = []
        var byName: [String: RecordSet] = [:]
        for (name, record) in records {
            if byName[name] == nil { order.append(name) }
            try? byName[name, default: RecordSet()].append(record)
        }
        var names: [(name: [UInt8], value: Int32)] = []
        var wildcards: [(name: [UInt8], value: Int32)] = []
        var sets: [RecordSet] = []
        for text in order {
            let isWildcard = text.hasPrefix("*.")
            guard let set = byName[text], let name = try? DomainName(isWildcard ? String(text.dropFirst(2)) : text)
            else { continue }
            let entry = (name: name.wire, value: Int32(sets.count))
            if isWildcard { wildcards.append(entry) } else { names.append(entry) }
            sets.append(set)
        }
        self.names = NameTable(names)
        self.wildcards = NameTable(wildcards)
        self.sets = RecordSets(sets)
    }

    public var isEmpty: Bool { sets.count == 0 }

    /// Names and wildcards that have records.
    public var count: Int { sets.count }

    /// The set that a name is answered from; nil when there is none.
    ///
    /// - Parameter name: wire form in lower case, with the root's byte.
    public func find(_ name: RawSpan) -> Place? {
        let own = names.find(name)
        if own >= 0 { return Place(number: own, isWildcard: false) }
        if wildcards.isEmpty { return nil }
        let above = wildcards.findSuffix(name, isProper: true)
        return above < 0 ? nil : Place(number: above, isWildcard: true)
    }

    /// The bytes of a set, in the layout of `RecordSet`.
    ///
    /// - Parameter place: from this value's `find`.
    @_lifetime(borrow self)
    public func bytes(_ place: Place) -> RawSpan {
        let sets = sets
        return unsafe _overrideLifetime(sets.bytes(Int(place.number)), borrowing: self)
    }
}
