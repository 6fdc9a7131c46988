import Wire

/// Names and their sets of records, ready for lookups. Immutable; lookups allocate nothing; any thread.
///
/// A name's own records come first; else those of the wildcard with the longest name above it, however many labels lie
/// between. Records of a name say nothing about names below it.
@safe
public final class LocalRecords: Sendable {
    /// Where a set stands.
    public struct Place: Sendable, Equatable {
        fileprivate var offset: Int32
        fileprivate var count: Int32
        /// It belongs to a wildcard.
        public let isWildcard: Bool
    }

    private let names: NameTable
    /// The names above which a `*` stands.
    private let wildcards: NameTable
    private let places: [Place]
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
    private let byteCount: Int

    /// - Parameter records: names in stored form, `*.` in front of one for every name below. What does not fit into a set
    ///   any more, or is no name, is left out.
    init(_ records: [(name: String, record: LocalRecord)]) {
        var order: [String] = []
        var sets: [String: RecordSet] = [:]
        for (name, record) in records {
            if sets[name] == nil { order.append(name) }
            try? sets[name, default: RecordSet()].append(record)
        }
        var names: [(name: [UInt8], value: Int32)] = []
        var wildcards: [(name: [UInt8], value: Int32)] = []
        var places: [Place] = []
        var bytes: [UInt8] = []
        for text in order {
            let isWildcard = text.hasPrefix("*.")
            guard let set = sets[text], let name = try? DomainName(isWildcard ? String(text.dropFirst(2)) : text)
            else { continue }
            let entry = (name: name.wire, value: Int32(places.count))
            if isWildcard { wildcards.append(entry) } else { names.append(entry) }
            places.append(
                Place(offset: Int32(bytes.count), count: Int32(set.bytes.count), isWildcard: isWildcard))
            bytes += set.bytes
        }
        self.names = NameTable(names)
        self.wildcards = NameTable(wildcards)
        self.places = places
        byteCount = bytes.count
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { unsafe memory.copyMemory(from: start, byteCount: source.count) }
        }
        unsafe self.memory = unsafe memory
    }

    deinit {
        unsafe memory.deallocate()
    }

    public var isEmpty: Bool { places.isEmpty }

    /// Names and wildcards that have records.
    public var count: Int { places.count }

    /// The set that a name is answered from; nil when there is none.
    ///
    /// - Parameter name: wire form in lower case, with the root's byte.
    public func find(_ name: RawSpan) -> Place? {
        var index = names.find(name)
        if index < 0, !wildcards.isEmpty { index = wildcards.findSuffix(name, isProper: true) }
        return index < 0 ? nil : places[Int(index)]
    }

    /// The bytes of a set, in the layout of `RecordSet`.
    ///
    /// - Parameter place: from this value's `find`.
    @_lifetime(borrow self)
    public func bytes(_ place: Place) -> RawSpan {
        precondition(place.offset >= 0 && Int(place.offset) + Int(place.count) <= byteCount)
        let bytes = unsafe RawSpan(
            _unsafeStart: UnsafeRawPointer(memory + Int(place.offset)), byteCount: Int(place.count))
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
