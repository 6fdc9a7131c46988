internal import Wire

/// The ids of recently used byte strings: bounded, 16 bytes an entry, without an allocation per entry.
///
/// Strings are known by 64 bits of SipHash with the process's random seed, not kept: that two of those in the cache are
/// taken for each other happens once in 10^13 lookups, and nobody outside can choose strings to that end. Sets of eight
/// entries, in the order of their last use; a new one takes the place of the one unused for longest. One thread.
struct InternCache {
    struct Entry: Equatable {
        var id: Int64
        /// The epoch of the last use that the database knows.
        var seen: Int32
    }

    private struct Slot {
        /// 0: free.
        var hash: UInt64 = 0
        /// The id, 40 bits, and the epoch, 24 bits.
        var packed: UInt64 = 0

        var entry: Entry { Entry(id: Int64(packed >> 24), seen: Int32(packed & 0xff_ffff)) }

        init() {}

        init(_ hash: UInt64, _ entry: Entry) {
            self.hash = hash
            packed = UInt64(truncatingIfNeeded: entry.id) << 24 | UInt64(UInt32(bitPattern: entry.seen) & 0xff_ffff)
        }
    }

    private static let ways = 8
    private var slots: [Slot]

    /// - Parameter capacity: entries, raised to a power of two of at least 64.
    init(capacity: Int) {
        var size = 64
        while size < capacity { size <<= 1 }
        slots = Array(repeating: Slot(), count: size)
    }

    /// The entry of `key`, kept for longer because it was used.
    mutating func find(_ key: RawSpan) -> Entry? {
        let hash = InternCache.hash(key)
        let first = set(hash)
        for index in first..<first + InternCache.ways where slots[index].hash == hash {
            let found = slots[index]
            push(found, first, through: index)
            return found.entry
        }
        return nil
    }

    /// Adds an entry or replaces the one of the same key.
    mutating func insert(_ key: RawSpan, _ entry: Entry) {
        let hash = InternCache.hash(key)
        let first = set(hash)
        let last = first + InternCache.ways - 1
        let index = (first...last).first { slots[$0].hash == hash || slots[$0].hash == 0 } ?? last
        push(Slot(hash, entry), first, through: index)
    }

    mutating func removeAll() {
        for index in slots.indices { slots[index] = Slot() }
    }

    /// Where the set of a hash begins.
    private func set(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: hash >> 20) & (slots.count - 1) & ~(InternCache.ways - 1)
    }

    /// Puts a slot in the first place of its set; those before `last` move up by one, over it.
    private mutating func push(_ slot: Slot, _ first: Int, through last: Int) {
        var index = last
        while index > first {
            slots[index] = slots[index - 1]
            index -= 1
        }
        slots[first] = slot
    }

    private static func hash(_ key: RawSpan) -> UInt64 {
        var hasher = Hasher()
        unsafe key.withUnsafeBytes { bytes in unsafe hasher.combine(bytes: bytes) }
        return max(1, UInt64(bitPattern: Int64(hasher.finalize())))
    }
}
