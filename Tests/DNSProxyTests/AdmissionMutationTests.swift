import CLDNS
import TestPackets
import Testing
import Wire

@testable import DNSProxy

/// Seeded random changes of real-looking replies: nothing crashes, nothing that ldns refuses is admitted, and what is
/// written holds together by a walk of its own.
@Suite struct AdmissionMutationTests {
    @Test func changedRepliesAreRefusedOrWrittenWhole() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed)
        let name = Name("www.example")!
        let drafts = Self.drafts.map(\.bytes)
        var admitted = 0
        var refused = 0
        for step in 0..<20000 {
            var bytes = drafts.randomElement(using: &random)!
            Self.change(&bytes, &random)
            let isReadable = Self.ldnsReads(bytes)
            guard let result = AdmissionTests.admit(bytes, name, qtype: 1) else {
                refused += 1
                continue
            }
            admitted += 1
            try #require(isReadable, "seed \(seed), step \(step): admitted what ldns refuses: \(bytes)")
            try #require(Self.ldnsReads(result.bytes), "seed \(seed), step \(step): \(result.bytes)")
            let fault = Self.fault(result.bytes, name, result.facts)
            try #require(fault == nil, "seed \(seed), step \(step): \(fault ?? "") in \(result.bytes) from \(bytes)")
        }
        #expect(admitted > 1000 && refused > 1000, "seed \(seed): \(admitted) admitted, \(refused) refused")
    }

    @Test func randomBytesAreRefused() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<20000 {
            var bytes = (0..<Int(random.next() % 100)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            if bytes.count > 5, random.next() % 2 == 0 { bytes.replaceSubrange(2..<6, with: [0x81, 0x80, 0, 1]) }
            #expect(AdmissionTests.admit(bytes, Name("www.example")!, qtype: 1) == nil, "seed \(seed)")
        }
    }

    private static let drafts: [AdmissionTests.Draft] = {
        var address = AdmissionTests.Draft()
        address.answer = ["www.example. 300 IN A 192.0.2.1", "www.example. 300 IN A 192.0.2.2"]
        address.opt = [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 6, 0, 15, 0, 2, 0, 6]
        var chain = AdmissionTests.Draft()
        chain.answer = [
            "www.example. 500 IN CNAME a.example.", "a.example. 40 IN CNAME b.example.", "b.example. 60 IN A 192.0.2.1",
        ]
        chain.additional = ["b.example. 60 IN AAAA 2001:db8::1"]
        var denial = AdmissionTests.Draft()
        denial.rcode = 3
        denial.authority = [
            "example. 900 IN SOA ns.example. root.example. 1 3600 600 86400 300",
            "example. 900 IN RRSIG SOA 5 2 300 20300101000000 20200101000000 1 example. AAAA",
            "a.example. 300 IN NSEC z.example. A",
        ]
        return [address, chain, denial]
    }()

    private static func change(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
        for _ in 0..<1 + Int(random.next() % 4) where !bytes.isEmpty {
            // The question is left alone more often than not: a changed one is always refused.
            let first = random.next() % 8 == 0 ? 0 : min(29, bytes.count - 1)
            let at = first + Int(random.next() % UInt64(bytes.count - first))
            switch random.next() % 5 {
            case 0: bytes[at] ^= 1 << UInt8(random.next() % 8)
            case 1: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes.remove(at: at)
            case 3: bytes.insert([0, 0xc0, 12, 63, 255].randomElement(using: &random)!, at: at)
            default: if random.next() % 4 == 0 { bytes.removeSubrange(at...) }
            }
        }
    }

    private static func ldnsReads(_ bytes: [UInt8]) -> Bool {
        var packet: UnsafeMutablePointer<ldns_pkt>?
        let status = bytes.withUnsafeBufferPointer { ldns_wire2pkt(&packet, $0.baseAddress, $0.count) }
        if status == LDNS_STATUS_OK { ldns_pkt_free(packet) }
        return status == LDNS_STATUS_OK
    }

    /// What is wrong with a written message.
    private static func fault(_ bytes: [UInt8], _ name: Name, _ facts: AdmittedReply) -> String? {
        let message = bytes.span.bytes
        guard message.u16(0) == 0, message.u16(4) == 1, message.u16(10) == 0 else { return "header" }
        guard message.u16(2) & 0xfc00 == 0x8000 else { return "flags" }
        var question = Name()
        guard question.parse(message, at: 12) == 12 + name.byteCount, question == name else { return "question" }
        let owners = [name] + facts.chain
        var at = 12 + name.byteCount + 4
        var shortest = UInt32.max
        let answers = Int(message.u16(6))
        for index in 0..<answers + Int(message.u16(8)) {
            guard let owner = expand(message, at) else { return "owner" }
            let fields = Query.skipName(message, at)
            guard fields > 0, fields + 10 <= message.byteCount else { return "record" }
            let type = message.u16(fields)
            if type == 41 { return "OPT" }
            // A DNAME stands above a name of the chain.
            let isOnChain = type == 39 || type == 46 || owners.contains(owner)
            if index < answers, !isOnChain { return "owner \(owner) in the answer" }
            shortest = min(shortest, message.u32(fields + 4))
            at = fields + 10 + Int(message.u16(fields + 8))
        }
        if at != message.byteCount { return "length" }
        if facts.rcode == 0 || facts.rcode == 3, facts.ttl != 0, facts.ttl != shortest { return "TTL \(facts.ttl)" }
        return facts.ttl <= 86400 ? nil : "TTL over the limit"
    }

    /// The name at an offset, compression pointers followed.
    private static func expand(_ message: RawSpan, _ offset: Int) -> Name? {
        var wire: [UInt8] = []
        var at = offset
        for _ in 0..<200 {
            guard at < message.byteCount else { return nil }
            let length = message.u8(at)
            if length >= 0xc0 {
                guard at + 2 <= message.byteCount else { return nil }
                at = Int(message.u16(at) & 0x3fff)
                continue
            }
            wire.append(length)
            if length == 0 { break }
            guard at + 1 + Int(length) <= message.byteCount else { return nil }
            for index in at + 1...at + Int(length) { wire.append(message.u8(index)) }
            at += 1 + Int(length)
        }
        var name = Name()
        return name.parse(wire.span.bytes, at: 0) == wire.count ? name : nil
    }
}
