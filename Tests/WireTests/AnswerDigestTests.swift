import Testing
import Wire

@Suite struct AnswerDigestTests {
    /// A reply: www.example A? with a CNAME to cdn.example.net and two addresses.
    static let message: [UInt8] = [
        0x12, 0x34, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0,  // header: 1 question, 3 answers
        3, 119, 119, 119, 7, 101, 120, 97, 109, 112, 108, 101, 0, 0, 1, 0, 1,  // 12: www.example A IN
        0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 17,  // www.example 60 CNAME
        3, 99, 100, 110, 7, 101, 120, 97, 109, 112, 108, 101, 3, 110, 101, 116, 0,  // 41: cdn.example.net
        0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7,  // cdn.example.net 60 A
        0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 8,
    ]

    @Test func readsTheAnswerSectionOfAMessage() {
        let digest = AnswerDigest(message: Self.message.span.bytes)
        #expect(AnswerDigest.text(digest.bytes) == "cdn.example.net 192.0.2.7 192.0.2.8")
    }

    @Test func followsCompressedTargets() {
        var message = Self.message
        // CNAME target "cdn" + pointer to "example" in the question: 6 bytes.
        message.replaceSubrange(
            29..<58,
            with: [
                0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6, 3, 99, 100, 110, 0xc0, 16,
            ])
        message[7] = 1
        #expect(AnswerDigest.text(AnswerDigest(message: message.span.bytes).bytes) == "cdn.example")
    }

    @Test func loopsAndCutsEndTheReading() {
        var loop = Self.message
        loop.replaceSubrange(41..<43, with: [0xc0, 41])
        #expect(AnswerDigest(message: loop.span.bytes).bytes.byteCount == 0)
        for count in 0..<Self.message.count {
            let cut = Array(Self.message[..<count])
            let text = AnswerDigest.text(AnswerDigest(message: cut.span.bytes).bytes)
            #expect("cdn.example.net 192.0.2.7 192.0.2.8".hasPrefix(text))
        }
    }

    @Test func marksWhatNoLongerFits() {
        var digest = AnswerDigest()
        for number in 0..<20 { digest.append(IPAddress(v4: 0xcb00_7100 + UInt32(number))) }
        let expected = (0..<12).map { "203.0.113.\($0)" }.joined(separator: " ") + " …"
        #expect(AnswerDigest.text(digest.bytes) == expected)
        #expect(digest.bytes.byteCount <= AnswerDigest.capacity)
        var six = AnswerDigest()
        for number in 0..<5 { six.append(IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(number))) }
        #expect(AnswerDigest.text(six.bytes) == "2001:db8:: 2001:db8::1 2001:db8::2 …")
    }

    @Test func textOfForeignBytesNeverTraps() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...64, using: &random)).map { _ in
                Bool.random(using: &random)
                    ? [0, 1, 5, 28].randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random)
            }
            _ = AnswerDigest.text(bytes.span.bytes)
        }
    }
}
