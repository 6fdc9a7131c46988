import Testing
import Wire

@testable import DNSProxy

@Suite struct MessageTextTests {
    /// RFC 1035 section 4.1: a reply to `a.example A` with one address, and an OPT record with EDE 15 (RFC 8914).
    static let reply: [UInt8] =
        [0x12, 0x34]  // id
        + [0x81, 0x80]  // QR RD, RA
        + [0, 1, 0, 1, 0, 0, 0, 1]  // counts
        + [1, 0x61, 7] + Array("example".utf8) + [0, 0, 1, 0, 1]  // question
        + [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 192, 0, 2, 1]  // answer, TTL 10
        + [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 8]  // OPT, 1232
        + [0, 15, 0, 4, 0, 15, 0x68, 0x69]  // EDE 15 "hi"

    @Test func readsAMessage() throws {
        let text = try #require(MessageText(MessageTextTests.reply, milliseconds: 7))
        #expect(text.rcodeName == "NOERROR")
        #expect(text.rcode == .noError)
        #expect(text.flags == ["qr", "rd", "ra"])
        #expect(text.answer == [.init(name: "a.example.", ttl: 10, type: "A", data: "192.0.2.1")])
        #expect(text.authority.isEmpty)
        #expect(text.extendedErrors.count == 1)
        #expect(text.extendedErrors.first?.code == 15)
        #expect(text.extendedErrors.first?.text == "hi")
        #expect(text.text.contains("a.example.\t10\tIN\tA\t192.0.2.1"))
        #expect(text.text.contains("Query time: 7 msec"))
    }

    @Test func refusesWhatIsNoMessage() {
        for count in 0..<12 { #expect(MessageText(Array(MessageTextTests.reply[..<count]), milliseconds: 0) == nil) }
        #expect(MessageText(Array(MessageTextTests.reply[..<40]), milliseconds: 0) == nil)
    }

    @Test func composesAQuery() throws {
        #expect(
            try QueryMessage.compose(name: "a.example", type: "aaaa", id: 0x1234)
                == [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0x61, 7] + Array("example".utf8) + [0, 0, 28, 0, 1]
                + [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])
        #expect(try QueryMessage.compose(name: "a.example.", type: "TYPE65", id: 0)[24] == 65)
        #expect(try QueryMessage.compose(name: ".", type: "NS", id: 0)[12...16] == [0, 0, 2, 0, 1])
        // What it composes is a query for webtun's own parser.
        var name = Name()
        let message = try QueryMessage.compose(name: "A.Example", type: "MX", id: 7)
        guard
            case .query(let query) = message.withUnsafeBytes({
                Query.parse(RawSpan(_unsafeBytes: $0), name: &name)
            })
        else {
            Issue.record("no query")
            return
        }
        #expect(query.qtype == 15 && query.udpSize == 1232 && query.recursionDesired)
    }

    @Test func refusesWhatIsNoNameOrType() {
        let long = Array(repeating: String(repeating: "a", count: 63), count: 4).joined(separator: ".") + ".b"
        for name in ["", "a..b", String(repeating: "a", count: 64), long] {
            #expect(throws: QueryMessage.Failure.badName(name)) {
                try QueryMessage.compose(name: name, type: "A", id: 0)
            }
        }
        for type in ["", "NOTYPE", "TYPE65536"] {
            #expect(throws: QueryMessage.Failure.badType(type)) {
                try QueryMessage.compose(name: "a", type: type, id: 0)
            }
        }
    }
}
