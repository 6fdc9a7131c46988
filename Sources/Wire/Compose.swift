/// Writes the parts of a DNS message (RFC 1035 section 4.1). Each function returns the offset behind what it wrote.
/// The caller gives room: a header and question take at most 271 bytes, an OPT record 15 bytes and its text.
public enum Compose {
    /// The header. Counts of records are set later with `counts`.
    @inlinable
    public static func header(_ out: inout MutableRawSpan, id: UInt16, flags: UInt16, questions: UInt16) -> Int {
        out.put16(0, id)
        out.put16(2, flags)
        out.put16(4, questions)
        out.put16(6, 0)
        out.put32(8, 0)
        return Query.headerByteCount
    }

    @inlinable
    public static func counts(_ out: inout MutableRawSpan, answers: UInt16, authority: UInt16, additional: UInt16) {
        out.put16(6, answers)
        out.put16(8, authority)
        out.put16(10, additional)
    }

    /// The fixed part of a record owned by the question's name, by a compression pointer to offset 12.
    @inlinable
    public static func record(
        _ out: inout MutableRawSpan, at offset: Int, type: UInt16, class qclass: UInt16, ttl: UInt32, byteCount: Int
    ) -> Int {
        out.put16(offset, 0xc00c)
        out.put16(offset + 2, type)
        out.put16(offset + 4, qclass)
        out.put32(offset + 6, ttl)
        out.put16(offset + 10, UInt16(truncatingIfNeeded: byteCount))
        return offset + 12
    }

    /// The OPT record (RFC 6891 section 6.1.2), with an Extended DNS Error (RFC 8914 section 2) when `error` is not nil.
    ///
    /// - Parameters:
    ///   - rcode: its upper 8 bits go here.
    ///   - text: UTF-8 for a person, not terminated.
    @inlinable
    public static func opt(
        _ out: inout MutableRawSpan, at offset: Int, udpSize: UInt16, rcode: RCode, dnssecOK: Bool,
        error: ExtendedError?, text: RawSpan
    ) -> Int {
        out.put8(offset, 0)
        out.put16(offset + 1, RecordType.opt.code)
        out.put16(offset + 3, udpSize)
        out.put8(offset + 5, UInt8(truncatingIfNeeded: rcode.code >> 4))
        out.put8(offset + 6, 0)
        out.put16(offset + 7, dnssecOK ? 0x8000 : 0)
        guard let error else {
            out.put16(offset + 9, 0)
            return offset + 11
        }
        let count = text.byteCount
        out.put16(offset + 9, UInt16(truncatingIfNeeded: 6 + count))
        out.put16(offset + 11, 15)
        out.put16(offset + 13, UInt16(truncatingIfNeeded: 2 + count))
        out.put16(offset + 15, error.code)
        out.put(offset + 17, text)
        return offset + 17 + count
    }
}

/// An Extended DNS Error's info code (RFC 8914 section 4).
public struct ExtendedError: Hashable, Sendable {
    public let code: UInt16

    @inlinable
    public init(_ code: UInt16) {
        self.code = code
    }

    public static let other = ExtendedError(0)
    public static let blocked = ExtendedError(15)
    public static let notSupported = ExtendedError(21)
    public static let noReachableAuthority = ExtendedError(22)
    public static let networkError = ExtendedError(23)
    public static let invalidData = ExtendedError(24)
}
