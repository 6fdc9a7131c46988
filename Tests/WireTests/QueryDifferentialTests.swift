import CLDNS
import TestPackets
import Testing
import Wire

/// What ldns says of a message that it takes for a query with one question.
private struct Reference: Equatable {
    var qname: [UInt8]
    var qtype: UInt16
    var qclass: UInt16
    var hasEDNS: Bool
    var udpSize: UInt16
    var dnssecOK: Bool
    /// RFC 6891 allows it only once, at the root and in the additional section; ldns takes more.
    var isStrict: Bool
    var version: UInt8

    init?(_ message: [UInt8]) {
        var pkt: UnsafeMutablePointer<ldns_pkt>?
        guard ldns_wire2pkt(&pkt, message, message.count) == LDNS_STATUS_OK, let pkt else { return nil }
        defer { ldns_pkt_free(pkt) }
        guard ldns_pkt_qr(pkt) == 0, ldns_pkt_get_opcode(pkt) == LDNS_PACKET_QUERY, ldns_pkt_qdcount(pkt) == 1,
            ldns_pkt_ancount(pkt) == 0, let rr = ldns_rr_list_rr(ldns_pkt_question(pkt), 0),
            let owner = ldns_rr_owner(rr)
        else { return nil }
        let data = ldns_rdf_data(owner)!
        qname = (0..<ldns_rdf_size(owner)).map { Name.lower(data[$0]) }
        qtype = UInt16(truncatingIfNeeded: ldns_rr_get_type(rr).rawValue)
        qclass = UInt16(truncatingIfNeeded: ldns_rr_get_class(rr).rawValue)
        let counted = Int(message[10]) << 8 | Int(message[11])
        let options = counted - Int(ldns_pkt_arcount(pkt))
        hasEDNS = options > 0
        udpSize = hasEDNS ? max(512, ldns_pkt_edns_udp_size(pkt)) : 0
        dnssecOK = hasEDNS && ldns_pkt_edns_do(pkt) != 0
        version = hasEDNS ? ldns_pkt_edns_version(pkt) : 0
        let authority = ldns_pkt_authority(pkt)
        let misplaced = (0..<ldns_rr_list_rr_count(authority)).contains {
            ldns_rr_get_type(ldns_rr_list_rr(authority, $0)) == LDNS_RR_TYPE_OPT
        }
        isStrict = options <= 1 && !misplaced
    }
}

@Suite struct QueryDifferentialTests {
    /// Whatever ldns takes for a query with one question, `Query.parse` takes too and reads the same from it.
    @Test func agreesWithLdns() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        var (accepted, withEDNS, refused) = (0, 0, 0)
        for round in 0..<40_000 {
            var bytes = QueryDifferentialTests.query(&generator)
            if round % 4 != 0 { QueryDifferentialTests.mutate(&bytes, &generator) }
            var name = Name()
            let parsed = Query.parse(bytes.span.bytes, name: &name)
            guard let reference = Reference(bytes) else {
                refused += 1
                continue
            }
            let isComparable =
                !QueryDifferentialTests.isCompressed(bytes)
                && QueryDifferentialTests.records(bytes).map(QueryDifferentialTests.areKnown) ?? false
            guard isComparable else { continue }
            let comment: Comment = "seed \(seed), round \(round): \(bytes)"
            switch parsed {
            case .query(let query):
                accepted += 1
                withEDNS += query.hasEDNS ? 1 : 0
                let span = name.bytes
                #expect((0..<span.byteCount).map { span.u8($0) } == reference.qname, comment)
                #expect(query.qtype == reference.qtype && query.qclass == reference.qclass, comment)
                #expect(query.hasEDNS == reference.hasEDNS && query.udpSize == reference.udpSize, comment)
                #expect(query.dnssecOK == reference.dnssecOK && reference.isStrict && reference.version == 0, comment)
            case .faulty(_, .badVersion):
                #expect(reference.version != 0 || !reference.isStrict, comment)
            case .faulty(_, .formatError):
                // What ldns lets pass: OPT twice or in the wrong place.
                #expect(!reference.isStrict, comment)
            default:
                Issue.record(comment)
            }
        }
        #expect(accepted > 10_000 && withEDNS > 3000 && refused > 3000, "\(accepted) \(withEDNS) \(refused)")
    }

    static func query(_ generator: inout SeededGenerator) -> [UInt8] {
        var labels: [UInt8] = []
        for _ in 0..<Int.random(in: 0...5, using: &generator) {
            let count = Int.random(in: 1...12, using: &generator)
            labels += [UInt8(count)] + (0..<count).map { _ in UInt8.random(in: 45...122, using: &generator) }
        }
        let (authority, options) = (
            Int.random(in: 0...5, using: &generator) / 5, Int.random(in: 0...9, using: &generator)
        )
        let additional = options == 0 ? 2 : options < 6 ? 1 : 0
        var bytes = [1, 2] + TestPackets.big16(Int.random(in: 0...3, using: &generator) << 4 | 0x0100)
        bytes += [0, 1, 0, 0, 0, UInt8(authority), 0, UInt8(additional)] + labels + [0]
        bytes += TestPackets.big16([1, 28, 65, 255, 16, 1234].randomElement(using: &generator)!) + [0, 1]
        for _ in 0..<authority { bytes += address }
        for _ in 0..<additional {
            let data: [UInt8] = Bool.random(using: &generator) ? [] : [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
            bytes += [0, 0, 41] + TestPackets.big16(Int.random(in: 0...65535, using: &generator)) + [0]
            bytes += [
                UInt8(Int.random(in: 0...8, using: &generator) / 8), Bool.random(using: &generator) ? 0x80 : 0, 0,
            ]
            bytes += [0, UInt8(data.count)] + data
        }
        return bytes
    }

    static func mutate(_ bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            let at = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0...5, using: &generator) {
            case 0: bytes[at] = .random(in: 0...255, using: &generator)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0...7, using: &generator)
            case 2: bytes.insert(.random(in: 0...255, using: &generator), at: at)
            case 3: bytes.append(.random(in: 0...255, using: &generator))
            case 4 where bytes.count > 13: bytes.removeLast(.random(in: 1...bytes.count - 12, using: &generator))
            default:
                bytes[Int.random(in: 2...11, using: &generator) % bytes.count] = .random(in: 0...3, using: &generator)
            }
        }
    }

    /// Whether the qname has a compression pointer.
    static func isCompressed(_ bytes: [UInt8]) -> Bool {
        var at = 12
        while at < bytes.count, bytes[at] != 0, bytes[at] < 64 { at += Int(bytes[at]) + 1 }
        return at < bytes.count && bytes[at] >= 0xc0
    }

    /// The records behind the question, walked by their lengths; `nil` when one does not fit.
    static func records(_ bytes: [UInt8]) -> [ArraySlice<UInt8>]? {
        var at = 12
        while at < bytes.count, bytes[at] != 0, bytes[at] < 64 { at += Int(bytes[at]) + 1 }
        at += 5
        var records: [ArraySlice<UInt8>] = []
        for _ in 0..<(Int(bytes[8]) + Int(bytes[10])) * 256 + Int(bytes[9]) + Int(bytes[11]) {
            let start = at
            while at < bytes.count, bytes[at] != 0, bytes[at] < 64 { at += Int(bytes[at]) + 1 }
            guard at < bytes.count else { return nil }
            at += bytes[at] == 0 ? 1 : 2
            guard at + 10 <= bytes.count else { return nil }
            at += 10 + Int(bytes[at + 8]) * 256 + Int(bytes[at + 9])
            guard at <= bytes.count else { return nil }
            records.append(bytes[start..<at])
        }
        return records
    }

    /// Whether all records are OPT of the root, or the one other that `query` writes. ldns reads the data of some types
    /// by their own size, whatever the length says, and is then lost.
    static func areKnown(_ records: [ArraySlice<UInt8>]) -> Bool {
        records.allSatisfy { $0.starts(with: [0, 0, 41]) || Array($0) == address }
    }

    static let address: [UInt8] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]
}
