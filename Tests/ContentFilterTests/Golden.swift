import Foundation
import TestPackets

@testable import ContentFilter
@testable import Wire

/// Bytes that real programs sent, from `Golden/NAME.hex`: hexadecimal, `#` begins a comment, an empty line a new message.
func golden(_ name: String) throws -> [[UInt8]] {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(name).hex")
    var messages: [[UInt8]] = [[]]
    for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false) {
        if line.isEmpty { messages.append([]) }
        let digits = line.prefix { $0 != "#" }.filter { !$0.isWhitespace }
        var rest = digits[...]
        while let byte = UInt8(rest.prefix(2), radix: 16) {
            messages[messages.count - 1].append(byte)
            rest = rest.dropFirst(2)
        }
    }
    return messages.filter { !$0.isEmpty }
}

func hex(_ text: String) -> [UInt8] {
    stride(from: 0, to: text.count, by: 2).map { UInt8(text.dropFirst($0).prefix(2), radix: 16)! }
}

func array(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span.u8($0) } }

/// Composes hellos and requests the plain way.
enum TestHello {
    static func vector(_ lengthByteCount: Int, _ bytes: [UInt8]) -> [UInt8] {
        (0..<lengthByteCount).reversed().map { UInt8(bytes.count >> (8 * $0) & 255) } + bytes
    }

    static func ext(_ type: Int, _ bytes: [UInt8]) -> [UInt8] { TestPackets.big16(type) + vector(2, bytes) }

    static func serverName(_ name: String, type: UInt8 = 0) -> [UInt8] {
        ext(0, vector(2, [type] + vector(2, Array(name.utf8))))
    }

    /// A ClientHello with these extensions, as handshake bytes.
    static func message(_ extensions: [UInt8], suites: Int = 2, session: Int = 32) -> [UInt8] {
        let fixed = [3, 3] + [UInt8](repeating: 7, count: 32) + vector(1, .init(repeating: 8, count: session))
        let body = fixed + vector(2, .init(repeating: 0x13, count: suites)) + [1, 0] + vector(2, extensions)
        return [1] + vector(3, body)
    }

    /// Handshake bytes as TLS records of so many bytes, the last one shorter.
    static func records(_ message: [UInt8], _ size: Int = 16_384) -> [UInt8] {
        stride(from: 0, to: message.count, by: size).flatMap {
            [22, 3, 1] + vector(2, Array(message[$0..<min($0 + size, message.count)]))
        }
    }
}

/// Packets of one client's TCP connection or UDP flow.
struct TestFlow {
    var from = "192.0.2.7"
    var to = "198.51.100.1"
    /// TCP: the sequence number of the SYN.
    var start = 0x1000

    func segment(_ offset: Int, _ bytes: [UInt8] = [], flags: UInt8 = Segment.ack, acknowledgment: Int = 1) -> [UInt8] {
        TestPackets.tcp(
            from, to, (40_000, 443), flags: flags, sequence: (start + 1 + offset) & 0xffff_ffff,
            acknowledgment: acknowledgment, bytes)
    }

    func syn(_ bytes: [UInt8] = []) -> [UInt8] {
        TestPackets.tcp(from, to, (40_000, 443), flags: Segment.syn, sequence: start, bytes)
    }

    func datagram(_ bytes: [UInt8]) -> [UInt8] { TestPackets.udp(from, to, (40_000, 443), bytes) }
}

extension NamePeek {
    mutating func feed(
        _ ticket: inout PeekTicket, _ bytes: [UInt8], segmentSize: Int = 0, now: UInt64 = 1_000_000_000
    ) -> PeekOutcome {
        feed(&ticket, bytes.span.bytes, Packet.parse(bytes.span.bytes), segmentSize: segmentSize, now: now)
    }

    /// Feeds packets until something comes of it.
    mutating func run(_ packets: [[UInt8]], segmentSize: Int = 0, now: UInt64 = 1_000_000_000) -> PeekOutcome {
        let first = packets[0]
        var ticket = PeekTicket(proto: Packet.parse(first.span.bytes).proto)!
        for index in 0..<packets.count {
            let outcome = feed(&ticket, packets[index], segmentSize: segmentSize, now: now)
            if outcome != .more { return outcome }
        }
        close(&ticket)
        return .more
    }
}
