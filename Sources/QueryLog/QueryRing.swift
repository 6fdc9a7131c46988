internal import Kernel
public import Synchronization
public import Wire

/// The way of a row from the engine to the log: a bounded ring of bytes with one producer and one consumer.
///
/// Memory is fixed at the start. A push copies about 150 bytes and publishes them with one atomic store; it takes no lock,
/// allocates nothing and never waits. When the ring is full the row is dropped and counted. The consumer sleeps until a
/// second is over or the ring is a quarter full; the push that crosses that line wakes it (one `eventfd` write).
///
/// Records are those of `RowRecord`; a size of 0 fills the rest of the ring up to its end, so a record is always in one piece.
@safe
public final class QueryRing: Sendable {
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
    @usableFromInline let droppedRows = Atomic<Int>(0)
    private let padding1 = Padding()
    /// Consumer: the first record it still needs.
    @usableFromInline let tail = Atomic<Int>(0)
    private let padding2 = Padding()

    /// - Parameter capacity: bytes, raised to a power of two of at least 64 KiB; a row takes about 160.
    /// - Throws: `KernelError` when no `eventfd` is to be had.
    public init(capacity: Int = 2 << 20) throws {
        var size = 64 << 10
        while size < capacity { size <<= 1 }
        self.capacity = size
        wakeup = try Wakeup()
        unsafe base = .allocate(byteCount: size, alignment: 64)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// Rows that found the ring full since the start. Any thread.
    public var dropped: Int { droppedRows.load(ordering: .relaxed) }

    /// Bytes that wait for the consumer. Any thread.
    public var used: Int {
        let tail = tail.load(ordering: .acquiring)
        return head.load(ordering: .acquiring) - tail
    }

    // MARK: - Producer

    /// Adds the row of a query. One thread at a time, always the same engine's.
    ///
    /// - Parameters:
    ///   - qname: wire form with the root's byte, lower case, at most 255 bytes; longer ones are cut.
    ///   - answer: the bytes of an `AnswerDigest`, at most 64; empty when there is none.
    /// - Returns: false when the ring was full; the row is counted in `dropped`.
    @inlinable
    @discardableResult
    public func push(_ row: QueryRow, qname: RawSpan, answer: RawSpan) -> Bool {
        add(row, .query, qname, min(qname.byteCount, 255), answer, min(answer.byteCount, AnswerDigest.capacity))
    }

    /// Adds the row of a flow. The same thread as for queries: another one needs a ring of its own.
    ///
    /// - Parameter name: wire form with the root's byte, lower case, at most 255 bytes; empty when there is none.
    /// - Returns: false when the ring was full; the row is counted in `dropped`.
    @inlinable
    @discardableResult
    public func push(_ row: FlowRow, name: RawSpan) -> Bool {
        add(row, .flow, name, min(name.byteCount, 255), RawSpan(), 0)
    }

    @inlinable @inline(__always)
    func add<Row>(
        _ row: Row, _ kind: RowRecord.Kind, _ first: RawSpan, _ firstCount: Int, _ second: RawSpan, _ secondCount: Int
    ) -> Bool {
        let size = RowRecord.size(of: Row.self, firstCount &+ secondCount)
        let head = self.head.load(ordering: .relaxed)
        var at = head & (capacity &- 1)
        let skip = at &+ size > capacity ? capacity &- at : 0
        let end = head &+ skip &+ size
        if end &- knownTail.load(ordering: .relaxed) > capacity {
            let tail = self.tail.load(ordering: .acquiring)
            knownTail.store(tail, ordering: .relaxed)
            if end &- tail > capacity {
                droppedRows.store(droppedRows.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
                return false
            }
        }
        if skip > 0 {
            unsafe base.storeBytes(of: 0, toByteOffset: at, as: UInt32.self)
            at = 0
        }
        unsafe RowRecord.write(base + at, size: size, kind, row, first, firstCount, second, secondCount)
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

    /// Where the consumer stands: read from here with `read`, give back with `release`.
    var position: Int { tail.load(ordering: .relaxed) }

    /// Reads the record at `position` and moves `position` behind it. The record stays in the ring until `release`.
    ///
    /// - Parameters:
    ///   - query: is given the row, the qname and the answer.
    ///   - flow: is given the row and the name.
    /// - Returns: false when there is none.
    func read<Failure: Error>(
        _ position: inout Int, query: (borrowing QueryRow, RawSpan, RawSpan) throws(Failure) -> Void,
        flow: (borrowing FlowRow, RawSpan) throws(Failure) -> Void
    ) throws(Failure) -> Bool {
        guard position < head.load(ordering: .acquiring) else { return false }
        var at = position & (capacity - 1)
        if unsafe RowRecord.size(at: base + at) == 0 {
            position += capacity - at
            at = 0
        }
        let record = unsafe UnsafeRawPointer(base + at)
        try unsafe RowRecord.read(record, query: query, flow: flow)
        position += unsafe RowRecord.size(at: record)
        return true
    }

    /// Gives everything before `position` back to the producer.
    func release(to position: Int) {
        tail.store(position, ordering: .releasing)
    }

    /// Asks the producer to wake the consumer when more than `bytes` are waiting.
    func requestWake(whenOver bytes: Int) {
        wakeAt.store(tail.load(ordering: .relaxed) + bytes, ordering: .relaxed)
        // The line may have been crossed before it was drawn.
        if used > bytes { wake() }
    }

    /// The descriptor that becomes readable on a wake, and taking the wake back.
    var wakeDescriptor: CInt { wakeup.number }
    func clearWake() { wakeup.clear() }
    /// Wakes the consumer from any thread.
    func signalConsumer() { wakeup.signal() }
}

/// Keeps its neighbours on cache lines of their own.
private struct Padding: Sendable {
    let bytes = InlineArray<128, UInt8>(repeating: 0)
}
