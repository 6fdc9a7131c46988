import Wire

/// Sets of records in one piece of memory, by number. Immutable; any thread.
@safe
final class RecordSets: Sendable {
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
    /// Where each set begins; one more for the end.
    private let places: [Int]

    init(_ sets: [RecordSet]) {
        var places = [0]
        for set in sets { places.append(places[places.count - 1] + set.bytes.count) }
        self.places = places
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(places[sets.count], 1), alignment: 16)
        for (index, set) in sets.enumerated() {
            unsafe set.bytes.withUnsafeBytes { source in
                guard let start = source.baseAddress else { return }
                unsafe (memory + places[index]).copyMemory(from: start, byteCount: source.count)
            }
        }
        unsafe self.memory = unsafe memory
    }

    deinit {
        unsafe memory.deallocate()
    }

    var count: Int { places.count - 1 }

    /// The bytes of a set, in the layout of `RecordSet`.
    @_lifetime(borrow self)
    func bytes(_ number: Int) -> RawSpan {
        let start = places[number]
        let bytes = unsafe RawSpan(
            _unsafeStart: UnsafeRawPointer(memory + start), byteCount: places[number + 1] - start)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
