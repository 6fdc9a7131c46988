/// A DNS query's header, question and EDNS option record (RFC 1035 section 4.1, RFC 6891 section 6.1), as integers.
public struct Query: Sendable {
    public static let headerByteCount = 12

    /// The message ID.
    public var id: UInt16
    /// The second word of the header: QR, opcode, AA, TC, RD, RA, Z, AD, CD, rcode.
    public var flags: UInt16
    public var qtype: UInt16
    public var qclass: UInt16
    /// The offset behind the question; the question starts at 12.
    public var questionEnd: Int
    /// EDNS: the sender's UDP payload size, at least 512; 0 without EDNS.
    public var udpSize: UInt16
    /// EDNS version; 0 is the only one defined.
    public var ednsVersion: UInt8
    /// EDNS DO: the sender wants DNSSEC records (RFC 3225).
    public var dnssecOK: Bool

    @inlinable
    init(id: UInt16, flags: UInt16) {
        self.id = id
        self.flags = flags
        qtype = 0
        qclass = 0
        questionEnd = 0
        udpSize = 0
        ednsVersion = 0
        dnssecOK = false
    }

    /// No query: all zero.
    @inlinable public static var none: Query { Query(id: 0, flags: 0) }

    @inlinable public var hasEDNS: Bool { udpSize != 0 }
    @inlinable public var opcode: UInt8 { UInt8(truncatingIfNeeded: flags >> 11 & 0xf) }
    @inlinable public var recursionDesired: Bool { flags & Flags.rd != 0 }
    @inlinable public var checkingDisabled: Bool { flags & Flags.cd != 0 }

    /// What a message that should be a query is.
    public enum Parsed: Sendable {
        /// A query with one question.
        case query(Query)
        /// Not a query (QR is set), or under 12 bytes: no answer is due.
        case unanswerable
        /// A query that is answered with this rcode; of the value only ID, flags and what precedes the fault are right.
        case faulty(Query, RCode)
    }

    /// Parses a whole DNS message; `name` becomes its qname in lower case.
    @inlinable
    public static func parse(_ message: RawSpan, name: inout Name) -> Parsed {
        guard message.byteCount >= headerByteCount else { return .unanswerable }
        var query = Query(id: message.u16(0), flags: message.u16(2))
        if query.flags & Flags.qr != 0 { return .unanswerable }
        if query.opcode != 0 { return .faulty(query, .notImplemented) }
        guard message.u16(4) == 1, message.u16(6) == 0 else { return .faulty(query, .formatError) }
        let end = name.parse(message, at: headerByteCount)
        guard end > 0, end + 4 <= message.byteCount else { return .faulty(query, .formatError) }
        query.qtype = message.u16(end)
        query.qclass = message.u16(end + 2)
        query.questionEnd = end + 4
        let others = Int(message.u16(8)) + Int(message.u16(10))
        if others == 0 { return .query(query) }
        return query.parseRecords(message, authority: Int(message.u16(8)), additional: Int(message.u16(10)))
    }

    /// Walks the records behind the question for the OPT record: at most one, owned by the root (RFC 6891 6.1.1).
    @inlinable
    mutating func parseRecords(_ message: RawSpan, authority: Int, additional: Int) -> Parsed {
        var at = questionEnd
        var index = 0
        while index < authority + additional {
            let isRoot = at < message.byteCount && message.u8(at) == 0
            at = Query.skipName(message, at)
            guard at > 0, at + 10 <= message.byteCount else { return .faulty(self, .formatError) }
            let type = message.u16(at)
            let end = at + 10 + Int(message.u16(at + 8))
            guard end <= message.byteCount else { return .faulty(self, .formatError) }
            if type == RecordType.opt.code {
                guard isRoot, !hasEDNS, index >= authority else { return .faulty(self, .formatError) }
                udpSize = Swift.max(512, message.u16(at + 2))
                ednsVersion = message.u8(at + 5)
                dnssecOK = message.u16(at + 6) & 0x8000 != 0
                if ednsVersion != 0 { return .faulty(self, .badVersion) }
            }
            at = end
            index += 1
        }
        return .query(self)
    }

    /// The offset behind the possibly compressed name at `offset`, or -1 when it is cut.
    @inlinable
    public static func skipName(_ message: RawSpan, _ offset: Int) -> Int {
        var at = offset
        while at < message.byteCount {
            let length = Int(message.u8(at))
            if length == 0 { return at + 1 }
            if length >= 0xc0 { return at + 2 <= message.byteCount ? at + 2 : -1 }
            if length >= 64 { return -1 }
            at += length + 1
        }
        return -1
    }
}

/// Bits of the header's second word (RFC 1035 section 4.1.1, RFC 4035 section 3).
public enum Flags {
    public static let qr: UInt16 = 0x8000
    public static let aa: UInt16 = 0x0400
    public static let tc: UInt16 = 0x0200
    public static let rd: UInt16 = 0x0100
    public static let ra: UInt16 = 0x0080
    public static let ad: UInt16 = 0x0020
    public static let cd: UInt16 = 0x0010
}
