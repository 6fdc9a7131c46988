/// How a row lies in memory between the engine and the database, in the ring and in the batch.
///
/// A multiple of 8 bytes: its size (4 bytes), the counts of name and answer bytes (1 each), its kind (1), the row at 8,
/// then the bytes. Native byte order: it never leaves the process.
@usableFromInline enum RowRecord {
    @usableFromInline enum Kind: UInt8 {
        case query, flow
    }

    @usableFromInline static let rowOffset = 8

    /// Bytes of the record of a row with so many bytes behind it.
    @inlinable @inline(__always)
    static func size<Row>(of row: Row.Type, _ textCount: Int) -> Int {
        (rowOffset &+ MemoryLayout<Row>.size &+ textCount &+ 7) & ~7
    }

    /// Lays a record down. The caller has made sure of `size` bytes.
    @inlinable @inline(__always)
    static func write<Row>(
        _ record: UnsafeMutableRawPointer, size: Int, _ kind: Kind, _ row: Row, _ first: RawSpan, _ firstCount: Int,
        _ second: RawSpan, _ secondCount: Int
    ) {
        unsafe record.storeBytes(of: UInt32(truncatingIfNeeded: size), as: UInt32.self)
        unsafe record.storeBytes(of: UInt8(truncatingIfNeeded: firstCount), toByteOffset: 4, as: UInt8.self)
        unsafe record.storeBytes(of: UInt8(truncatingIfNeeded: secondCount), toByteOffset: 5, as: UInt8.self)
        unsafe record.storeBytes(of: kind.rawValue, toByteOffset: 6, as: UInt8.self)
        unsafe (record + rowOffset).initializeMemory(as: Row.self, to: row)
        let text = unsafe record + rowOffset + MemoryLayout<Row>.size
        unsafe first.withUnsafeBytes { bytes in
            guard let from = bytes.baseAddress else { return }
            unsafe text.copyMemory(from: from, byteCount: firstCount)
        }
        unsafe second.withUnsafeBytes { bytes in
            guard let from = bytes.baseAddress else { return }
            unsafe (text + firstCount).copyMemory(from: from, byteCount: secondCount)
        }
    }

    /// Bytes of the record that begins there.
    @inline(__always)
    static func size(at record: UnsafeRawPointer) -> Int {
        unsafe Int(record.load(as: UInt32.self))
    }

    /// Gives the row and the bytes of a record to one of the closures.
    @inline(__always)
    static func read<Failure: Error>(
        _ record: UnsafeRawPointer, query: (borrowing QueryRow, RawSpan, RawSpan) throws(Failure) -> Void,
        flow: (borrowing FlowRow, RawSpan) throws(Failure) -> Void
    ) throws(Failure) {
        let row = unsafe record + rowOffset
        let firstCount = unsafe Int(record.load(fromByteOffset: 4, as: UInt8.self))
        let secondCount = unsafe Int(record.load(fromByteOffset: 5, as: UInt8.self))
        if unsafe record.load(fromByteOffset: 6, as: UInt8.self) == Kind.flow.rawValue {
            let text = unsafe UnsafeRawBufferPointer(start: row + MemoryLayout<FlowRow>.size, count: firstCount)
            try unsafe flow(row.assumingMemoryBound(to: FlowRow.self).pointee, text.bytes)
        } else {
            let text = unsafe row + MemoryLayout<QueryRow>.size
            let qname = unsafe UnsafeRawBufferPointer(start: text, count: firstCount)
            let answer = unsafe UnsafeRawBufferPointer(start: text + firstCount, count: secondCount)
            try unsafe query(row.assumingMemoryBound(to: QueryRow.self).pointee, qname.bytes, answer.bytes)
        }
    }
}
