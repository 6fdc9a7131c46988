import CLDNS
import Glibc
public import Wire

/// A DNS message as text, printed by ldns. Cold; any thread.
public struct MessageText: Sendable {
    /// One record.
    public struct Record: Sendable, Equatable {
        /// As the zone file writes it, with the dot at its end.
        public let name: String
        /// Seconds.
        public let ttl: UInt32
        public let type: String
        /// The data in the presentation format of the type.
        public let data: String
    }

    public let rcode: RCode
    /// Upper case, as ldns names it: `NOERROR`.
    public let rcodeName: String
    /// Those set, in lower case: `qr`, `rd`.
    public let flags: [String]
    public let answer: [Record]
    public let authority: [Record]
    public let additional: [Record]
    /// Extended DNS errors (RFC 8914): code and text, of the OPT record.
    public let extendedErrors: [(code: UInt16, text: String)]
    /// The whole message in the way of dig(1).
    public let text: String

    /// - Parameter milliseconds: how long the reply took, for the text.
    /// - Returns: `nil` when ldns refuses the message.
    public init?(_ message: [UInt8], milliseconds: UInt32) {
        var parsed: UnsafeMutablePointer<ldns_pkt>?
        let status = unsafe message.withUnsafeBytes { raw in
            unsafe ldns_wire2pkt(&parsed, raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count)
        }
        guard status == LDNS_STATUS_OK, let packet = unsafe parsed else { return nil }
        defer { unsafe ldns_pkt_free(packet) }
        unsafe ldns_pkt_set_querytime(packet, milliseconds)
        unsafe ldns_pkt_set_size(packet, message.count)
        var now = timeval()
        unsafe gettimeofday(&now, nil)
        unsafe ldns_pkt_set_timestamp(packet, now)

        let basic = unsafe ldns_pkt_get_rcode(packet)
        rcode = unsafe RCode(UInt16(ldns_pkt_edns_extended_rcode(packet)) << 4 | UInt16(basic.rawValue))
        rcodeName = unsafe MessageText.take(ldns_pkt_rcode2str(basic))
        let bits: [(String, Bool)] = unsafe [
            ("qr", ldns_pkt_qr(packet) != 0), ("aa", ldns_pkt_aa(packet) != 0), ("tc", ldns_pkt_tc(packet) != 0),
            ("rd", ldns_pkt_rd(packet) != 0), ("ra", ldns_pkt_ra(packet) != 0), ("ad", ldns_pkt_ad(packet) != 0),
            ("cd", ldns_pkt_cd(packet) != 0),
        ]
        flags = bits.filter(\.1).map(\.0)
        answer = unsafe MessageText.records(ldns_pkt_answer(packet))
        authority = unsafe MessageText.records(ldns_pkt_authority(packet))
        additional = unsafe MessageText.records(ldns_pkt_additional(packet))
        extendedErrors = unsafe MessageText.errors(ldns_pkt_edns_data(packet))
        text = unsafe MessageText.take(ldns_pkt2str(packet))
    }

    /// The text of a C string that ldns made for its caller.
    private static func take(_ string: UnsafeMutablePointer<CChar>?) -> String {
        guard let string = unsafe string else { return "" }
        defer { unsafe free(string) }
        return unsafe String(cString: string)
    }

    private static func records(_ list: UnsafeMutablePointer<ldns_rr_list>?) -> [Record] {
        guard let list = unsafe list else { return [] }
        return unsafe (0..<ldns_rr_list_rr_count(list)).compactMap { index in
            guard let record = unsafe ldns_rr_list_rr(list, index) else { return nil }
            let data = unsafe (0..<ldns_rr_rd_count(record)).map { unsafe take(ldns_rdf2str(ldns_rr_rdf(record, $0))) }
            return unsafe Record(
                name: take(ldns_rdf2str(ldns_rr_owner(record))), ttl: ldns_rr_ttl(record),
                type: take(ldns_rr_type2str(ldns_rr_get_type(record))), data: data.joined(separator: " "))
        }
    }

    private static func errors(_ data: UnsafeMutablePointer<ldns_rdf>?) -> [(code: UInt16, text: String)] {
        guard let data = unsafe data, let bytes = unsafe ldns_rdf_data(data) else { return [] }
        let options = unsafe RawSpan(_unsafeStart: bytes, byteCount: ldns_rdf_size(data))
        var found: [(code: UInt16, text: String)] = []
        var at = 0
        while at + 4 <= options.byteCount {
            let end = at + 4 + Int(options.u16(at + 2))
            guard end <= options.byteCount else { break }
            if options.u16(at) == 15, end >= at + 6 {
                let text = (at + 6..<end).map { options.u8($0) }
                found.append((options.u16(at + 4), String(decoding: text, as: UTF8.self)))
            }
            at = end
        }
        return found
    }
}

/// A query as an application would send it.
public enum QueryMessage {
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case badName(String)
        case badType(String)

        public var description: String {
            switch self {
            case .badName(let name): "'\(name)' is no domain name"
            case .badType(let type): "'\(type)' is no record type"
            }
        }
    }

    /// Bytes over UDP that the query offers to take (RFC 6891; the size of DNS flag day 2020).
    public static let udpSize: UInt16 = 1232

    /// A recursive query with EDNS.
    ///
    /// - Parameters:
    ///   - name: in the presentation format (RFC 1035 section 5.1), ASCII.
    ///   - type: a mnemonic, or `TYPE` and a number (RFC 3597).
    ///   - id: of the message.
    public static func compose(name: String, type: String, id: UInt16) throws(Failure) -> [UInt8] {
        let isAbsolute = name.hasSuffix(".")
        guard !name.isEmpty, let owner = unsafe ldns_dname_new_frm_str(isAbsolute ? name : name + ".") else {
            throw .badName(name)
        }
        defer { unsafe ldns_rdf_deep_free(owner) }
        let qtype = unsafe ldns_get_rr_type_by_name(type.uppercased())
        guard qtype.rawValue != 0, qtype.rawValue <= UInt32(UInt16.max) else { throw .badType(type) }
        guard let data = unsafe ldns_rdf_data(owner) else { throw .badName(name) }
        let wire = unsafe UnsafeBufferPointer(start: data, count: ldns_rdf_size(owner))
        var message: [UInt8] = []
        for word in [id, Flags.rd, 1, 0, 0, 1] { put(word, &message) }
        unsafe message.append(contentsOf: wire)
        put(UInt16(truncatingIfNeeded: qtype.rawValue), &message)
        put(1, &message)
        // The OPT record: root, type 41, size, no extended rcode, version and flags, no options.
        message.append(0)
        for word in [41, udpSize, 0, 0, 0] { put(word, &message) }
        return message
    }

    private static func put(_ word: UInt16, _ message: inout [UInt8]) {
        message.append(UInt8(word >> 8))
        message.append(UInt8(truncatingIfNeeded: word))
    }
}
