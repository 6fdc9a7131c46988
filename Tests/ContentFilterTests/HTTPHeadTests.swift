import TestPackets
import Testing
import Wire

@testable import ContentFilter

@Suite struct HTTPHeadTests {
    /// In pieces of so many bytes.
    private func outcome(_ text: String, size: Int = .max) -> (PeekOutcome, String) {
        let bytes = Array(text.utf8)
        let flow = TestFlow()
        let packets = stride(from: 0, to: bytes.count, by: min(size, bytes.count)).map {
            flow.segment($0, Array(bytes[$0..<min($0 + min(size, bytes.count), bytes.count)]))
        }
        var peek = NamePeek(capacity: 1)
        return (peek.run(packets), peek.name.description)
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
        "GET / HTTP/1.0\r\nAccept: */*\r\nHOST:a.example:8080 \t\r\n\r\n",
        "\r\n\r\nPOST /x HTTP/1.1\r\nhost : A.Example.\r\n\r\n",
        "GET / HTTP/1.1\nhost: a.example\n\n",
        "OPTIONS * HTTP/1.1\r\nHostile: b.example\r\nHost: a.example\r\n\r\n",
        "M-SEARCH /\u{e4} HTTP/1.1\r\nHost: a.example\r\n\r\n",
        // The target goes before the field (RFC 9112 section 3.2.2).
        "GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "GET HTTPS://user:pass@a.example:1?x@b.example HTTP/1.1\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        "GET  /  HTTP/1.1 \r\nHost: a.example\r\n\r\n",
    ])
    func hostsAreFound(text: String) {
        for size in [.max, 1, 2, 3, 5, 11] {
            #expect(outcome(text, size: size) == (.name(.http), "a.example"), "pieces of \(size) bytes")
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", NoName.unnamed), ("GET / HTTP/1.1\r\nHost:\r\n\r\n", .unnamed),
        ("GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", .address),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", .address),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .malformed), ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .malformed),
        ("CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n", .address), ("GET http:/// HTTP/1.1\r\n\r\n", .unnamed),
        // HTTP/0.9, HTTP/2 with prior knowledge, and what is no HTTP.
        ("GET /\r\n", .otherProtocol), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .otherProtocol),
        ("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", .otherProtocol), ("EHLO a.example\r\n", .otherProtocol),
        ("USER x\r\n", .otherProtocol), ("*1\r\n$4\r\nPING\r\n", .otherProtocol), ("HTTP/1.1\r\n", .otherProtocol),
        ("GET HTTP/1.1\r\n", .otherProtocol), (" GET / HTTP/1.1\r\n", .otherProtocol), ("\u{1}\u{2}", .otherProtocol),
        ("GET /\u{0} HTTP/1.1\r\n", .otherProtocol), ("\u{13}BitTorrent protocol", .otherProtocol),
        (String(repeating: "A", count: 33), .otherProtocol),
    ])
    func whatHasNoHost(text: String, expected: NoName) {
        for size in [.max, 1] { #expect(outcome(text, size: size).0 == .none(expected), "pieces of \(size) bytes") }
    }

    @Test func anUnfinishedHeadIsWaitedFor() {
        let text = "GET / HTTP/1.1\r\nHost: a.example"
        for count in 1...text.utf8.count { #expect(outcome(String(text.prefix(count))).0 == .more, "\(count)") }
        #expect(outcome(text + "\n").0 == .name(.http))
    }

    @Test func theHeadHasALimit() {
        let cookie = "GET / HTTP/1.1\r\nCookie: " + String(repeating: "x", count: NamePeek.byteLimit)
        #expect(outcome(cookie + "\r\nHost: a.example\r\n", size: 1460).0 == .none(.tooLong))
        let short = "GET / HTTP/1.1\r\nCookie: " + String(repeating: "x", count: NamePeek.byteLimit - 100)
        #expect(outcome(short + "\r\nHost: a.example\r\n", size: 1460).0 == .name(.http))
    }
}
