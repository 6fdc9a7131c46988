import CLDNS
import Glibc
import Wire

/// The owner of one `ldns_pkt`: freed when the value ends.
@safe
struct LDNSMessage: ~Copyable {
    enum Section {
        case answer
        case authority
    }

    private let packet: UnsafeMutablePointer<ldns_pkt>

    /// Parses a message; `nil` when ldns refuses it.
    init?(_ bytes: RawSpan) {
        var parsed: UnsafeMutablePointer<ldns_pkt>?
        let status = unsafe bytes.withUnsafeBytes { raw in
            unsafe ldns_wire2pkt(&parsed, raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count)
        }
        guard status == LDNS_STATUS_OK, let parsed = unsafe parsed else { return nil }
        unsafe packet = parsed
    }

    /// A reply without records to the question of `message`.
    init(replyTo message: borrowing LDNSMessage) {
        guard let made = unsafe ldns_pkt_new() else { fatalError("ldns has no memory for a message") }
        unsafe packet = made
        unsafe ldns_pkt_set_qr(packet, 1)
        unsafe ldns_pkt_set_rd(packet, 1)
        unsafe ldns_pkt_set_ra(packet, 1)
        unsafe ldns_pkt_set_ad(packet, ldns_pkt_ad(message.packet))
        unsafe ldns_pkt_set_cd(packet, ldns_pkt_cd(message.packet))
        unsafe ldns_pkt_set_tc(packet, ldns_pkt_tc(message.packet))
        let rcode = message.rcode.code < 16 ? message.rcode : .serverFailure
        unsafe ldns_pkt_set_rcode(packet, UInt8(truncatingIfNeeded: rcode.code))
        let question = unsafe ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_question(message.packet), 0))
        _ = unsafe ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, question)
    }

    deinit {
        unsafe ldns_pkt_free(packet)
    }

    var isReply: Bool { unsafe ldns_pkt_qr(packet) != 0 && ldns_pkt_get_opcode(packet) == LDNS_PACKET_QUERY }
    var isAuthenticated: Bool {
        get { unsafe ldns_pkt_ad(packet) != 0 }
        set { unsafe ldns_pkt_set_ad(packet, newValue ? 1 : 0) }
    }
    var isTruncated: Bool { unsafe ldns_pkt_tc(packet) != 0 }

    /// The 4 bits of the header and the 8 of the OPT record (RFC 6891 section 6.1.3).
    var rcode: RCode {
        unsafe RCode(UInt16(ldns_pkt_edns_extended_rcode(packet)) << 4 | UInt16(ldns_pkt_get_rcode(packet).rawValue))
    }

    /// Whether the message has this question and no other.
    func asks(_ name: Name, qtype: UInt16, qclass: UInt16) -> Bool {
        guard let list = unsafe ldns_pkt_question(packet), unsafe ldns_rr_list_rr_count(list) == 1,
            let question = unsafe ldns_rr_list_rr(list, 0)
        else { return false }
        let record = unsafe LDNSRecord(question)
        return record.type == qtype && record.qclass == qclass && record.isOwned(by: name)
    }

    /// The info-code of the first EDE option (15) of the OPT record, or -1.
    var extendedError: Int32 {
        guard let data = unsafe ldns_pkt_edns_data(packet), let bytes = unsafe ldns_rdf_data(data) else { return -1 }
        let options = unsafe RawSpan(_unsafeStart: bytes, byteCount: ldns_rdf_size(data))
        var at = 0
        while at + 4 <= options.byteCount {
            let length = Int(options.u16(at + 2))
            if options.u16(at) == 15, length >= 2, at + 6 <= options.byteCount { return Int32(options.u16(at + 4)) }
            at += 4 + length
        }
        return -1
    }

    private func list(_ section: Section) -> UnsafeMutablePointer<ldns_rr_list>? {
        section == .answer ? unsafe ldns_pkt_answer(packet) : unsafe ldns_pkt_authority(packet)
    }

    func count(_ section: Section) -> Int {
        guard let list = unsafe list(section) else { return 0 }
        return unsafe ldns_rr_list_rr_count(list)
    }

    /// The record at `index`, below the count; it lives as long as the message.
    func record(_ section: Section, _ index: Int) -> LDNSRecord {
        guard let list = unsafe list(section), let record = unsafe ldns_rr_list_rr(list, index) else {
            fatalError("record \(index) of a section of \(count(section))")
        }
        return unsafe LDNSRecord(record)
    }

    /// Adds a copy of another message's record.
    mutating func add(_ record: LDNSRecord, to section: Section, ttl: UInt32) {
        guard let copy = unsafe ldns_rr_clone(record.pointer) else { return }
        unsafe ldns_rr_set_ttl(copy, ttl)
        _ = unsafe ldns_pkt_push_rr(
            packet, section == .answer ? LDNS_SECTION_ANSWER : LDNS_SECTION_AUTHORITY, copy)
    }

    /// Adds a copy of another message's record to the answer, with other data in wire form, uncompressed.
    mutating func add(_ record: LDNSRecord, rdata: [UInt8], ttl: UInt32) {
        guard let copy = unsafe ldns_rr_clone(record.pointer) else { return }
        while let field = unsafe ldns_rr_pop_rdf(copy) { unsafe ldns_rdf_deep_free(field) }
        let field = unsafe rdata.withUnsafeBytes { bytes in
            unsafe ldns_rdf_new_frm_data(LDNS_RDF_TYPE_UNKNOWN, bytes.count, bytes.baseAddress)
        }
        _ = unsafe ldns_rr_push_rdf(copy, field)
        unsafe ldns_rr_set_ttl(copy, ttl)
        _ = unsafe ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, copy)
    }

    /// Writes the message in wire form, compressed. Returns its length in bytes, or 0 when it does not fit.
    func compose(into output: inout MutableRawSpan) -> Int {
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        guard unsafe ldns_pkt2wire(&bytes, packet, &count) == LDNS_STATUS_OK, let bytes = unsafe bytes else { return 0 }
        defer { unsafe free(bytes) }
        guard count <= output.byteCount else { return 0 }
        output.put(0, unsafe RawSpan(_unsafeStart: bytes, byteCount: count))
        return count
    }
}

/// One record of a message, borrowed.
@safe
struct LDNSRecord {
    static let dname: UInt16 = 39
    static let rrsig: UInt16 = 46
    static let nsec: UInt16 = 47
    static let nsec3: UInt16 = 50

    let pointer: UnsafeMutablePointer<ldns_rr>

    @unsafe
    init(_ pointer: UnsafeMutablePointer<ldns_rr>) {
        unsafe self.pointer = unsafe pointer
    }

    var type: UInt16 { unsafe UInt16(truncatingIfNeeded: ldns_rr_get_type(pointer).rawValue) }
    var qclass: UInt16 { unsafe UInt16(truncatingIfNeeded: ldns_rr_get_class(pointer).rawValue) }

    /// Seconds; a value with the highest bit set counts as 0 (RFC 2181 section 8).
    var ttl: UInt32 {
        let ttl = unsafe ldns_rr_ttl(pointer)
        return ttl >> 31 == 0 ? ttl : 0
    }

    private func bytes<Result>(_ field: UnsafeMutablePointer<ldns_rdf>?, _ body: (RawSpan) -> Result?) -> Result? {
        guard let field = unsafe field, let data = unsafe ldns_rdf_data(field) else { return nil }
        return body(unsafe RawSpan(_unsafeStart: data, byteCount: ldns_rdf_size(field)))
    }

    private func rdata<Result>(_ index: Int, _ body: (RawSpan) -> Result?) -> Result? {
        guard unsafe index < ldns_rr_rd_count(pointer) else { return nil }
        return unsafe bytes(ldns_rr_rdf(pointer, index), body)
    }

    private static func name(_ wire: RawSpan) -> Name? {
        var name = Name()
        return name.parse(wire, at: 0) == wire.byteCount ? name : nil
    }

    var ownerName: Name? { unsafe bytes(ldns_rr_owner(pointer), LDNSRecord.name) }

    func isOwned(by name: Name) -> Bool {
        unsafe bytes(ldns_rr_owner(pointer)) { owner in LDNSRecord.isSuffix(owner, of: name.bytes, from: 0) } ?? false
    }

    /// Whether the owner is a proper ancestor of the name.
    func isAbove(_ name: Name) -> Bool {
        unsafe bytes(ldns_rr_owner(pointer)) { owner in
            let wire = name.bytes
            var at = 0
            while at < wire.byteCount, wire.u8(at) != 0 {
                at += 1 + Int(wire.u8(at))
                if LDNSRecord.isSuffix(owner, of: wire, from: at) { return true }
            }
            return false
        } ?? false
    }

    /// Whether the owner is `zone` or below it.
    func isWithin(_ zone: Name) -> Bool {
        unsafe bytes(ldns_rr_owner(pointer)) { owner in
            var at = 0
            while true {
                if LDNSRecord.isSuffix(zone.bytes, of: owner, from: at) { return true }
                guard at < owner.byteCount, owner.u8(at) != 0 else { return false }
                at += 1 + Int(owner.u8(at))
            }
        } ?? false
    }

    /// Whether the rest of `whole` from `at` equals `part`, letters in any case.
    private static func isSuffix(_ part: RawSpan, of whole: RawSpan, from at: Int) -> Bool {
        guard whole.byteCount - at == part.byteCount else { return false }
        for index in 0..<part.byteCount where Name.lower(part.u8(index)) != Name.lower(whole.u8(at + index)) {
            return false
        }
        return true
    }

    /// The data in wire form, uncompressed.
    var wireData: [UInt8] {
        var data: [UInt8] = []
        for index in unsafe 0..<ldns_rr_rd_count(pointer) {
            _ = rdata(index) { field in
                for place in 0..<field.byteCount { data.append(field.u8(place)) }
                return true
            }
        }
        return data
    }

    /// The target of a CNAME.
    var target: Name? { rdata(0, LDNSRecord.name) }

    /// The type an RRSIG covers and the zone that signed (RFC 4034 section 3.1).
    var covered: UInt16 { rdata(0) { $0.byteCount == 2 ? $0.u16(0) : nil } ?? 0 }
    var signer: Name? { rdata(7, LDNSRecord.name) }

    /// MINIMUM of an SOA (RFC 1035 section 3.3.13), 0 when its highest bit is set.
    var soaMinimum: UInt32 {
        let value = rdata(6) { $0.byteCount == 4 ? $0.u32(0) : nil } ?? 0
        return value >> 31 == 0 ? value : 0
    }

    /// The address of an A or AAAA record.
    var address: IPAddress? {
        if type == RecordType.a.code {
            return rdata(0) { $0.byteCount == 4 ? IPAddress($0, at: 0, isIPv6: false) : nil }
        }
        if type == RecordType.aaaa.code {
            return rdata(0) { $0.byteCount == 16 ? IPAddress($0, at: 0, isIPv6: true) : nil }
        }
        return nil
    }

    /// NSEC, NSEC3 and their signatures; of a denial also the signature of the SOA.
    func isProof(orSOA: Bool) -> Bool {
        let type = type == LDNSRecord.rrsig ? covered : type
        let isSignedSOA = orSOA && type == RecordType.soa.code && self.type == LDNSRecord.rrsig
        return type == LDNSRecord.nsec || type == LDNSRecord.nsec3 || isSignedSOA
    }
}
