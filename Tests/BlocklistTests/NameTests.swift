import Testing

@testable import Blocklist

/// Names as people and lists write them, brought to the form in which they are stored.
struct NameTests {
    @Test(arguments: [
        ("example.com", "example.com"), ("EXAMPLE.Com.", "example.com"), ("_dmarc.a-b.example", "_dmarc.a-b.example"),
        ("com", "com"), ("1.example", "1.example"), ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        // UTS 46, non-transitional: sharp s and final sigma stay letters of their own.
        ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"), ("ς.example", "xn--3xa.example"), ("☃.example", "xn--n3h.example"),
        // Composed before it is encoded (NFC), full-width forms and the ideographic full stop mapped.
        ("e\u{301}.example", "xn--9ca.example"), ("é.example", "xn--9ca.example"), ("ＡＢＣ.example", "abc.example"),
        ("日本語。jp", "xn--wgv71a119e.jp"), ("_tcp.bücher.example.", "_tcp.xn--bcher-kva.example"),
    ])
    func stored(_ written: String, _ expected: String) throws {
        #expect(try DomainName(written).text == expected)
    }

    @Test(arguments: [
        ("", "no name"), (".", "empty"), ("a..b", "empty"), (".a", "empty"), ("a.b..", "empty"),
        ("a b.example", "0x20"), ("a*b.example", "'*'"), ("a/b", "'/'"), ("192.0.2.1", "address"),
        ("2001:db8::1", "address"), ("example.7", "address"), ("https://a.example/", "URL"),
        ("a.example:80", "':'"), ("ü*.example", "'*'"), ("-ü.example", "UTS 46"), ("℀.example", "UTS 46"),
        (String(repeating: "a", count: 64) + ".example", "63"),
        ((0..<32).map { _ in "abcdefg" }.joined(separator: ".") + ".abcdefghi.abcdefghij.abcdefghij", "253"),
    ])
    func refused(_ written: String, _ reason: String) {
        let error = #expect(throws: BlocklistError.self, "\(written)") { try DomainName(written) }
        guard case .badName(let text, let why) = error else {
            Issue.record("\(written): \(String(describing: error))")
            return
        }
        #expect(text == written)
        #expect(why.contains(reason), "\(written): \(why)")
    }

    @Test func longest() throws {
        let label = String(repeating: "a", count: 63)
        let name = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        #expect(name.utf8.count == 253)
        #expect(try DomainName(name + ".").text == name)
        #expect(try DomainName(name).wire.count == 255)
        #expect(throws: BlocklistError.self) { try DomainName(name + "b") }
    }

    @Test func wireForm() throws {
        #expect(try DomainName("Ads.Example").wire == [3, 97, 100, 115, 7, 101, 120, 97, 109, 112, 108, 101, 0])
    }

    @Test func invalidUTF8IsRefused() {
        var name = NameText()
        #expect(name.parse(([0xC3, 0x61] + Array(".example".utf8)).span) == .notUTF8)
        #expect(name.parse(([0xFF] as [UInt8]).span) == .notUTF8)
    }
}
