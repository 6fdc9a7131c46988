import CLDNS
import Foundation
import Testing
import Wire

@testable import Blocklist

/// Records as people write them, held against ldns reading the message they end up in.
struct RecordTextTests {
    private static let good: [(type: String, data: String, wire: [UInt8]?)] = [
        ("A", "192.0.2.9", [192, 0, 2, 9]),
        ("aaaa", "2001:db8::9", [0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [9]),
        ("CNAME", "host.lan", [4] + Array("host".utf8) + [3] + Array("lan".utf8) + [0]),
        ("CNAME", "host.lan.", [4] + Array("host".utf8) + [3] + Array("lan".utf8) + [0]),
        ("MX", "10 mail.lan", [0, 10, 4] + Array("mail".utf8) + [3] + Array("lan".utf8) + [0]),
        ("TXT", "\"v=spf1 -all\" \"a;b (c\"", [11] + Array("v=spf1 -all".utf8) + [7] + Array("a;b (c".utf8) + []),
        ("TXT", "plain", [5] + Array("plain".utf8)),
        ("SRV", "0 5 5060 sip.lan", [0, 0, 0, 5, 0x13, 0xc4, 3] + Array("sip".utf8) + [3] + Array("lan".utf8) + [0]),
        ("PTR", "nas.lan", [3] + Array("nas".utf8) + [3] + Array("lan".utf8) + [0]),
        ("CAA", "0 issue \"ca.example\"", [0, 5] + Array("issue".utf8) + Array("ca.example".utf8)),
        ("HTTPS", "1 . alpn=h2 ipv4hint=192.0.2.1", [0, 1, 0, 0, 1, 0, 3, 2, 0x68, 0x32, 0, 4, 0, 4, 192, 0, 2, 1]),
        ("SVCB", "0 foo.lan", [0, 0, 3] + Array("foo".utf8) + [3] + Array("lan".utf8) + [0]),
        ("TYPE65280", "\\# 3 0a0b0c", [10, 11, 12]),
        ("A", "\\# 4 c0000209", [192, 0, 2, 9]),
        ("LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", nil),
        ("SSHFP", "4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789", nil),
        ("TLSA", "3 1 1 123456789abcdef67890123456789abcdef67890123456789abcdef123456789a", nil),
        ("NAPTR", "100 50 \"s\" \"z3950+I2L+I2C\" \"\" _z3950._tcp.gatech.example", nil),
    ]

    @Test(arguments: good.indices)
    func dataIsTheWireForm(index: Int) throws {
        let (type, data, wire) = RecordTextTests.good[index]
        let record = try RecordText.parse(type: type, data: data, ttl: 300)
        #expect(record.type == RecordType(type))
        #expect(record.ttl == 300)
        if let wire, type != "TXT" || data == "plain" { #expect(record.data == wire) }
        // ldns, reading the wire form as part of a message, prints what ldns, reading the text, prints.
        let name: [UInt8] = [1, 0x78, 0]
        let rdata = record.data
        let bytes =
            name + [UInt8(record.type.code >> 8), UInt8(record.type.code & 255), 0, 1, 0, 0, 1, 44]
            + [UInt8(rdata.count >> 8), UInt8(rdata.count & 255)] + rdata
        var parsed: UnsafeMutablePointer<ldns_rr>?
        var at = 0
        let status = bytes.withUnsafeBufferPointer {
            ldns_wire2rr(&parsed, $0.baseAddress, $0.count, &at, LDNS_SECTION_ANSWER)
        }
        try #require(status == LDNS_STATUS_OK)
        #expect(at == bytes.count)
        defer { ldns_rr_free(parsed) }
        var direct: UnsafeMutablePointer<ldns_rr>?
        let read = ldns_rr_new_frm_str(&direct, "x. 300 IN \(type) \(data)", 1, nil, nil)
        try #require(read == LDNS_STATUS_OK)
        defer { ldns_rr_free(direct) }
        let one = ldns_rr2str(parsed)
        let other = ldns_rr2str(direct)
        defer {
            free(one)
            free(other)
        }
        #expect(String(cString: one!) == String(cString: other!))
        // What is stored as text is read again as the same record.
        #expect(try RecordText.parse(type: type, data: record.text, ttl: 300).data == record.data)
        #expect(RecordText.text(type: record.type, data: record.data) == record.text)
    }

    @Test func charactersOfTXTAreTaken() throws {
        let record = try RecordText.parse(type: "TXT", data: "\"v=spf1 -all\" \"a;b (c\"", ttl: 1)
        #expect(record.data == [11] + Array("v=spf1 -all".utf8) + [6] + Array("a;b (c".utf8))
    }

    @Test func wholeLinesHaveOwners() throws {
        let (owner, record) = try RecordText.parse(line: "nas.lan. 60 IN A 192.0.2.7", ttl: 300)
        #expect(owner == "nas.lan.")
        #expect(record == LocalRecord(type: .a, ttl: 60, data: [192, 0, 2, 7], text: "192.0.2.7"))
        let short = try RecordText.parse(line: "nas A 192.0.2.7", ttl: 300, origin: "lan.")
        #expect(short.owner == "nas.lan.")
        #expect(short.record.ttl == 300)
    }

    @Test(arguments: [
        ("A", "192.0.2", "rdata"), ("A", "", "value expected"), ("A", "192.0.2.1 192.0.2.2", "superfluous"),
        ("MX", "mail.lan", "rdata"), ("CNAME", "a..b", "rdata"), ("FOO", "1", "not a record type"),
        ("OPT", "\\# 0", "OPT"), ("ANY", "\\# 0", "ANY"), ("TXT", "\"open", "not closed"),
        ("TXT", "(open", "not closed"),
        ("TXT", "a\nb", "control character"), ("A", "\\# 3 c00002", "size"), ("AXFR", "\\# 0", "AXFR"),
    ])
    func badRecordsSayWhy(type: String, data: String, reason: String) {
        let error = #expect(throws: BlocklistError.self) {
            try RecordText.parse(type: type, data: data, ttl: 300)
        }
        #expect("\(error!)".contains(reason), "\(error!)")
    }

    @Test func timesOverAWeekAreRefused() {
        #expect(throws: BlocklistError.self) { try RecordText.parse(type: "A", data: "192.0.2.1", ttl: 604_801) }
        #expect(throws: BlocklistError.self) { try RecordText.parse(line: "x. CH TXT a", ttl: 1) }
    }

    // MARK: Sets and tables

    @Test func aSetIsReadAsItWasWritten() throws {
        var set = RecordSet()
        for last in 1...3 { try set.append(RecordText.parse(type: "A", data: "192.0.2.\(last)", ttl: UInt32(last))) }
        try set.append(RecordText.parse(type: "TXT", data: "\"x\"", ttl: 70_000))
        #expect(Array(set.bytes.prefix(12)) == [0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1])
        let bytes = set.bytes.span.bytes
        var at = 0
        var found: [UInt16] = []
        while let item = RecordSet.item(of: bytes, at: at) {
            found.append(item.type)
            at = item.end
        }
        #expect(found == [1, 1, 1, 16])
        #expect(at == bytes.byteCount)
        for cut in 1..<set.bytes.count {
            var at = 0
            let part = Array(set.bytes.prefix(cut))
            while let item = RecordSet.item(of: part.span.bytes, at: at) { at = item.end }
            #expect(at <= cut)
        }
        var large = RecordSet()
        let text = try RecordText.parse(
            type: "TXT", data: String(repeating: "\"\(String(repeating: "a", count: 250))\" ", count: 90), ttl: 1)
        try large.append(text)
        try large.append(text)
        #expect(throws: BlocklistError.self) { try large.append(text) }
    }

    @Test func tablesFindWhatANaiveSearchFinds() {
        let seed = UInt64.random(in: 1...UInt64.max)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        func name() -> String {
            (0..<Int.random(in: 1...5, using: &random)).map { _ in
                String(
                    repeating: ["a", "b", "cd", "longlabel"].randomElement(using: &random)!,
                    count: Int.random(in: 1...3, using: &random))
            }.joined(separator: ".")
        }
        var names: [String] = []
        for _ in 0..<200 { if case let new = name(), !names.contains(new) { names.append(new) } }
        let table = NameTable(names.enumerated().map { (wire($1), Int32($0)) })
        #expect(table.count == names.count)
        for probe in names + (0..<3000).map({ _ in name() }) + [""] {
            let bytes = wire(probe)
            #expect(table.find(bytes.span.bytes) == Int32(names.firstIndex(of: probe) ?? -1))
            for isProper in [false, true] {
                let best = names.indices.filter {
                    probe == names[$0] && !isProper || probe.hasSuffix("." + names[$0])
                }.max { names[$0].count < names[$1].count }
                #expect(table.findSuffix(bytes.span.bytes, isProper: isProper) == Int32(best ?? -1), "\(probe)")
            }
        }
        for broken: [UInt8] in [[], [5], [3, 0x61], [63, 0], [200, 1, 2, 0], [1, 0x61, 0, 0]] {
            #expect(table.find(broken.span.bytes) == -1)
            #expect(table.findSuffix(broken.span.bytes) == -1)
            #expect(table.findSuffix(broken.span.bytes, isProper: true) == -1)
        }
        #expect(NameTable([]).findSuffix(wire("a.b").span.bytes) == -1)
    }
}
