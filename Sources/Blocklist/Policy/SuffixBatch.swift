/// A few suffixes of a query name whose lines are on their way into the cache: all are asked for before the first is looked
/// at, so that they are waited for together.
@safe
struct SuffixBatch {
    struct Suffix {
        /// `NameHash.place`
        var place: UInt64
        /// `NameHash.check`
        var check: UInt64
        /// Of the lists' index: `IndexView.head`.
        var head: UInt64
        /// Labels.
        var depth: Int
    }

    static let capacity = 8
    /// Bytes.
    static let size = capacity * MemoryLayout<Suffix>.size

    private let memory: UnsafeMutableRawPointer
    private(set) var count = 0

    /// - Parameter memory: `size` bytes, aligned to 8, that outlive the value.
    @unsafe
    init(_ memory: UnsafeMutableRawPointer) {
        unsafe self.memory = unsafe memory
    }

    var isFull: Bool { count == SuffixBatch.capacity }

    @inline(__always)
    mutating func append(_ suffix: Suffix) {
        assert(!isFull)
        unsafe memory.storeBytes(of: suffix, toByteOffset: count * MemoryLayout<Suffix>.size, as: Suffix.self)
        count += 1
    }

    mutating func removeAll() { count = 0 }

    @inline(__always)
    subscript(index: Int) -> Suffix {
        unsafe memory.load(fromByteOffset: index * MemoryLayout<Suffix>.size, as: Suffix.self)
    }
}
