import Blocklist
import CLDNS
import TestPackets
import Testing
import Wire

@testable import DNSProxy

/// What SVCB and HTTPS records lose for names that the policy hides (RFC 9460).
@Suite struct ServiceBindingTests {
    /// Priority 1, target `.`, then mandatory=alpn,ipv4hint, alpn=h2, ipv4hint, ech, ipv6hint and a key of private use.
    static let data: [UInt8] = [
        0, 1, 0,
        0, 0, 0, 4, 0, 1, 0, 4,  // mandatory: alpn, ipv4hint
        0, 1, 0, 3, 2, 0x68, 0x32,  // alpn: h2
        0, 4, 0, 4, 192, 0, 2, 1,  // ipv4hint
        0, 5, 0, 3, 1, 2, 3,  // ech
        0, 6, 0, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,  // ipv6hint
        0xff, 0, 0, 1, 9,  // key65280
    ]

    @Test func hintsAndKeysAreTakenOut() throws {
        guard let binding = ServiceBinding(ServiceBindingTests.data.span.bytes) else { throw Bench.NoAnswer() }
        #expect(binding.priority == 1)
        #expect(binding.target.byteCount == 1)
        #expect(
            binding.stripped(ServiceBindingTests.data.span.bytes) == [
                0, 1, 0,
                0, 0, 0, 2, 0, 1,  // mandatory: alpn
                0, 1, 0, 3, 2, 0x68, 0x32,
                0xff, 0, 0, 1, 9,
            ])
    }

    @Test func aMandatoryListOfHintsAloneGoes() throws {
        let data: [UInt8] = [0, 1, 0, 0, 0, 0, 2, 0, 5, 0, 5, 0, 1, 7]
        guard let binding = ServiceBinding(data.span.bytes) else { throw Bench.NoAnswer() }
        #expect(binding.stripped(data.span.bytes) == [0, 1, 0])
    }

    @Test func brokenDataIsCut() throws {
        for count in 0..<ServiceBindingTests.data.count {
            let cut = Array(ServiceBindingTests.data[..<count])
            guard let binding = ServiceBinding(cut.span.bytes) else {
                #expect(count < 3)
                continue
            }
            #expect(binding.stripped(cut.span.bytes).count <= count)
        }
        let compressed: [UInt8] = [0, 1, 0xc0, 0]
        let isTaken = ServiceBinding(compressed.span.bytes) != nil
        #expect(!isTaken, "targets are not compressed")
    }

    /// Lets a reply to a question for HTTPS records in, and gives back what was written of it.
    ///
    /// - Parameter records: the answer's, owned by the qname.
    private func admit(
        _ policy: PolicySnapshot?, _ name: Name, _ records: [(type: UInt8, data: [UInt8])]
    ) throws -> (facts: AdmittedReply, reply: [UInt8], message: [UInt8]) {
        var reply: [UInt8] = [0xab, 0xcd, 0x81, 0xa0, 0, 1, 0, UInt8(records.count), 0, 0, 0, 0]  // with AD
        name.bytes.withUnsafeBytes { reply += Array($0) }
        reply += [0, 65, 0, 1]
        for record in records {
            reply += [0xc0, 12, 0, record.type, 0, 1, 0, 0, 1, 0x2c, 0, UInt8(record.data.count)] + record.data
        }
        var admission = Admission()
        var output = [UInt8](repeating: 0, count: 65535)
        var span = output.mutableSpan
        var out = span.mutableBytes
        let admitted = admission.admit(
            reply.span.bytes, name: name, qtype: 65, qclass: 1, hiding: policy, into: &out)
        guard let facts = admitted else { throw Bench.NoAnswer() }
        let byteCount = facts.byteCount
        return (facts, reply, Array(output[..<byteCount]))
    }

    /// Lets a reply in that has one HTTPS record, and gives its data back.
    private func admit(_ policy: PolicySnapshot?, target: [UInt8], _ qname: String = "www.example.") throws -> [UInt8] {
        let name = try #require(Name(qname))
        let data = [0, 1] + target + ServiceBindingTests.data.dropFirst(3)
        let (facts, reply, message) = try admit(policy, name, [(65, data)])
        #expect(facts.hasServiceHints)
        let isWhole = message.count == reply.count
        #expect(facts.isAuthentic == isWhole && (message[3] & 0x20 != 0) == isWhole, "AD is for records as they came")
        #expect(MessageText(message, milliseconds: 0)?.answer.count == 1, "ldns reads what was written")
        let end = 12 + name.byteCount + 4
        let start = Query.skipName(message.span.bytes, end) + 10
        #expect(start + Int(message.span.bytes.u16(start - 2)) == message.count)
        return Array(message[start...])
    }

    @Test func recordsOfHiddenNamesAreStripped() throws {
        let protected = TestPolicy.make(deny: ["ads.example"], flows: ["video.example"], isBypassOn: true)
        let ads: [UInt8] = [3, 0x61, 0x64, 0x73, 7, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0]
        let whole = ServiceBindingTests.data.count - 3
        let stripped = 18
        #expect(try admit(protected, target: [0]).count == 3 + whole, "nothing blocked is told")
        #expect(try admit(protected, target: ads).count == 2 + ads.count + stripped, "a blocked target")
        #expect(try admit(protected, target: [0], "www.video.example.").count == 3 + stripped, "a name for flows alone")
        #expect(try admit(nil, target: ads).count == 2 + ads.count + whole, "a pause")
        let plain = TestPolicy.make(deny: ["ads.example"])
        #expect(try admit(plain, target: ads).count == 2 + ads.count + whole, "the switch is off")
    }

    /// How many records are left of an HTTPS record and its signature.
    private func kept(_ policy: PolicySnapshot?) throws -> Int {
        // RFC 4034 section 3.1: covers HTTPS, algorithm 13, 2 labels, TTL, expiration, inception, key tag, signer, signature.
        let signature: [UInt8] =
            [0, 65, 13, 2, 0, 0, 1, 0x2c, 0x70, 0, 0, 0, 0x60, 0, 0, 0, 0x12, 0x34]
            + [7, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0] + [UInt8](repeating: 0x5a, count: 64)
        let data = [0, 1, 0] + ServiceBindingTests.data.dropFirst(3)
        let message = try admit(policy, #require(Name("ads.example.")), [(65, data), (46, signature)]).message
        return try #require(MessageText(message, milliseconds: 0)).answer.count
    }

    @Test func theSignatureOfAStrippedRecordIsLeftOut() throws {
        #expect(try kept(TestPolicy.make(deny: ["ads.example"], isBypassOn: true)) == 1)
        #expect(try kept(TestPolicy.make(deny: ["ads.example"])) == 2, "the record is as it was signed")
    }
}
