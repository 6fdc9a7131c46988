public import Kernel
internal import Synchronization
internal import Wire

/// The way of queries and answers from the packet thread to the exporter: a bounded ring with one producer and one consumer.
///
/// As the query log's ring: a push copies the row and the DNS message and publishes them with one atomic store; it takes no
/// lock, allocates nothing and never waits. When the ring is full it drops and counts.
///
/// A record is a multiple of 8 bytes: its size (4 bytes), the count of message bytes (4), the row, the message. A size of 0
/// fills the rest of the ring up to its end.
@safe
public final class TapRing: Sendable {
    /// What the consumer wants of a query.
    public struct Wants: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The DNS message of answers.
        public static let messages = Wants(rawValue: 1)
        /// Queries too, with their messages.
        public static let queries = Wants(rawValue: 2)
    }

    public let wants: Wants
    let capacity: Int
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer
    private let wakeup: Wakeup

    private let padding0 = Padding()
    private let head = Atomic<Int>(0)
    private let knownTail = Atomic<Int>(0)
    private let wakeAt = Atomic<Int>(.max)
    private let droppedRecords = Atomic<Int>(0)
    private let padding1 = Padding()
    private let tail = Atomic<Int>(0)
    private let padding2 = Padding()

    /// - Parameter capacity: bytes, raised to a power of two of at least 256 KiB.
    /// - Throws: `KernelError` when no `eventfd` is to be had.
    public init(capacity: Int = 4 << 20, wants: Wants) throws(KernelError) {
        var size = 256 << 10
        while size < capacity { size <<= 1 }
        self.capacity = size
        self.wants = wants
        wakeup = try Wakeup()
        unsafe base = .allocate(byteCount: size, alignment: 64)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// Records that found the ring full since the start. Any thread.
    public var dropped: Int { droppedRecords.load(ordering: .relaxed) }

    /// Bytes that wait. Any thread.
    var used: Int {
        let tail = tail.load(ordering: .acquiring)
        return head.load(ordering: .acquiring) - tail
    }

    private static let rowOffset = 8
    private static let messageOffset = rowOffset + MemoryLayout<TapRow>.size

    // MARK: - Producer

    /// Adds a query or answer. One thread at a time, always the same.
    ///
    /// - Parameter message: the DNS message; empty when nobody `wants` it.
    /// - Returns: false when the ring was full.
    @discardableResult
    public func push(_ row: TapRow, message: RawSpan) -> Bool {
        let size = (TapRing.messageOffset &+ message.byteCount &+ 7) & ~7
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
        let record = unsafe base + at
        unsafe record.storeBytes(of: UInt32(truncatingIfNeeded: size), as: UInt32.self)
        unsafe record.storeBytes(of: UInt32(truncatingIfNeeded: message.byteCount), toByteOffset: 4, as: UInt32.self)
        unsafe (record + TapRing.rowOffset).initializeMemory(as: TapRow.self, to: row)
        unsafe message.withUnsafeBytes { bytes in
            guard let from = bytes.baseAddress else { return }
            unsafe (record + TapRing.messageOffset).copyMemory(from: from, byteCount: bytes.count)
        }
        self.head.store(end, ordering: .releasing)
        if end > wakeAt.load(ordering: .relaxed) {
            wakeAt.store(.max, ordering: .relaxed)
            wakeup.signal()
        }
        return true
    }

    // MARK: - Consumer

    /// Gives every record that is there now to `body`, and its room back.
    func drain(_ body: (borrowing TapRow, RawSpan) -> Void) {
        let end = head.load(ordering: .acquiring)
        var position = tail.load(ordering: .relaxed)
        while position < end {
            var at = position & (capacity - 1)
            var size = unsafe Int(base.load(fromByteOffset: at, as: UInt32.self))
            if size == 0 {
                position += capacity - at
                at = 0
                size = unsafe Int(base.load(as: UInt32.self))
            }
            let record = unsafe UnsafeRawPointer(base + at)
            let count = unsafe Int(record.load(fromByteOffset: 4, as: UInt32.self))
            let message = unsafe UnsafeRawBufferPointer(start: record + TapRing.messageOffset, count: count)
            unsafe body((record + TapRing.rowOffset).assumingMemoryBound(to: TapRow.self).pointee, message.bytes)
            position += size
            tail.store(position, ordering: .releasing)
        }
    }

    /// Asks the producer to wake the consumer when a quarter of the ring is in use.
    func requestWake() {
        wakeAt.store(tail.load(ordering: .relaxed) + capacity / 4, ordering: .relaxed)
        if used > capacity / 4 { wakeup.signal() }
    }

    var wakeDescriptor: CInt { wakeup.number }
    func clearWake() { wakeup.clear() }
}

/// Keeps its neighbours on cache lines of their own.
private struct Padding: Sendable {
    let bytes = InlineArray<128, UInt8>(repeating: 0)
}
