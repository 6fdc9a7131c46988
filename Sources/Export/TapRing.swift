public import Kernel
internal import Wire

/// The way of queries and answers from the packet thread to the exporter: the row and the DNS message in a `RecordRing`.
///
/// A record is its size (4 bytes), the count of message bytes (4), the row, the message.
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
    let records: RecordRing

    /// - Parameter capacity: bytes, raised to a power of two of at least 256 KiB.
    /// - Throws: `KernelError` when no `eventfd` is to be had.
    public init(capacity: Int = 4 << 20, wants: Wants) throws(KernelError) {
        records = try RecordRing(capacity: capacity, minimum: 256 << 10)
        self.wants = wants
    }

    /// Records that found the ring full since the start. Any thread.
    public var dropped: Int { records.dropped }

    private static let rowOffset = 8
    private static let messageOffset = rowOffset + MemoryLayout<TapRow>.size

    /// Adds a query or answer. One thread at a time, always the same.
    ///
    /// - Parameter message: the DNS message; empty when nobody `wants` it.
    /// - Returns: false when the ring was full.
    @discardableResult
    public func push(_ row: TapRow, message: RawSpan) -> Bool {
        let size = (TapRing.messageOffset &+ message.byteCount &+ 7) & ~7
        return unsafe records.push(size) { record in
            unsafe record.storeBytes(
                of: UInt32(truncatingIfNeeded: message.byteCount), toByteOffset: 4, as: UInt32.self)
            unsafe (record + TapRing.rowOffset).initializeMemory(as: TapRow.self, to: row)
            unsafe message.withUnsafeBytes { bytes in
                guard let from = bytes.baseAddress else { return }
                unsafe (record + TapRing.messageOffset).copyMemory(from: from, byteCount: bytes.count)
            }
        }
    }

    /// Gives every record that is there now to `body`, and its room back.
    func drain(_ body: (borrowing TapRow, RawSpan) -> Void) {
        var left = records.used
        var position = records.position
        while left > 0, let record = unsafe records.next(&position) {
            let count = unsafe Int(record.load(fromByteOffset: 4, as: UInt32.self))
            let message = unsafe UnsafeRawBufferPointer(start: record + TapRing.messageOffset, count: count)
            unsafe body((record + TapRing.rowOffset).assumingMemoryBound(to: TapRow.self).pointee, message.bytes)
            left -= position - records.position
            records.release(to: position)
        }
    }

    /// Asks the producer to wake the consumer when a quarter of the ring is in use.
    func requestWake() { records.requestWake(whenOver: records.capacity / 4) }
}
