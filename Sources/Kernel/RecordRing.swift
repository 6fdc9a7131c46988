public import Synchronization

/// A bounded ring of records with one producer and one consumer: the way out of a thread that must not wait.
///
/// Memory is fixed at the start. A push writes the record and publishes it with one atomic store; it takes no lock, allocates
/// nothing and never waits. When the ring is full the record is dropped and counted. The consumer says how much may wait
/// until it wants to be woken; the push that crosses that line wakes it (one `eventfd` write).
///
/// A record is a multiple of 8 bytes and in one piece. Its first four bytes are its size, native byte order; 0 fills the rest
/// of the ring up to its end.
@safe
public final class RecordRing: Sendable {
    /// Bytes of the ring, a power of two.
    public let capacity: Int
    @usableFromInline nonisolated(unsafe) let base: UnsafeMutableRawPointer
    private let wakeup: Wakeup

    // Positions count bytes since the start and never wrap. Each side's own are kept on a cache line of their own.
    private let padding0 = Padding()
    /// Producer: behind the last record.
    @usableFromInline let head = Atomic<Int>(0)
    /// Producer's copy of `tail`, renewed only when the ring looks full.
    @usableFromInline let knownTail = Atomic<Int>(0)
    /// Producer: the position whose crossing wakes the consumer; set by the consumer.
    @usableFromInline let wakeAt = Atomic<Int>(.max)
    @usableFromInline let droppedRecords = Atomic<Int>(0)
    private let padding1 = Padding()
    /// Consumer: the first record it still needs.
    @usableFromInline let tail = Atomic<Int>(0)
    private let padding2 = Padding()

    /// Bytes in front of what the producer writes.
    @inlinable public static var sizeByteCount: Int { 4 }

    /// - Parameters:
    ///   - capacity: bytes, raised to a power of two.
    ///   - minimum: bytes, a power of two.
    /// - Throws: `KernelError` when no `eventfd` is to be had.
    public init(capacity: Int, minimum: Int) throws(KernelError) {
        var size = minimum
        while size < capacity { size <<= 1 }
        self.capacity = size
        wakeup = try Wakeup()
        unsafe base = .allocate(byteCount: size, alignment: 64)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// Records that found the ring full since the start. Any thread.
    public var dropped: Int { droppedRecords.load(ordering: .relaxed) }

    /// Bytes that wait for the consumer. Any thread.
    public var used: Int {
        let tail = tail.load(ordering: .acquiring)
        return head.load(ordering: .acquiring) - tail
    }

    // MARK: - Producer

    /// Adds a record. One thread at a time, always the same.
    ///
    /// - Parameters:
    ///   - size: bytes of the record with its size, a multiple of 8, at most a quarter of the ring.
    ///   - write: is given the record, whose size stands in its first four bytes already, and writes the rest.
    /// - Returns: false when the ring was full; the record is counted in `dropped`.
    @inlinable @inline(__always)
    public func push(_ size: Int, _ write: (UnsafeMutableRawPointer) -> Void) -> Bool {
        let head = self.head.load(ordering: .relaxed)
        var at = head & (capacity &- 1)
        let skip = at &+ size > capacity ? capacity &- at : 0
        let end = head &+ skip &+ size
        if end &- knownTail.load(ordering: .relaxed) > capacity {
            let tail = self.tail.load(ordering: .acquiring)
            knownTail.store(tail, ordering: .relaxed)
            if end &- tail > capacity {
                droppedRecords.store(droppedRecords.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
                return false
            }
        }
        if skip > 0 {
            unsafe base.storeBytes(of: 0, toByteOffset: at, as: UInt32.self)
            at = 0
        }
        unsafe base.storeBytes(of: UInt32(truncatingIfNeeded: size), toByteOffset: at, as: UInt32.self)
        unsafe write(base + at)
        self.head.store(end, ordering: .releasing)
        if end > wakeAt.load(ordering: .relaxed) { wake() }
        return true
    }

    @usableFromInline @inline(never)
    func wake() {
        wakeAt.store(.max, ordering: .relaxed)
        wakeup.signal()
    }

    // MARK: - Consumer

    /// Where the consumer stands: read from here with `next`, give back with `release`.
    public var position: Int { tail.load(ordering: .relaxed) }

    /// The record at `position`, which moves behind it; nil when there is none. It stays in the ring until `release`.
    @inline(__always)
    public func next(_ position: inout Int) -> UnsafeRawPointer? {
        guard position < head.load(ordering: .acquiring) else { return nil }
        var at = position & (capacity - 1)
        var size = unsafe Int(base.load(fromByteOffset: at, as: UInt32.self))
        if size == 0 {
            position += capacity - at
            at = 0
            size = unsafe Int(base.load(as: UInt32.self))
        }
        position += size
        return unsafe UnsafeRawPointer(base + at)
    }

    /// Gives everything before `position` back to the producer.
    public func release(to position: Int) {
        tail.store(position, ordering: .releasing)
    }

    /// Asks the producer to wake the consumer when more than `bytes` are waiting.
    public func requestWake(whenOver bytes: Int) {
        wakeAt.store(tail.load(ordering: .relaxed) + bytes, ordering: .relaxed)
        // The line may have been crossed before it was drawn.
        if used > bytes { wake() }
    }

    /// The descriptor that becomes readable on a wake, and taking the wake back.
    public var wakeDescriptor: CInt { wakeup.number }
    public func clearWake() { wakeup.clear() }
    /// Wakes the consumer from any thread.
    public func signalConsumer() { wakeup.signal() }
}

/// Keeps its neighbours on cache lines of their own.
private struct Padding: Sendable {
    let bytes = InlineArray<128, UInt8>(repeating: 0)
}
