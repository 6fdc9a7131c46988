import TestPackets
import Testing
import Wire

/// www.Example A? IN, RD.
private let question: [UInt8] = [
    3, 119, 119, 119, 7, 69, 120, 97, 109, 112, 108, 101, 0,  // www.Example
    0, 1, 0, 1,  // A IN
]

private func message(
    flags: Int = 0x0100, counts: [Int] = [1, 0, 0, 0], _ sections: [UInt8]...
) -> [UInt8] {
    [0xab, 0xcd] + TestPackets.big16(flags) + counts.flatMap(TestPackets.big16) + sections.flatMap { $0 }
}

/// An OPT record (RFC 6891 section 6.1.2).
private func opt(
    owner: [UInt8] = [0], size: Int = 1232, rcode: UInt8 = 0, version: UInt8 = 0, flags: Int = 0,
    _ options: [UInt8] = []
) -> [UInt8] {
    owner + [0, 41] + TestPackets.big16(size) + [rcode, version] + TestPackets.big16(flags)
        + TestPackets.big16(options.count) + options
}

private enum Result: Equatable {
    case query(qtype: Int, udpSize: Int, dnssecOK: Bool)
    case unanswerable
    case faulty(RCode)
}

private func parse(_ message: [UInt8]) -> Result {
    var name = Name()
    switch Query.parse(message.span.bytes, name: &name) {
    case .query(let query):
        return .query(qtype: Int(query.qtype), udpSize: Int(query.udpSize), dnssecOK: query.dnssecOK)
    case .unanswerable: return .unanswerable
    case .faulty(_, let rcode): return .faulty(rcode)
    }
}

@Suite struct QueryTests {
    @Test func aPlainQuestion() throws {
        var name = Name()
        let bytes = message(question)
        guard case .query(let query) = Query.parse(bytes.span.bytes, name: &name) else {
            Issue.record("no query")
            return
        }
        #expect(query.id == 0xabcd && query.flags == 0x0100 && query.recursionDesired && !query.checkingDisabled)
        #expect(query.qtype == 1 && query.qclass == 1 && query.questionEnd == 29)
        #expect(!query.hasEDNS && !query.dnssecOK && query.ednsVersion == 0)
        #expect(name == Name("www.example"))
    }

    @Test func whatIsNoQuery() {
        for count in 0..<12 { #expect(parse(Array(message(question)[..<count])) == .unanswerable) }
        #expect(parse(message(flags: 0x8180, question)) == .unanswerable, "a response")
        #expect(parse(message(flags: 0x8000 | 4 << 11, counts: [0, 0, 0, 0])) == .unanswerable)
    }

    @Test func opcodesOtherThanQuery() {
        for opcode in 1...15 { #expect(parse(message(flags: opcode << 11, question)) == .faulty(.notImplemented)) }
        #expect(parse(message(flags: 5 << 11, counts: [0, 0, 0, 0])) == .faulty(.notImplemented), "UPDATE comes first")
    }

    @Test func exactlyOneQuestionAndNoAnswers() {
        #expect(parse(message(counts: [0, 0, 0, 0])) == .faulty(.formatError))
        #expect(parse(message(counts: [2, 0, 0, 0], question, question)) == .faulty(.formatError))
        #expect(parse(message(counts: [1, 1, 0, 0], question, opt())) == .faulty(.formatError))
        for count in 12..<29 { #expect(parse(Array(message(question)[..<count])) == .faulty(.formatError), "\(count)") }
        #expect(parse(message([0xc0, 12, 0, 1, 0, 1])) == .faulty(.formatError), "a compressed qname")
    }

    @Test func edns() {
        let one = [1, 0, 0, 1]
        #expect(parse(message(counts: one, question, opt())) == .query(qtype: 1, udpSize: 1232, dnssecOK: false))
        #expect(
            parse(message(counts: one, question, opt(size: 4096, flags: 0x8000)))
                == .query(qtype: 1, udpSize: 4096, dnssecOK: true))
        // RFC 6891 section 6.2.3: sizes under 512 count as 512.
        for size in [0, 1, 511, 512] {
            #expect(
                parse(message(counts: one, question, opt(size: size)))
                    == .query(qtype: 1, udpSize: 512, dnssecOK: false))
        }
        #expect(
            parse(message(counts: one, question, opt(size: 65_535)))
                == .query(qtype: 1, udpSize: 65_535, dnssecOK: false))
        // Options, known or not, are skipped; bits of Z must be ignored.
        #expect(
            parse(
                message(
                    counts: one, question, opt(flags: 0x7fff, [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0, 0])))
                == .query(qtype: 1, udpSize: 1232, dnssecOK: false))
        // Section 6.1.3: a version that is not known is answered with BADVERS.
        for version: UInt8 in [1, 255] {
            #expect(parse(message(counts: one, question, opt(version: version))) == .faulty(.badVersion))
        }
    }

    @Test func ednsThatIsWrong() {
        #expect(
            parse(message(counts: [1, 0, 0, 2], question, opt(), opt())) == .faulty(.formatError), "6.1.1: two of them")
        #expect(
            parse(message(counts: [1, 0, 1, 0], question, opt())) == .faulty(.formatError), "in the authority section")
        #expect(
            parse(message(counts: [1, 0, 0, 1], question, opt(owner: [1, 97, 0]))) == .faulty(.formatError),
            "not the root's")
        #expect(parse(message(counts: [1, 0, 0, 1], question, opt(owner: [0xc0, 12]))) == .faulty(.formatError))
        let whole = message(counts: [1, 0, 0, 1], question, opt([0, 10, 0, 2, 1, 2]))
        for count in 29..<whole.count { #expect(parse(Array(whole[..<count])) == .faulty(.formatError), "\(count)") }
        #expect(parse(message(counts: [1, 0, 0, 1], question)) == .faulty(.formatError), "counted and not there")
    }

    @Test func recordsBesideEDNSAreSkipped() {
        let txt: [UInt8] = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 3, 2, 97, 98]
        let tsig: [UInt8] = [1, 107, 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]
        #expect(
            parse(message(counts: [1, 0, 1, 2], question, txt, opt(), tsig))
                == .query(qtype: 1, udpSize: 1232, dnssecOK: false))
        #expect(
            parse(message(counts: [1, 0, 1, 2], question, txt, tsig, opt()))
                == .query(qtype: 1, udpSize: 1232, dnssecOK: false))
    }

    @Test func bytesBehindTheMessageAreIgnored() {
        #expect(parse(message(question, [1, 2, 3])) == .query(qtype: 1, udpSize: 0, dnssecOK: false))
        #expect(
            parse(message(counts: [1, 0, 0, 1], question, opt(), [0]))
                == .query(qtype: 1, udpSize: 1232, dnssecOK: false))
    }

    @Test func textOfTypesAndCodes() {
        for (code, text) in [
            (1, "A"), (28, "AAAA"), (65, "HTTPS"), (255, "ANY"), (257, "CAA"), (1234, "TYPE1234"), (0, "TYPE0"),
        ] {
            #expect(RecordType(UInt16(code)).description == text)
            #expect(RecordType(text)?.code == UInt16(code))
        }
        #expect(RecordType("aaaa") == .aaaa && RecordType("type28") == .aaaa && RecordType("TYPE65535")?.code == 65535)
        for text in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "TYPE 1", "B", "28"] {
            #expect(RecordType(text) == nil, "\(text)")
        }
        #expect(RCode.noError.description == "NOERROR" && RCode(11).description == "DSOTYPENI")
        #expect(RCode(12).description == "RCODE12" && RCode.badVersion.description == "BADVERS")
    }
}
