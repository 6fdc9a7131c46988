import Wire

/// One half of the cache: a slab that fills from front to end, and an open-addressed index into it. Entries are never
/// moved or removed one by one; the half is emptied whole.
@safe
struct CacheHalf: ~Copyable {
    /// The fixed part of an entry. Behind it: the qname, the digest for the log, the targets of the
    /// CNAMEs, the message; then padding to 8.
    struct Entry {
        var hash: UInt64
        var facts: Cache.Facts
        var messageCount: UInt16
        var chainCount: UInt16
        var qtype: UInt16
        var qclass: UInt16
        var nameCount: UInt8
        var digestCount: UInt8
        var bits: UInt8
    }

    let slab: UnsafeMutableRawPointer
    let capacity: Int
    /// A slot holds the hash's upper half and the entry's offset in eights plus 1; 0 is free.
    let index: UnsafeMutablePointer<UInt64>
    let mask: Int
    var head = 0
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        unsafe slab = .allocate(byteCount: capacity, alignment: 64)
        var slots = 1024
        while slots < capacity / 64 { slots *= 2 }
        mask = slots - 1
        unsafe index = .allocate(capacity: slots)
        unsafe index.initialize(repeating: 0, count: slots)
    }

    deinit {
        unsafe slab.deallocate()
        unsafe index.deallocate()
    }

    mutating func removeAll() {
        unsafe index.update(repeating: 0, count: mask + 1)
        head = 0
        count = 0
    }

    static func byteCount(name: Int, digest: Int, chain: Int, message: Int) -> Int {
        (MemoryLayout<Entry>.stride + name + digest + chain + message + 7) & ~7
    }

    func hasRoom(_ bytes: Int) -> Bool {
        head + bytes <= capacity
    }

    /// The offset of the entry of a question, or -1.
    func find(_ key: QuestionKey, _ name: RawSpan) -> Int {
        var slot = Int(truncatingIfNeeded: key.hash) & mask
        while true {
            let value = unsafe index[slot]
            if value == 0 { return -1 }
            if value >> 32 == key.hash >> 32 {
                let offset = (Int(value & 0xffff_ffff) - 1) * 8
                if matches(offset, key, name) { return offset }
            }
            slot = (slot + 1) & mask
        }
    }

    func matches(_ offset: Int, _ key: QuestionKey, _ name: RawSpan) -> Bool {
        let entry = entry(offset)
        return entry.hash == key.hash && entry.qtype == key.qtype && entry.qclass == key.qclass
            && entry.bits == key.bits
            && bytes(offset + MemoryLayout<Entry>.stride, Int(entry.nameCount)).matches(name)
    }

    /// The fixed part of the entry at `offset`, which `find` or `insert` gave.
    func entry(_ offset: Int) -> Entry {
        precondition(offset >= 0 && offset + MemoryLayout<Entry>.stride <= head)
        return unsafe (slab + offset).assumingMemoryBound(to: Entry.self).pointee
    }

    /// Bytes of the slab that are written.
    @_lifetime(borrow self)
    func bytes(_ offset: Int, _ count: Int) -> RawSpan {
        precondition(offset >= 0 && count >= 0 && offset + count <= head)
        let bytes = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(slab + offset), byteCount: count)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Appends an entry and points the index at it, instead of at an older one of the same question. There must be room.
    ///
    /// - Returns: the entry's offset.
    mutating func insert(
        _ entry: Entry, _ key: QuestionKey, name: RawSpan, digest: RawSpan, chain: RawSpan, message: RawSpan
    ) -> Int {
        let offset = head
        head += CacheHalf.byteCount(
            name: name.byteCount, digest: digest.byteCount, chain: chain.byteCount, message: message.byteCount)
        precondition(head <= capacity)
        var entry = entry
        unsafe (slab + offset).copyMemory(from: &entry, byteCount: MemoryLayout<Entry>.size)
        var at = copy(name, to: offset + MemoryLayout<Entry>.stride)
        at = copy(digest, to: at)
        at = copy(chain, to: at)
        _ = copy(message, to: at)
        point(key, name, at: offset)
        return offset
    }

    /// Appends a copy of another half's entry. Returns its offset, or -1 when there is no room.
    mutating func insert(
        copying other: borrowing CacheHalf, _ hit: Cache.Hit, _ entry: Entry, _ key: QuestionKey
    ) -> Int {
        let nameCount = Int(entry.nameCount)
        let bytes = CacheHalf.byteCount(
            name: nameCount, digest: hit.digestCount, chain: hit.chainByteCount, message: hit.messageCount)
        guard hasRoom(bytes) else { return -1 }
        return insert(
            entry, key, name: other.bytes(hit.digest - nameCount, nameCount),
            digest: other.bytes(hit.digest, hit.digestCount), chain: other.bytes(hit.chain, hit.chainByteCount),
            message: other.bytes(hit.message, hit.messageCount))
    }

    private func copy(_ bytes: RawSpan, to offset: Int) -> Int {
        precondition(offset + bytes.byteCount <= capacity)
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe (slab + offset).copyMemory(from: start, byteCount: source.count)
        }
        return offset + bytes.byteCount
    }

    private mutating func point(_ key: QuestionKey, _ name: RawSpan, at offset: Int) {
        let value = (key.hash >> 32) << 32 | UInt64(offset / 8 + 1)
        var slot = Int(truncatingIfNeeded: key.hash) & mask
        while true {
            let old = unsafe index[slot]
            if old == 0 {
                count += 1
                break
            }
            if old >> 32 == key.hash >> 32, matches((Int(old & 0xffff_ffff) - 1) * 8, key, name) { break }
            slot = (slot + 1) & mask
        }
        unsafe index[slot] = value
    }
}
