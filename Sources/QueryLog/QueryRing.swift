public import Kernel
public import Wire

/// The way of a row from the engine to the log: about 150 bytes copied into a `RecordRing`. The log's writer sleeps until a second
/// is over or the ring is a quarter full. Records are those of `RowRecord`.
public final class QueryRing: Sendable {
    @usableFromInline let records: RecordRing

    /// - Parameter capacity: bytes, raised to a power of two of at least 64 KiB; a row takes about 160.
    /// - Throws: `KernelError` when no `eventfd` is to be had.
    public init(capacity: Int = 2 << 20) throws {
        records = try RecordRing(capacity: capacity, minimum: 64 << 10)
    }

    /// Rows that found the ring full since the start. Any thread.
    public var dropped: Int { records.dropped }

    /// Bytes of the ring.
    public var capacity: Int { records.capacity }

    /// Bytes that wait for the writer. Any thread.
    public var used: Int { records.used }

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
        return unsafe records.push(size) { record in
            unsafe RowRecord.write(record, size: size, kind, row, first, firstCount, second, secondCount)
        }
    }

    /// Reads the record at `position` and moves `position` behind it. The record stays in the ring until it is released.
    ///
    /// - Parameters:
    ///   - query: is given the row, the qname and the answer.
    ///   - flow: is given the row and the name.
    /// - Returns: false when there is none.
    func read<Failure: Error>(
        _ position: inout Int, query: (borrowing QueryRow, RawSpan, RawSpan) throws(Failure) -> Void,
        flow: (borrowing FlowRow, RawSpan) throws(Failure) -> Void
    ) throws(Failure) -> Bool {
        guard let record = unsafe records.next(&position) else { return false }
        try unsafe RowRecord.read(record, query: query, flow: flow)
        return true
    }
}
