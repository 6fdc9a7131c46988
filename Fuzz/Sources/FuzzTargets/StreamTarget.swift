import Wire

@testable import ContentFilter

/// A TLS or HTTP stream: two bytes that choose how it is cut, then the stream. However it arrives, it tells the same.
enum StreamTarget {
    static func run(_ input: [UInt8]) {
        guard input.count > 2 else { return }
        let stream = Array(input[2...])
        let whole = tell(stream, size: stream.count, backwards: false)
        // A name that stands at the end of a piece is told before a fault behind it, so pieces decide like the whole.
        for (size, backwards) in [(Int(input[0]) + 1, false), (1, false), (Int(input[1]) + 1, true)] {
            let pieces = tell(stream, size: size, backwards: backwards)
            promise(pieces.0 == whole.0 && pieces.1 == whole.1, "\(pieces) in pieces of \(size), \(whole) whole")
        }
        if case .name = whole.0 {
            promise(whole.1 != Name() && Name(whole.1.description) == whole.1, "no name: \(whole.1)")
        }
    }

    private static func tell(_ stream: [UInt8], size: Int, backwards: Bool) -> (PeekOutcome, Name) {
        var peek = NamePeek(capacity: 1)
        var ticket = PeekTicket(proto: Packet.Number.tcp)!
        // The SYN says where the stream begins.
        var outcome = feed(&peek, &ticket, segment(-1, [], flags: Segment.syn))
        let offsets = Array(stride(from: 0, to: stream.count, by: size))
        for offset in backwards ? offsets.reversed() : offsets where outcome == .more {
            let bytes = Array(stream[offset..<min(stream.count, offset + size)])
            outcome = feed(&peek, &ticket, segment(offset, bytes, flags: Segment.ack))
        }
        if outcome == .more { peek.close(&ticket) }
        promise(peek.halfRead == 0, "a buffer was not given back")
        if case .name = outcome { return (outcome, peek.name) }
        return (outcome, Name())
    }

    private static func feed(_ peek: inout NamePeek, _ ticket: inout PeekTicket, _ packet: [UInt8]) -> PeekOutcome {
        peek.feed(&ticket, packet.span.bytes, Packet.parse(packet.span.bytes), now: 1)
    }

    private static func segment(_ offset: Int, _ bytes: [UInt8], flags: UInt8) -> [UInt8] {
        let sequence = UInt32(truncatingIfNeeded: 0xffff_fff0 + offset)
        let number = (0..<4).map { UInt8(truncatingIfNeeded: sequence >> (24 - 8 * UInt32($0))) }
        let count = 40 + bytes.count
        let ip: [UInt8] =
            [0x45, 0, UInt8(count >> 8), UInt8(count & 255), 0, 0, 0, 0, 64, 6, 0, 0] + [192, 0, 2, 7, 198, 51, 100, 1]
        return ip + [156, 64, 1, 187] + number + [0, 0, 0, 1, 0x50, flags, 250, 240, 0, 0, 0, 0] + bytes
    }

    // MARK: Seeds

    /// Handshake bytes of a hello for "a.example": session ID, two suites, GREASE, the name, supported versions.
    static let hello: [UInt8] = {
        let random = [UInt8](repeating: 7, count: 32)
        let name: [UInt8] = [0, 0, 0, 14, 0, 12, 0, 0, 9] + Array("a.example".utf8)
        let extensions = [0x0a, 0x0a, 0, 1, 0] + name + [0, 43, 0, 3, 2, 3, 4]
        let body =
            [3, 3] + random + [2, 1, 1, 0, 4, 0x13, 1, 0x2a, 0x2a, 1, 0, 0, UInt8(extensions.count)] + extensions
        return [1, 0, 0, UInt8(body.count)] + body
    }()

    static var seeds: [[UInt8]] {
        let record: [UInt8] = [22, 3, 1, 0, UInt8(hello.count)] + hello
        let records = stride(from: 0, to: hello.count, by: 20).flatMap { at in
            let part = hello[at..<min(at + 20, hello.count)]
            return [22, 3, 3, 0, UInt8(part.count)] + part
        }
        let heads = [
            "GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "\r\nPOST http://u@a.example/x HTTP/1.0\nhost : b\n\n",
            "CONNECT a.example:443 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost:[::1]\r\n\r\n", "EHLO a.example\r\n",
        ]
        return ([record, records] + heads.map { Array($0.utf8) }).map { [6, 9] + $0 }
    }
}
