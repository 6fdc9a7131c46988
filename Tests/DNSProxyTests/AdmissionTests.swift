import CLDNS
import TestPackets
import Testing
import Wire

@testable import DNSProxy

/// What may enter the cache. Messages are written as text and made by ldns.
@Suite struct AdmissionTests {
    /// A reply to `www.example. A` unless said otherwise; records as in a zone file.
    struct Draft {
        var qname = "www.example."
        var qtype: UInt16 = 1
        var rcode: UInt8 = 0
        var answer: [String] = []
        var authority: [String] = []
        var additional: [String] = []
        var flags: UInt16 = 0x8180
        /// The OPT record's bytes, with the upper bits of the rcode.
        var opt: [UInt8] = []

        var bytes: [UInt8] {
            let packet = ldns_pkt_new()!
            defer { ldns_pkt_free(packet) }
            let question = ldns_rr_new()!
            ldns_rr_set_question(question, 1)
            ldns_rr_set_owner(question, ldns_dname_new_frm_str(qname))
            ldns_rr_set_type(question, ldns_rr_type(UInt32(qtype)))
            ldns_rr_set_class(question, LDNS_RR_CLASS_IN)
            _ = ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, question)
            let sections = [
                (LDNS_SECTION_ANSWER, answer), (LDNS_SECTION_AUTHORITY, authority),
                (LDNS_SECTION_ADDITIONAL, additional),
            ]
            for (section, lines) in sections {
                for line in lines {
                    var record: UnsafeMutablePointer<ldns_rr>?
                    let status = ldns_rr_new_frm_str(&record, line, 300, nil, nil)
                    precondition(status == LDNS_STATUS_OK, line)
                    _ = ldns_pkt_push_rr(packet, section, record)
                }
            }
            var data: UnsafeMutablePointer<UInt8>?
            var count = 0
            precondition(ldns_pkt2wire(&data, packet, &count) == LDNS_STATUS_OK)
            defer { free(data) }
            var bytes = Array(UnsafeBufferPointer(start: data, count: count))
            bytes[0] = 0xab
            bytes[1] = 0xcd
            bytes[2] = UInt8(flags >> 8)
            bytes[3] = UInt8(flags & 0xf0) | rcode
            if !opt.isEmpty {
                bytes[11] += 1
                bytes += opt
            }
            return bytes
        }
    }

    struct Result {
        let facts: AdmittedReply
        let bytes: [UInt8]
        var text: String { Message.text(bytes) }
    }

    private func admit(_ draft: Draft, limits: Admission.Limits = .init()) -> Result? {
        AdmissionTests.admit(
            draft.bytes, Name(draft.qname)!, qtype: draft.qtype, limits: limits)
    }

    static func admit(
        _ bytes: [UInt8], _ name: Name, qtype: UInt16, limits: Admission.Limits = .init(), room: Int = 65535
    ) -> Result? {
        var admission = Admission(limits: limits)
        var output = [UInt8](repeating: 0, count: room)
        let facts = output.withUnsafeMutableBytes { raw in
            var span = raw.mutableBytes
            return admission.admit(bytes.span.bytes, name: name, qtype: qtype, qclass: 1, into: &span)
        }
        return facts.map { Result(facts: $0, bytes: Array(output[..<$0.byteCount])) }
    }

    private func refusal(_ bytes: [UInt8], _ name: String = "www.example.", room: Int = 65535) -> Admission.Refusal? {
        var admission = Admission()
        var output = [UInt8](repeating: 0, count: room)
        return output.withUnsafeMutableBytes { raw in
            var span = raw.mutableBytes
            let facts = admission.admit(bytes.span.bytes, name: Name(name)!, qtype: 1, qclass: 1, into: &span)
            return facts == nil ? admission.refusal : nil
        }
    }

    private let soa = "example. 900 IN SOA ns.example. root.example. 1 3600 600 86400 300"

    // MARK: Positive replies

    @Test func anAddressIsWrittenAnew() throws {
        var draft = Draft()
        draft.qname = "WwW.eXaMpLe."
        draft.answer = ["WwW.eXaMpLe. 300 IN A 192.0.2.1"]
        draft.flags = 0x85b0
        let result = try #require(admit(draft))
        #expect(
            result.bytes == [
                0, 0, 0x81, 0xb0, 0, 1, 0, 1, 0, 0, 0, 0,  // ID 0; QR RD RA AD CD, no AA
                3, 0x77, 0x77, 0x77, 7, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0, 0, 1, 0, 1,  // in small letters
                0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1,  // compressed
            ])
        #expect(result.facts.ttl == 300)
        #expect(result.facts.isAuthentic)
        #expect(!result.facts.isNegative)
        #expect(result.facts.addressCount == 1)
        #expect(result.facts.addresses[0] == IPAddress("192.0.2.1")!)
    }

    @Test func theShortestTTLCounts() throws {
        var draft = Draft()
        draft.answer = [
            "www.example. 500 IN CNAME a.example.", "a.example. 40 IN CNAME b.example.", "b.example. 60 IN A 192.0.2.1",
        ]
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 40)
        #expect(result.facts.chain == [Name("a.example")!, Name("b.example")!])
        #expect(result.text.contains("ANSWER: 3"))
    }

    @Test func theOrderOfTheRecordsDoesNotMatter() throws {
        var draft = Draft()
        draft.answer = [
            "b.example. 60 IN A 192.0.2.1", "a.example. 40 IN CNAME B.example.", "www.example. 500 IN CNAME A.Example.",
        ]
        let result = try #require(admit(draft))
        #expect(result.facts.chain == [Name("a.example")!, Name("b.example")!])
        #expect(result.facts.addressCount == 1)
    }

    @Test func whatIsNotOnTheChainIsDropped() throws {
        var draft = Draft()
        draft.answer = [
            "www.example. 500 IN A 192.0.2.1", "www.bank.example. 500 IN A 192.0.2.66",
            "www.example. 500 IN TXT \"other type\"",
        ]
        draft.authority = ["example. 500 IN NS evil.example.", "bank.example. 1 IN NS evil.example."]
        draft.additional = ["evil.example. 500 IN A 192.0.2.66"]
        let result = try #require(admit(draft))
        #expect(result.text.contains("ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0"))
        #expect(!result.text.contains("192.0.2.66"))
        #expect(result.facts.ttl == 500)
    }

    @Test func aDNAMEStaysWithTheCNAMEMadeFromIt() throws {
        var draft = Draft()
        draft.qname = "x.old.example."
        draft.answer = [
            "old.example. 70 IN DNAME new.example.", "other.example. 5 IN DNAME new.example.",
            "x.old.example. 70 IN CNAME x.new.example.", "x.new.example. 80 IN A 192.0.2.1",
        ]
        let result = try #require(admit(draft))
        #expect(result.text.contains("old.example.\t70\tIN\tDNAME"))
        #expect(!result.text.contains("other.example."))
        #expect(result.facts.ttl == 70)
    }

    @Test func theQuestionForACNAMEEndsAtIt() throws {
        var draft = Draft()
        draft.qtype = 5
        draft.answer = ["www.example. 500 IN CNAME a.example.", "a.example. 40 IN A 192.0.2.1"]
        let result = try #require(admit(draft))
        #expect(result.text.contains("ANSWER: 1"))
        #expect(!result.facts.hasChain)
    }

    @Test func aLoopIsRefused() {
        var draft = Draft()
        draft.answer = ["www.example. 5 IN CNAME a.example.", "a.example. 5 IN CNAME www.example."]
        #expect(refusal(draft.bytes) == .chainLoop)
        draft.answer = ["www.example. 5 IN CNAME www.example."]
        #expect(refusal(draft.bytes) == .chainLoop)
    }

    @Test func aChainHasItsLimit() throws {
        var draft = Draft()
        func chain(_ count: Int) -> [String] {
            ["www.example. 5 IN CNAME n1.example."]
                + (1..<count).map { "n\($0).example. 5 IN CNAME n\($0 + 1).example." }
                + ["n\(count).example. 5 IN A 192.0.2.1"]
        }
        draft.answer = chain(Admission.chainLimit)
        #expect(try #require(admit(draft)).facts.chain.count == Admission.chainLimit)
        draft.answer = chain(Admission.chainLimit + 1)
        #expect(refusal(draft.bytes) == .chainTooLong)
    }

    @Test func fourAddressesAreToldAndAllAreKept() throws {
        var draft = Draft()
        draft.qtype = 28
        draft.answer = (1...6).map { "www.example. 9 IN AAAA 2001:db8::\($0)" }
        let result = try #require(admit(draft))
        #expect(result.facts.addressCount == 4)
        #expect(result.facts.addresses[3] == IPAddress("2001:db8::4")!)
        #expect(result.text.contains("ANSWER: 6"))
    }

    // MARK: RFC 2308 and other lifetimes

    @Test(arguments: [(900, 300, 300), (200, 300, 200), (90000, 86400, 3600)])
    func aNegativeReplyLivesByItsSOA(ttl: Int, minimum: Int, expected: UInt32) throws {
        for rcode: UInt8 in [0, 3] {
            var draft = Draft()
            draft.rcode = rcode
            draft.authority = ["example. \(ttl) IN SOA ns.example. root.example. 1 3600 600 86400 \(minimum)"]
            let result = try #require(admit(draft))
            #expect(result.facts.isNegative)
            #expect(result.facts.ttl == expected, "RFC 2308 section 5")
            #expect(result.text.contains("example.\t\(expected)\tIN\tSOA"), "section 3: the SOA's TTL is set to it")
        }
    }

    @Test func withoutSOAANegativeReplyIsNotKept() throws {
        var draft = Draft()
        draft.rcode = 3
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 0, "RFC 2308 section 5")
        draft.rcode = 0
        draft.authority = ["example. 500 IN NS ns.example."]
        #expect(try #require(admit(draft)).facts.ttl == 0, "a referral")
    }

    @Test(arguments: ["other. 900 IN SOA ns. root. 1 2 3 4 5", "www.www.example. 900 IN SOA ns. root. 1 2 3 4 5"])
    func theSOAOfAnotherZoneProvesNothing(record: String) throws {
        var draft = Draft()
        draft.rcode = 3
        draft.authority = [record]
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 0)
        #expect(result.text.contains("AUTHORITY: 0"))
    }

    @Test func aChainIntoNothingLivesByBoth() throws {
        var draft = Draft()
        draft.rcode = 3
        draft.answer = ["www.example. 100 IN CNAME gone.example."]
        draft.authority = [soa]
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 100, "RFC 2308 section 2.1")
        #expect(result.facts.isNegative)
        #expect(result.facts.rcode == 3)
        #expect(result.facts.chain == [Name("gone.example")!])
    }

    @Test func positiveTTLsAreCappedInTheMessageToo() throws {
        var draft = Draft()
        draft.answer = ["www.example. 604800 IN A 192.0.2.1"]
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 86400)
        #expect(result.text.contains("www.example.\t86400\tIN"))
    }

    @Test func aTTLWithTheHighestBitIsNone() throws {
        var draft = Draft()
        draft.answer = ["www.example. 1 IN A 192.0.2.1"]
        var bytes = draft.bytes
        let at = bytes.count - 10
        bytes[at] = 0x80
        let result = try #require(AdmissionTests.admit(bytes, Name("www.example")!, qtype: 1))
        #expect(result.facts.ttl == 0, "RFC 2181 section 8")
    }

    @Test(arguments: [UInt8(2), 5, 1, 4])
    func anErrorIsKeptForSeconds(rcode: UInt8) throws {
        var draft = Draft()
        draft.rcode = rcode
        draft.answer = ["www.example. 600 IN A 192.0.2.1"]
        draft.authority = [soa]
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 5, "RFC 9520 section 3.2")
        #expect(result.facts.rcode == rcode)
        #expect(result.text.contains("ANSWER: 0, AUTHORITY: 0"))
        #expect(try #require(admit(draft, limits: .init(failure: 0))).facts.ttl == 0)
    }

    @Test func aTruncatedReplyIsNotKept() throws {
        var draft = Draft()
        draft.answer = ["www.example. 300 IN A 192.0.2.1"]
        draft.flags = 0x8380
        let result = try #require(admit(draft))
        #expect(result.facts.ttl == 0)
        #expect(result.facts.isTruncated)
    }

    // MARK: EDNS and DNSSEC

    @Test func theOPTRecordGoesAndItsNewsStay() throws {
        var draft = Draft()
        draft.rcode = 2
        // OPT, 1232 bytes, upper rcode 0, DO, 8 bytes: EDE 6 (DNSSEC Bogus) and the text "no".
        draft.opt = [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 8, 0, 15, 0, 4, 0, 6, 0x6e, 0x6f]
        let result = try #require(admit(draft))
        #expect(result.facts.extendedError == 6)
        #expect(result.bytes[11] == 0, "no additional record")
        draft.rcode = 0
        draft.opt = [0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0]
        let bad = try #require(admit(draft))
        #expect(bad.facts.rcode == 16, "BADVERS")
        #expect(bad.bytes[3] & 15 == 2, "written as SERVFAIL: its upper bits went with the OPT record")
    }

    @Test func signaturesAndProofsOfTheSameZoneStay() throws {
        let signature = "5 2 300 20300101000000 20200101000000 1 example. AAAA"
        var draft = Draft()
        draft.rcode = 3
        draft.authority = [
            soa, "example. 900 IN RRSIG SOA \(signature)", "a.example. 300 IN NSEC z.example. A",
            "a.example. 300 IN RRSIG NSEC \(signature)", "a.other. 300 IN NSEC z.other. A",
            "example. 900 IN RRSIG NS \(signature)",
        ]
        let denied = try #require(admit(draft))
        #expect(denied.text.contains("AUTHORITY: 4"))
        draft = Draft()
        draft.answer = [
            "www.example. 300 IN A 192.0.2.1", "www.example. 300 IN RRSIG A \(signature)",
            "www.example. 300 IN RRSIG TXT \(signature)",
        ]
        draft.authority = ["a.example. 20 IN NSEC z.example. A", "a.example. 20 IN RRSIG NSEC \(signature)"]
        let wildcard = try #require(admit(draft))
        #expect(wildcard.text.contains("ANSWER: 2, AUTHORITY: 2"))
        #expect(wildcard.facts.ttl == 20)
    }

    // MARK: What is refused

    @Test func anotherQuestionIsRefused() {
        var draft = Draft()
        draft.answer = ["www.example. 300 IN A 192.0.2.1"]
        #expect(refusal(draft.bytes, "ww.example.") == .otherQuestion)
        draft.flags = 0x0100
        #expect(refusal(draft.bytes) == .otherQuestion, "a query")
        draft.flags = 0xa180
        #expect(refusal(draft.bytes) == .otherQuestion, "an opcode other than QUERY")
        draft.flags = 0x8180
        draft.qtype = 28
        #expect(refusal(draft.bytes) == .otherQuestion)
    }

    @Test func whatDoesNotFitIsRefused() {
        var draft = Draft()
        draft.answer = ["www.example. 300 IN A 192.0.2.1"]
        #expect(refusal(draft.bytes, room: 40) == .tooLarge)
    }

    @Test func whatLdnsCannotReadIsRefused() {
        #expect(refusal([]) == .unparseable)
        #expect(refusal(Array(Draft().bytes.dropLast(3))) == .unparseable)
    }
}
