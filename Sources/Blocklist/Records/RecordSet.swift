public import Wire

/// The records of one name as bytes, the one layout of local data.
///
/// Shape: for each record type (2 bytes), TTL in seconds (4), length of the data (2), all in network byte order, then the
/// data in wire form, names in it uncompressed (RFC 1035 section 4.1.3 without the owner and the class, which is IN).
public struct RecordSet: Sendable, Equatable {
    /// Bytes before a record's data.
    public static let headByteCount = 8
    /// The records of a name have at most so many bytes: an answer of them fits a message with the CNAMEs before it.
    public static let longest = 48 << 10

    public private(set) var bytes: [UInt8] = []

    public init() {}

    public var isEmpty: Bool { bytes.isEmpty }

    /// Adds a record.
    ///
    /// - Throws: `BlocklistError.badArgument` when the data of one name would get too long.
    public mutating func append(_ record: LocalRecord) throws(BlocklistError) {
        guard record.data.count <= 65535,
            bytes.count + RecordSet.headByteCount + record.data.count <= RecordSet.longest
        else {
            throw .badArgument("the records of one name would take more than \(RecordSet.longest) bytes")
        }
        let ttl = record.ttl
        bytes += [UInt8(truncatingIfNeeded: record.type.code >> 8), UInt8(truncatingIfNeeded: record.type.code)]
        bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: ttl >> $0) }
        bytes += [UInt8(record.data.count >> 8), UInt8(record.data.count & 0xff)]
        bytes += record.data
    }

    /// A record of a set: integers that point into its bytes.
    public struct Item: Sendable {
        public var type: UInt16
        /// Seconds.
        public var ttl: UInt32
        /// Where the data begins, and its length in bytes.
        public var data: Int
        public var byteCount: Int

        /// Where the next record begins.
        public var end: Int { data + byteCount }
    }

    /// Reads the record at `offset`; nil at the end, and for one that is cut.
    public static func item(of set: RawSpan, at offset: Int) -> Item? {
        guard offset >= 0, offset <= set.byteCount - headByteCount else { return nil }
        let item = Item(
            type: set.u16(offset), ttl: set.u32(offset + 2), data: offset + headByteCount,
            byteCount: Int(set.u16(offset + 6)))
        return item.end <= set.byteCount ? item : nil
    }
}

/// One record of local data, without the name it belongs to.
public struct LocalRecord: Sendable, Hashable {
    public var type: RecordType
    /// Seconds.
    public var ttl: UInt32
    /// In wire form, names in it uncompressed.
    public var data: [UInt8]
    /// In presentation form, as ldns prints it.
    public var text: String

    public init(type: RecordType, ttl: UInt32, data: [UInt8], text: String) {
        self.type = type
        self.ttl = ttl
        self.data = data
        self.text = text
    }
}
