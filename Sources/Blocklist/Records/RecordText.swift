import CLDNS
import Glibc
public import Wire

/// Reads records as people and zone files write them (RFC 1035 section 5.1), through ldns. Off the hot path.
public enum RecordText {
    /// Longest text of a record, in bytes.
    static let longest = 65536
    /// Longer lifetimes are refused: RFC 2181 section 8 ends at 31 bits, and a day is what the cache keeps.
    public static let longestTTL: UInt32 = 604_800

    /// Reads the data of a record of a type.
    ///
    /// - Parameters:
    ///   - type: a mnemonic in any case, or `TYPE123`.
    ///   - data: in presentation form, or as RFC 3597 section 5 writes data of unknown types: `\# 4 c0000201`. Names in
    ///     it are absolute with and without the last dot.
    ///   - ttl: seconds.
    /// - Throws: `BlocklistError.badRecord` with the reason.
    public static func parse(type: String, data: String, ttl: UInt32) throws(BlocklistError) -> LocalRecord {
        guard let known = RecordType(type) else {
            throw .badRecord(type, "not a record type; write a name such as A or MX, or TYPE and its number")
        }
        return try parse(line: ". \(ttl) IN \(known) \(data)", shown: "\(known) \(data)", ttl: ttl).record
    }

    /// Reads a whole record: name, TTL (or none), class (or none), type, data, as in a zone file.
    ///
    /// - Parameters:
    ///   - ttl: seconds, of a record that does not say.
    ///   - origin: what names without a last dot are below; nil: the root.
    /// - Returns: the owner in presentation form with the last dot, and the record.
    /// - Throws: `BlocklistError.badRecord` with the reason.
    public static func parse(
        line: String, ttl: UInt32, origin: String? = nil
    ) throws(BlocklistError) -> (owner: String, record: LocalRecord) {
        try parse(line: line, shown: line, ttl: ttl, origin: origin)
    }

    private static func parse(
        line: String, shown: String, ttl: UInt32, origin: String? = nil
    ) throws(BlocklistError) -> (owner: String, record: LocalRecord) {
        func refuse(_ reason: String) -> BlocklistError { .badRecord(printable(shown), reason) }
        guard line.utf8.count <= longest else { throw refuse("longer than \(longest) bytes") }
        guard line.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else {
            throw refuse("a control character cannot be in it")
        }
        guard isClosed(line) else { throw refuse("a quotation mark or bracket is not closed") }
        var parsed: UnsafeMutablePointer<ldns_rr>?
        let root = unsafe ldns_dname_new_frm_str(origin ?? ".")
        defer { unsafe ldns_rdf_deep_free(root) }
        guard unsafe root != nil else { throw refuse("'\(origin ?? "")' is not a name") }
        let status = unsafe ldns_rr_new_frm_str(&parsed, line, ttl, root, nil)
        guard status == LDNS_STATUS_OK, let record = unsafe parsed else {
            throw refuse(unsafe ldns_get_errorstr_by_id(status).map { unsafe String(cString: $0) } ?? "\(status)")
        }
        defer { unsafe ldns_rr_free(record) }
        guard unsafe ldns_rr_get_class(record) == LDNS_RR_CLASS_IN else { throw refuse("the class is not IN") }
        let type = RecordType(unsafe UInt16(truncatingIfNeeded: ldns_rr_get_type(record).rawValue))
        guard !isQuestionOnly(type) else { throw refuse("\(type) is not a type that records have") }
        let lifetime = unsafe ldns_rr_ttl(record)
        guard lifetime <= longestTTL else { throw refuse("a TTL is at most \(longestTTL) seconds, a week") }
        guard let data = unsafe wire(record), data.count <= 65535 else { throw refuse("ldns cannot write its data") }
        let owner = unsafe text(ldns_rdf2str(ldns_rr_owner(record))) ?? "."
        return (owner, LocalRecord(type: type, ttl: lifetime, data: data, text: unsafe dataText(record)))
    }

    /// The data of a record as text, from wire form; as RFC 3597 writes it when ldns cannot read it as its type.
    public static func text(type: RecordType, data: [UInt8]) -> String {
        // Name, type, class, TTL, length and data as in a message.
        var message: [UInt8] = [0, UInt8(type.code >> 8), UInt8(type.code & 0xff), 0, 1, 0, 0, 0, 0]
        message += [UInt8(truncatingIfNeeded: data.count >> 8), UInt8(truncatingIfNeeded: data.count)] + data
        var parsed: UnsafeMutablePointer<ldns_rr>?
        var at = 0
        let status = unsafe message.withUnsafeBufferPointer { bytes in
            unsafe ldns_wire2rr(&parsed, bytes.baseAddress, bytes.count, &at, LDNS_SECTION_ANSWER)
        }
        guard status == LDNS_STATUS_OK, let record = unsafe parsed else {
            let digits = data.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            return data.isEmpty ? "\\# 0" : "\\# \(data.count) \(digits)"
        }
        defer { unsafe ldns_rr_free(record) }
        return unsafe dataText(record)
    }

    /// QTYPEs and pseudo-types (RFC 6895 section 3.1) never stand in a zone.
    static func isQuestionOnly(_ type: RecordType) -> Bool {
        type == .opt || type.code == 0 || 128...255 ~= type.code
    }

    /// Whether quotation marks and brackets outside them come in pairs; ldns takes open ones as closed by the end.
    private static func isClosed(_ text: String) -> Bool {
        var isQuoted = false
        var depth = 0
        var isEscaped = false
        for byte in text.utf8 {
            if isEscaped {
                isEscaped = false
                continue
            }
            switch byte {
            case UInt8(ascii: "\\"): isEscaped = true
            case UInt8(ascii: "\""): isQuoted.toggle()
            case UInt8(ascii: "(") where !isQuoted: depth += 1
            case UInt8(ascii: ")") where !isQuoted: depth -= 1
            default: break
            }
            if depth < 0 { return false }
        }
        return !isQuoted && depth == 0
    }

    private static func printable(_ text: String) -> String {
        String(text.unicodeScalars.prefix(120).map { $0.value < 0x20 || $0.value == 0x7f ? "�" : Character($0) })
    }

    private static func wire(_ record: UnsafeMutablePointer<ldns_rr>) -> [UInt8]? {
        guard let buffer = unsafe ldns_buffer_new(512) else { return nil }
        defer { unsafe ldns_buffer_free(buffer) }
        guard unsafe ldns_rr_rdata2buffer_wire(buffer, record) == LDNS_STATUS_OK,
            let start = unsafe ldns_buffer_begin(buffer)
        else { return nil }
        return unsafe Array(UnsafeBufferPointer(start: start, count: ldns_buffer_position(buffer)))
    }

    private static func dataText(_ record: UnsafeMutablePointer<ldns_rr>) -> String {
        // Owner, TTL, class and type stand before the data, with a tab behind each.
        let whole = unsafe text(ldns_rr2str(record)) ?? ""
        let fields = whole.split(separator: "\t", maxSplits: 4, omittingEmptySubsequences: false)
        guard fields.count == 5 else { return "" }
        return String(fields[4].prefix { $0 != "\n" })
    }

    /// Takes over a text that ldns allocated.
    private static func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String? {
        guard let pointer = unsafe pointer else { return nil }
        defer { unsafe free(pointer) }
        return unsafe String(cString: pointer)
    }
}
