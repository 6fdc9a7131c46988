import CLDNS
import Glibc

/// One resource record in the text of zone files, read by ldns (RFC 1035 section 5).
struct ZoneRecord: Equatable {
    /// Presentation form in lower case with the last dot.
    var owner: String
    /// Seconds; nil when the text had none.
    var ttl: UInt32
    var type: UInt16
    var isInternet: Bool
    /// Presentation form, its parts with a blank between them.
    var rdata: String

    /// As the options of entries write it: `TTL TYPE RDATA`.
    var optionText: String { "\(ttl) \(QueryType.text(type)) \(rdata)" }

    /// Reads a record without its owner, such as `A 192.0.2.1`.
    ///
    /// - Returns: what it is, or why ldns refuses it.
    static func parse(_ text: String) -> Result<ZoneRecord, LineProblem> {
        let zone = ZoneContext()
        return zone.parse(". " + text)
    }
}

/// What a zone's text says for the records that follow: `$ORIGIN`, `$TTL` and the last owner. One thread.
@safe
final class ZoneContext {
    /// TTL of records that have none, in seconds (BIND's and ldns's default is an hour as well).
    static let defaultTTL: UInt32 = 3_600

    private var origin: OpaqueName
    private var previous: UnsafeMutablePointer<ldns_rdf>?
    private(set) var ttl = ZoneContext.defaultTTL

    /// An owned name of ldns.
    @safe
    private struct OpaqueName {
        var pointer: UnsafeMutablePointer<ldns_rdf>

        init() {
            guard let root = unsafe ldns_dname_new_frm_str(".") else { fatalError("ldns has no memory for a name") }
            unsafe pointer = root
        }
    }

    init() {
        origin = OpaqueName()
    }

    deinit {
        unsafe ldns_rdf_deep_free(origin.pointer)
        if let previous = unsafe previous { unsafe ldns_rdf_deep_free(previous) }
    }

    /// The origin in lower case with its last dot.
    var originText: String { unsafe ZoneContext.text(origin.pointer) }

    /// Reads one record: no comment, no parentheses, no line end.
    func parse(_ text: String) -> Result<ZoneRecord, LineProblem> {
        var made: UnsafeMutablePointer<ldns_rr>?
        let status = unsafe ldns_rr_new_frm_str(&made, text, ttl, origin.pointer, &previous)
        guard status == LDNS_STATUS_OK, let record = unsafe made else {
            return .failure(.zoneRecord(unsafe String(cString: ldns_get_errorstr_by_id(status))))
        }
        defer { unsafe ldns_rr_free(record) }
        var parts: [String] = []
        for index in 0..<(unsafe ldns_rr_rd_count(record)) {
            guard let field = unsafe ldns_rr_rdf(record, index), let text = unsafe ldns_rdf2str(field) else { continue }
            defer { unsafe free(text) }
            parts.append(unsafe String(cString: text))
        }
        return unsafe .success(
            ZoneRecord(
                owner: ZoneContext.text(ldns_rr_owner(record)), ttl: ldns_rr_ttl(record),
                type: UInt16(truncatingIfNeeded: ldns_rr_get_type(record).rawValue),
                isInternet: ldns_rr_get_class(record) == LDNS_RR_CLASS_IN, rdata: parts.joined(separator: " ")))
    }

    /// `$ORIGIN name`; false when that is no name.
    func setOrigin(_ text: String) -> Bool {
        guard let name = unsafe ldns_dname_new_frm_str(text) else { return false }
        if text.hasSuffix(".") {
            unsafe ldns_rdf_deep_free(origin.pointer)
            unsafe origin.pointer = name
            return true
        }
        defer { unsafe ldns_rdf_deep_free(name) }
        guard let whole = unsafe ldns_dname_cat_clone(name, origin.pointer) else { return false }
        unsafe ldns_rdf_deep_free(origin.pointer)
        unsafe origin.pointer = whole
        return true
    }

    /// `$TTL time`; false when that is no time.
    func setTTL(_ text: String) -> Bool {
        unsafe text.withCString { start in
            var end: UnsafePointer<CChar>? = unsafe start
            let period = unsafe ldns_str2period(start, &end)
            guard let end = unsafe end, unsafe end.pointee == 0, unsafe start != end else { return false }
            ttl = period
            return true
        }
    }

    private static func text(_ name: UnsafeMutablePointer<ldns_rdf>?) -> String {
        guard let name = unsafe name, let text = unsafe ldns_rdf2str(name) else { return "." }
        defer { unsafe free(text) }
        return unsafe String(cString: text).lowercased()
    }
}
