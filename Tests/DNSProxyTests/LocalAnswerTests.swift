import Blocklist
import CLDNS
import Foundation
import Testing
import Wire

@testable import DNSProxy

/// Answers composed from sets of records, read by ldns.
@Suite struct LocalAnswerTests {
    private func set(_ records: [(String, String)], ttl: UInt32 = 300) throws -> [UInt8] {
        var set = RecordSet()
        for (type, data) in records { try set.append(RecordText.parse(type: type, data: data, ttl: ttl)) }
        return set.bytes
    }

    /// An answer and the message it is written to.
    private final class Sheet {
        private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65535, alignment: 16)
        var answer = LocalAnswer(end: 0)

        init(_ name: String, _ type: RecordType) {
            let message = Message.query(name, type)
            var qname = Name()
            guard case .query(let query) = Query.parse(message.span.bytes, name: &qname) else { fatalError("no query") }
            var out = room.mutableBytes
            answer = LocalAnswer(
                end: Reply.composeHead(&out, query, message.span.bytes.part(12, query.questionEnd - 12), .noError))
        }

        deinit {
            room.deallocate()
        }

        func append(_ set: [UInt8], _ qtype: UInt16) -> LocalAnswer.Found {
            var out = room.mutableBytes
            return answer.append(set.span.bytes, qtype: qtype, to: &out)
        }

        func splice(_ message: [UInt8], elapsed: UInt32 = 0) -> Bool {
            var out = room.mutableBytes
            return answer.splice(message.span.bytes, elapsed: elapsed, to: &out)
        }

        func appendSOA() {
            var out = room.mutableBytes
            answer.appendSOA(ttl: 10, to: &out)
        }

        /// The records of the message as ldns prints them.
        var records: [String] {
            var out = room.mutableBytes
            Compose.counts(&out, answers: answer.answers, authority: answer.authority, additional: 0)
            return LocalAnswerTests.records(Array(room[..<answer.end]))
        }
    }

    private static func records(_ message: [UInt8]) -> [String] {
        Message.text(message).split(separator: "\n").map(String.init).filter { !$0.hasPrefix(";") }
    }

    @Test func recordsOfTheTypeAreTheAnswer() throws {
        let set = try set([("A", "192.0.2.1"), ("TXT", "\"x\""), ("A", "192.0.2.2"), ("AAAA", "2001:db8::1")])
        var sheet = Sheet("HOST.lan", .a)
        #expect(sheet.append(set, 1) == .answered)
        #expect(sheet.records == ["HOST.lan.\t300\tIN\tA\t192.0.2.1", "HOST.lan.\t300\tIN\tA\t192.0.2.2"])
        sheet = Sheet("host.lan", .any)
        #expect(sheet.append(set, 255) == .answered)
        #expect(sheet.records.count == 4)
        sheet = Sheet("host.lan", RecordType(15))
        #expect(sheet.append(set, 15) == .nodata)
        sheet.appendSOA()
        #expect(sheet.records.count == 1)
        #expect(sheet.records[0].hasPrefix("host.lan.\t10\tIN\tSOA\twebtun.invalid."))
    }

    @Test func aliasesAreFollowedSetBySet() throws {
        let alias = try set([("CNAME", "Real.lan")], ttl: 60)
        let real = try set([("A", "192.0.2.1")])
        var sheet = Sheet("www.lan", .a)
        #expect(sheet.append(alias, 1) == .alias)
        #expect(sheet.answer.target == Name("real.lan"))
        #expect(sheet.append(real, 1) == .answered)
        #expect(sheet.records == ["www.lan.\t60\tIN\tCNAME\tReal.lan.", "Real.lan.\t300\tIN\tA\t192.0.2.1"])
        for type in [RecordType.cname, .any] {
            sheet = Sheet("www.lan", type)
            #expect(sheet.append(alias, type.code) == .answered, "the CNAME itself is asked for")
        }
        // A negative answer at the end belongs to the target.
        sheet = Sheet("www.lan", .aaaa)
        #expect(sheet.append(alias, 28) == .alias)
        #expect(sheet.append(real, 28) == .nodata)
        sheet.appendSOA()
        #expect(sheet.records.last?.hasPrefix("Real.lan.\t10\tIN\tSOA") == true)
    }

    @Test func aBrokenCNAMEIsUnusable() {
        #expect(Sheet("www.lan", .a).append([0, 5, 0, 0, 0, 1, 0, 3, 9, 0x61, 0], 1) == .unusable)
        #expect(Sheet("www.lan", .a).append([0, 5, 0, 0, 0, 1, 0, 0], 1) == .unusable)
        #expect(Sheet("www.lan", .a).append([0, 5, 0, 0], 1) == .nodata, "a cut record is none")
    }

    @Test func anAnswerThatDoesNotFitIsUnusable() {
        var set: [UInt8] = []
        for _ in 0..<300 { set += [0, 16, 0, 0, 0, 1, 1, 0, 255] + [UInt8](repeating: 0x61, count: 255) }
        #expect(Sheet("www.lan", .a).append(set, 16) == .unusable)
    }

    // MARK: Splicing

    private static let target = "web.real.example"
    private static let pool = [
        "web.real.example. 300 IN CNAME edge.real.example.", "edge.real.example. 200 IN CNAME a.cdn.example.",
        "a.cdn.example. 60 IN A 192.0.2.1", "a.cdn.example. 60 IN A 192.0.2.2", "web.real.example. 60 IN A 192.0.2.9",
        "web.real.example. 60 IN MX 10 mail.real.example.", "web.real.example. 60 IN MX 20 web.real.example.",
        "web.real.example. 60 IN TXT \"real.example\"", "web.real.example. 60 IN SRV 0 0 80 a.cdn.example.",
        "web.real.example. 60 IN PTR b.cdn.example.", "web.real.example. 60 IN NS ns.real.example.",
        "web.real.example. 60 IN HTTPS 1 a.cdn.example. alpn=h2",
        "web.real.example. 60 IN MINFO a.real.example. b.real.example.",
        "web.real.example. 60 IN RP a.real.example. b.real.example.", "web.real.example. 60 IN CAA 0 issue \"x\"",
        "web.real.example. 60 IN NAPTR 1 2 \"s\" \"\" \"\" a.cdn.example.", "web.real.example. 60 IN AAAA 2001:db8::1",
    ]
    private static let soa = "real.example. 900 IN SOA ns.real.example. root.real.example. 1 2 3 4 5"

    /// Messages of an upstream, compressed by ldns, behind CNAMEs: ldns reads the same records as before.
    @Test func splicedRecordsAreThoseOfTheUpstream() throws {
        for round in 0..<400 {
            var answers: [String] = []
            for _ in 0..<Int.random(in: 0...8) { answers.append(LocalAnswerTests.pool.randomElement()!) }
            let authority = Bool.random() ? [LocalAnswerTests.soa] : []
            let message = try upstream(LocalAnswerTests.target, answers, authority)
            let sheet = Sheet("x\(round).lan", .a)
            let middle = Int.random(in: 0...3)
            for hop in 0..<middle {
                let alias = try set([("CNAME", "hop\(hop).real.example")])
                #expect(sheet.append(alias, 1) == .alias)
            }
            let alias = try set([("CNAME", LocalAnswerTests.target)])
            #expect(sheet.append(alias, 1) == .alias)
            let elapsed = UInt32.random(in: 0...70)
            #expect(sheet.splice(message, elapsed: elapsed))
            let expected = LocalAnswerTests.records(message).map { LocalAnswerTests.aged($0, by: Int(elapsed)) }
            #expect(Array(sheet.records.dropFirst(middle + 1)) == expected, "\(answers) behind \(middle + 1)")
            #expect(sheet.answer.answers == UInt16(middle + 1 + answers.count))
            #expect(sheet.answer.authority == UInt16(authority.count))
        }
    }

    private static func aged(_ line: String, by elapsed: Int) -> String {
        var fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        fields[1] = "\(max(0, Int(fields[1])! - elapsed))"
        return fields.joined(separator: "\t")
    }

    @Test func malformedMessagesAreNotSpliced() throws {
        let good = try upstream(
            "web.real.example",
            ["web.real.example. 9 IN CNAME a.real.example.", "a.real.example. 9 IN MX 1 mail.real.example."], [])
        let alias = try set([("CNAME", "web.real.example")])
        var spliced = 0
        for index in good.indices.dropFirst(12) {
            for value: UInt8 in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                var bad = good
                bad[index] = value
                let sheet = Sheet("x.lan", .a)
                _ = sheet.append(alias, 1)
                if sheet.splice(bad) { spliced += 1 }
            }
        }
        #expect(spliced > 0, "another TTL is no fault")
        for cut in 0..<good.count {
            let sheet = Sheet("x.lan", .a)
            _ = sheet.append(alias, 1)
            #expect(!sheet.splice(Array(good[..<cut])))
        }
        let other = Sheet("x.lan", .a)
        _ = other.append(try set([("CNAME", "other.example")]), 1)
        #expect(!other.splice(good), "the answer to another question")
        #expect(!Sheet("web.real.example", .a).splice(good), "behind no CNAME")
    }

    /// A reply as the cache holds it: compressed by ldns, question in lower case, no additional records.
    private func upstream(_ name: String, _ answers: [String], _ authority: [String]) throws -> [UInt8] {
        let packet = ldns_pkt_new()
        defer { ldns_pkt_free(packet) }
        ldns_pkt_set_qr(packet, 1)
        let question = ldns_rr_new()
        ldns_rr_set_owner(question, ldns_dname_new_frm_str(name))
        ldns_rr_set_type(question, LDNS_RR_TYPE_A)
        ldns_rr_set_class(question, LDNS_RR_CLASS_IN)
        ldns_rr_set_question(question, 1)
        _ = ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, question)
        for (lines, section) in [(answers, LDNS_SECTION_ANSWER), (authority, LDNS_SECTION_AUTHORITY)] {
            for line in lines {
                var record: UnsafeMutablePointer<ldns_rr>?
                try #require(ldns_rr_new_frm_str(&record, line, 1, nil, nil) == LDNS_STATUS_OK, "\(line)")
                _ = ldns_pkt_push_rr(packet, section, record)
            }
        }
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        try #require(ldns_pkt2wire(&bytes, packet, &count) == LDNS_STATUS_OK)
        defer { free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
