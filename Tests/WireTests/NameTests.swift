import TestPackets
import Testing
import Wire

/// A name's bytes on the wire.
private func wire(_ labels: String...) -> [UInt8] {
    labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
}

private func bytes(_ name: borrowing Name) -> [UInt8] {
    let span = name.bytes
    return (0..<span.byteCount).map { span.u8($0) }
}

private func parse(_ message: [UInt8], at offset: Int = 0) -> (name: Name, end: Int) {
    var name = Name()
    let end = name.parse(message.span.bytes, at: offset)
    return (name, end)
}

@Suite struct NameTests {
    @Test func lettersAreLoweredAndNothingElse() {
        // RFC 4343: only A to Z; "@" and "[" stand beside them, 0xC1 is a letter in other alphabets.
        let (name, end) = parse([9, 9] + wire("WwW", "eXample") + [1, 2], at: 2)
        #expect(bytes(name) == wire("www", "example") && end == 15 && name.labels == 2)
        let odd: [UInt8] = [7, 0x40, 0x41, 0x5a, 0x5b, 0xc1, 0x60, 0x7b, 0]
        #expect(bytes(parse(odd).name) == [7, 0x40, 0x61, 0x7a, 0x5b, 0xc1, 0x60, 0x7b, 0])
    }

    @Test func limitsOfLabelsAndNames() {
        let label = String(repeating: "a", count: 63)
        #expect(parse(wire(label)).end == 65)
        #expect(parse([64] + [UInt8](repeating: 97, count: 64) + [0]).end == -1)
        let longest = wire(label, label, label, String(repeating: "a", count: 61))
        #expect(longest.count == 255 && parse(longest).end == 255 && parse(longest).name.byteCount == 255)
        let over = parse(wire(label, label, label, String(repeating: "a", count: 62)))
        #expect(over.end == -1 && over.name == Name())
        let many = [UInt8](repeating: 1, count: 254) + [0]
        #expect(parse(many).name.labels == 127)
        #expect(parse([0]).end == 1 && parse([0]).name.labels == 0)
    }

    @Test func cutNamesAndPointersAreRefused() {
        let whole = wire("www", "example")
        for count in 0..<whole.count { #expect(parse(Array(whole[..<count])).end == -1, "\(count)") }
        // Compression, extended label types (RFC 6891 section 5), and the reserved one.
        for length: UInt8 in [0xc0, 0x40, 0x80, 0xff] {
            #expect(parse([length] + [UInt8](repeating: 0, count: 80)).end == -1)
        }
        #expect(parse([1]).end == -1 && parse([]).end == -1)
    }

    /// A name used again holds nothing of what it held before.
    @Test func aNameIsReusable() {
        var name = Name()
        let (long, short, cut) = (wire("a-long-label", "example"), wire("x"), [5, 1] as [UInt8])
        #expect(name.parse(long.span.bytes, at: 0) == long.count)
        #expect(name.parse(short.span.bytes, at: 0) == short.count)
        #expect(name == Name("x"))
        #expect(name.parse(cut.span.bytes, at: 0) == -1)
        #expect(name == Name())
    }

    @Test(arguments: [
        (".", "."), ("example", "example"), ("WWW.Example.", "www.example"), ("a\\.b.example", "a\\.b.example"),
        ("a\\\\b", "a\\\\b"), ("\\000\\255", "\\000\\255"), ("\\065", "a"), ("\\a", "a"), ("a\\ b", "a\\032b"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("_dns.resolver.arpa", "_dns.resolver.arpa"),
        ("*.example", "*.example"),
    ])
    func textIsReadAndWritten(text: String, canonical: String) throws {
        let name = try #require(Name(text))
        #expect(name.description == canonical)
        #expect(Name(canonical) == name)
        #expect(parse(bytes(name)).name == name)
    }

    @Test(arguments: [
        "", "..", ".a", "a..b", "a..", "\\", "a\\", "a\\2", "a\\25", "a\\256", "a\\2x5", "bücher.example",
        String(repeating: "a", count: 64), (0..<64).map { _ in "abc" }.joined(separator: "."),
    ])
    func whatIsNoNameIsRefused(text: String) {
        #expect(Name(text) == nil)
    }

    @Test func theLongestNameInText() throws {
        let text = (0..<127).map { _ in "a" }.joined(separator: ".")
        let name = try #require(Name(text))
        #expect(name.byteCount == 255 && name.labels == 127 && name.description == text)
        #expect(Name(text + ".a") == nil)
    }

    @Test func anyNameSurvivesItsText() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        for _ in 0..<2000 {
            var message: [UInt8] = []
            while message.count < 200, Int.random(in: 0...4, using: &generator) > 0 {
                let label = (0..<Int.random(in: 1...50, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                message += [UInt8(label.count)] + label
            }
            let name = parse(message + [0]).name
            #expect(Name(name.description) == name, "seed \(seed): \(message)")
        }
    }
}
