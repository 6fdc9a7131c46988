import TestPackets
import Testing
import Wire

@testable import ContentFilter

/// ClientHellos over TCP.
@Suite struct HelloTests {
    private func outcome(_ stream: [UInt8], size: Int = .max) -> (PeekOutcome, String) {
        let flow = TestFlow()
        var packets = [flow.syn()]
        var at = 0
        while at < stream.count {
            let end = min(stream.count, at + min(size, 60_000))
            packets.append(flow.segment(at, Array(stream[at..<end])))
            at = end
        }
        var peek = NamePeek(capacity: 1)
        let outcome = peek.run(packets)
        #expect(peek.halfRead == 0)
        return (outcome, peek.name.description)
    }

    private static let named = [
        ("openssl", "openssl.example.com"), ("curl", "curl.example.com"), ("wget", "localhost"),
        ("chrome131", "chrome131.example.com"), ("firefox135", "firefox135.example.com"),
    ]

    @Test(arguments: named) func realClientsAreNamed(file: String, name: String) throws {
        let stream = try golden(file)[0]
        for size in [.max, 1460, 1220, 536, 100, 7, 1] {
            let (outcome, found) = outcome(stream, size: size)
            #expect(outcome == .name(.tls) && found == name, "segments of \(size) bytes")
        }
    }

    /// The name is told by the segment that completes it, not by one before and not only by a later one.
    @Test(arguments: named) func theNameIsToldAsSoonAsItIsThere(file: String, name: String) throws {
        let stream = try golden(file)[0]
        let text = Array(name.utf8)
        let end = (text.count...stream.count).first { at in
            stream[at - text.count..<at].map { Name.lower($0) } == text
        }!
        for count in 0..<end { #expect(outcome(Array(stream[..<count])).0 == .more, "\(count)") }
        #expect(outcome(Array(stream[..<end])).0 == .name(.tls))
    }

    @Test func aHelloWithoutANameIsUnnamed() throws {
        let stream = try golden("openssl-unnamed")[0]
        #expect(outcome(stream).0 == .none(.unnamed))
        #expect(outcome(Array(stream[..<200])).0 == .more)
    }

    @Test func recordsOfAnySizeAreRead() throws {
        // A TLS implementation may cut a message into records as it likes (RFC 8446 section 5.1).
        let stream = try golden("curl")[0]
        let message = Array(stream[5...])
        for size in [1, 2, 3, 4, 5, 100, 511] {
            #expect(outcome(TestHello.records(message, size)).0 == .name(.tls), "records of \(size) bytes")
        }
        // Empty records between, as some servers tolerate.
        let empty: [UInt8] = [22, 3, 1, 0, 0]
        #expect(outcome(empty + stream).0 == .name(.tls))
    }

    @Test func sixteenKibibytesAreRead() {
        let size = { (padding: Int) in TestHello.message(TestHello.ext(21, .init(repeating: 0, count: padding))).count }
        let padding = 16_384 - size(0) - TestHello.serverName("far.example").count
        for (extra, expected) in [(0, PeekOutcome.name(.tls)), (1, .none(.tooLong))] {
            let message = TestHello.message(
                TestHello.ext(21, .init(repeating: 0, count: padding + extra)) + TestHello.serverName("far.example"))
            #expect(message.count == 16_384 + extra)
            for stream in [TestHello.records(message), TestHello.records(message, 100)] {
                #expect(outcome(stream, size: 1460).0 == expected)
            }
        }
    }

    @Test func tooManyRecordsAreTooLong() {
        let message = TestHello.message(
            TestHello.ext(21, .init(repeating: 0, count: 8_000)) + TestHello.serverName("far.example"))
        #expect(outcome(TestHello.records(message, 1), size: 1460).0 == .none(.tooLong))
    }

    @Test(arguments: [
        ("a.example", PeekOutcome.name(.tls), "a.example"), ("WWW.Example.", .name(.tls), "www.example"),
        ("xn--bcher-kva.example", .name(.tls), "xn--bcher-kva.example"), ("192.0.2.1", .none(.address), "."),
        ("2001:db8::1", .none(.address), "."), ("", .none(.malformed), "."), ("a..b", .none(.malformed), "."),
        ("a b", .none(.malformed), "."), ("a\u{0}b", .none(.malformed), "."),
        ("bücher.example", .none(.malformed), "."),
    ])
    func namesAsTheyStand(text: String, expected: PeekOutcome, name: String) {
        let found = outcome(TestHello.records(TestHello.message(TestHello.serverName(text))))
        #expect(found == (expected, name))
    }

    @Test func theFirstHostNameCounts() {
        let list = TestHello.ext(
            0,
            TestHello.vector(
                2, [9] + TestHello.vector(2, [1, 2]) + [0] + TestHello.vector(2, Array("b.example".utf8))))
        #expect(outcome(TestHello.records(TestHello.message(list))) == (.name(.tls), "b.example"))
        let other = TestHello.serverName("b.example", type: 9)
        #expect(outcome(TestHello.records(TestHello.message(other))).0 == .none(.unnamed))
    }

    @Test func lengthsThatContradictEachOther() {
        let whole = TestHello.message(TestHello.serverName("a.example"))
        // The message's length, of session ID, suites, compression, extensions, the extension, the list, the name.
        let session = 4 + 2 + 32
        let (suites, compression, extensions) = (session + 33, session + 37, session + 39)
        for (at, value) in [
            (session, 255), (suites, 255), (compression, 255), (extensions, 255), (extensions + 4, 255),
            (extensions + 6, 255), (extensions + 7, 99), (extensions + 10, 99),
        ] {
            var message = whole
            message[at] = UInt8(value)
            let (outcome, _) = outcome(TestHello.records(message + [UInt8](repeating: 0, count: 16_000)))
            #expect(outcome == .none(.malformed), "offset \(at)")
        }
        // A message that ends before its extensions is one without them (RFC 8446 section 4.1.2).
        var short = Array(whole[..<extensions])
        short[3] = UInt8(extensions - 4)
        #expect(outcome(TestHello.records(short)).0 == .none(.unnamed))
    }

    @Test func whatIsNoHello() throws {
        let stream = try golden("curl")[0]
        for (at, value, expected) in [
            (0, 23, NoName.otherProtocol), (0, 21, .otherProtocol), (1, 2, .otherProtocol), (3, 0x41, .otherProtocol),
            (5, 2, .otherProtocol), (6, 1, .tooLong),
        ] {
            var changed = stream
            changed[at] = UInt8(value)
            #expect(outcome(changed).0 == .none(expected), "offset \(at)")
        }
        // An alert in the midst of the hello.
        #expect(outcome(TestHello.records(Array(stream[5..<50])) + [21, 3, 1, 0, 2, 2, 40]).0 == .none(.malformed))
    }

    /// The parts of a hello in super-packets of which the second comes first, and one that repeats all.
    @Test func superPacketsOutOfOrder() throws {
        let stream = try golden("firefox135")[0] + [UInt8](repeating: 0x17, count: 40_000)
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        for cut in [1, 5, 100, 1460, 1800] {
            let (front, back) = (flow.segment(0, Array(stream[..<cut])), flow.segment(cut, Array(stream[cut...])))
            #expect(peek.run([flow.syn(), back, front]) == .name(.tls), "\(cut)")
            #expect(peek.run([flow.syn(), back, back]) == .more, "\(cut)")
            #expect(peek.run([flow.syn(), back, flow.segment(0, stream)]) == .name(.tls), "\(cut)")
        }
    }

    @Test func superPacketsAreReadWhole() throws {
        // What a TCP with segmentation offload hands down in one piece: the hello and data behind it.
        let stream = try golden("chrome131")[0] + [UInt8](repeating: 0x17, count: 58_000)
        #expect(outcome(stream).0 == .name(.tls))
        let six = TestFlow(from: "2001:db8::7", to: "2001:db8::1")
        var peek = NamePeek(capacity: 1)
        #expect(peek.run([six.segment(0, stream)]) == .name(.tls))
        // Over 64 KiB the length field is 0 (RFC 2675, as Linux uses it for super-packets).
        let hello = try golden("chrome131")[0]
        for bytes in [hello + [UInt8](repeating: 0x17, count: 150_000), hello] {
            var packet = six.segment(0, hello)
            packet.replaceSubrange((packet.count - hello.count)..., with: bytes)
            packet.replaceSubrange(4..<6, with: [0, 0])
            #expect(Packet.parse(packet.span.bytes).end == packet.count)
            #expect(peek.run([packet]) == .name(.tls))
        }
    }
}
