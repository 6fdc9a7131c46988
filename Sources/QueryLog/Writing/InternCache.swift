internal import Wire

/// The ids of recently used byte strings: bounded, exact, without an allocation per entry.
///
/// Two generations of a hash table. What is found in the older one moves to the younger; when the younger is full, the
/// older is forgotten and the two change places. So memory is fixed and what is used stays. One thread.
struct InternCache {
    struct Entry: Equatable {
        var id: Int64
        /// The epoch of the last use that the database knows.
        var seen: Int32
    }

    private var young: Generation
    private var old: Generation

    /// - Parameter capacity: entries of a generation; twice as many are held at most.
    init(capacity: Int) {
        young = Generation(capacity: capacity)
        old = Generation(capacity: capacity)
    }

    /// The entry of `key`, kept for longer because it was used.
    mutating func find(_ key: RawSpan) -> Entry? {
        let hash = KeyedHash.hash(key)
        if let slot = young.find(key, hash) { return young.slots[slot].entry }
        guard let slot = old.find(key, hash) else { return nil }
        let entry = old.slots[slot].entry
        insert(key, hash, entry)
        return entry
    }

    /// Adds an entry or replaces the one of the same key.
    mutating func insert(_ key: RawSpan, _ entry: Entry) {
        insert(key, KeyedHash.hash(key), entry)
    }

    private mutating func insert(_ key: RawSpan, _ hash: UInt64, _ entry: Entry) {
        if let slot = young.find(key, hash) {
            young.slots[slot].entry = entry
            return
        }
        if young.isFull {
            swap(&young, &old)
            young.removeAll()
        }
        young.add(key, hash, entry)
    }

    mutating func removeAll() {
        young.removeAll()
        old.removeAll()
    }

    /// An open-addressing table at most three quarters full, with the keys one after the other in one buffer.
    private struct Generation {
        struct Slot {
            var entry = Entry(id: 0, seen: 0)
            var tag: UInt32 = 0
            var offset: UInt32 = 0
            /// Key bytes + 1; 0: the slot is free.
            var size: UInt32 = 0
        }

        var slots: [Slot]
        private var keys: [UInt8] = []
        private var count = 0
        private let capacity: Int

        init(capacity: Int) {
            self.capacity = capacity
            var size = 16
            while size * 3 < capacity * 4 { size <<= 1 }
            slots = Array(repeating: Slot(), count: size)
        }

        var isFull: Bool { count >= capacity }

        func find(_ key: RawSpan, _ hash: UInt64) -> Int? {
            let tag = UInt32(truncatingIfNeeded: hash >> 32)
            var at = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[at].size != 0 {
                let slot = slots[at]
                if slot.tag == tag, Int(slot.size) == key.byteCount + 1 {
                    let stored = unsafe keys.span.bytes.part(Int(slot.offset), key.byteCount)
                    if stored.matches(key) { return at }
                }
                at = (at + 1) & (slots.count - 1)
            }
            return nil
        }

        mutating func add(_ key: RawSpan, _ hash: UInt64, _ entry: Entry) {
            var at = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[at].size != 0 { at = (at + 1) & (slots.count - 1) }
            slots[at] = Slot(
                entry: entry, tag: UInt32(truncatingIfNeeded: hash >> 32), offset: UInt32(keys.count),
                size: UInt32(key.byteCount + 1))
            unsafe key.withUnsafeBytes { bytes in unsafe keys.append(contentsOf: bytes) }
            count += 1
        }

        mutating func removeAll() {
            guard count > 0 else { return }
            for index in slots.indices { slots[index].size = 0 }
            keys.removeAll(keepingCapacity: true)
            count = 0
        }
    }
}
