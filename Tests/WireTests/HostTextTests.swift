import TestPackets
import Testing
import Wire

@Suite struct HostTextTests {
    private func parse(_ text: String) -> (Name.HostText, Name) {
        var name = Name("left.over")!
        let bytes = Array(text.utf8)
        return (name.parse(host: bytes.span.bytes), name)
    }

    @Test(arguments: [
        ("a", "a"), ("WWW.Example.COM", "www.example.com"), ("example.com.", "example.com"), ("_x-1.a", "_x-1.a"),
        ("1.a", "1.a"), ("0x1.example", "0x1.example"), ("1a", "1a"), ("0xg", "0xg"), ("-", "-"), ("a.0xz", "a.0xz"),
    ])
    func names(text: String, expected: String) {
        let (kind, name) = parse(text)
        #expect(kind == .name && name == Name(expected) && name.labels == Name(expected)!.labels)
    }

    @Test(arguments: [
        "192.0.2.1", "192.0.2.1.", "1", "0x7f.1", "a.1", "a.0x", "a.0X1f", "2001:db8::1", "::", "::ffff:192.0.2.1",
    ])
    func addresses(text: String) {
        #expect(parse(text) == (.address, Name()))
    }

    @Test(arguments: [
        "", ".", "..", ".a", "a..b", "a..", "a b", "a:80", "[::1]", "a/b", "a@b", "bücher", "a\u{0}", "a%20", "*.a",
        String(repeating: "a", count: 64), String(repeating: "a.", count: 128),
    ])
    func neither(text: String) {
        #expect(parse(text) == (.malformed, Name()))
    }

    @Test func limits() {
        let label = String(repeating: "a", count: 63)
        #expect(parse(label).0 == .name)
        let longest = [label, label, label, String(repeating: "a", count: 61)].joined(separator: ".")
        #expect(parse(longest).0 == .name && parse(longest).1.byteCount == 255 && parse(longest + "a").0 == .malformed)
        #expect(parse(longest + ".").0 == .name)
        #expect(parse(String(repeating: "a.", count: 126) + "a").1.labels == 127)
    }

    /// What is a name in the presentation form is the same name as a host.
    @Test func agreesWithTheOtherReader() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        let letters = Array("abcXYZ019-_.")
        for _ in 0..<5_000 {
            let text = String(
                (0..<Int.random(in: 1...20, using: &generator)).map { _ in letters.randomElement(using: &generator)! })
            let (kind, name) = parse(text)
            switch kind {
            case .name: #expect(Name(text) == name, "seed \(seed): \(text)")
            case .address: #expect(Name(text) != nil, "seed \(seed): \(text)")
            case .malformed: #expect(Name(text) == nil || text == ".", "seed \(seed): \(text)")
            }
        }
    }
}
