import TestPackets
import Testing
import Wire

@testable import ContentFilter

/// Streams cut, mixed and repeated at random, against a reader that keeps every byte and begins anew each time.
@Suite struct NamePeekPropertyTests {
    /// What a stream tells from its begin on.
    enum Naive {
        static func outcome(_ stream: [UInt8]) -> PeekOutcome {
            guard let first = stream.first else { return .more }
            let found = first == 22 ? hello(stream) : head(stream)
            return found == .more && stream.count >= NamePeek.byteLimit ? .none(.tooLong) : found
        }

        static func hello(_ stream: [UInt8]) -> PeekOutcome {
            var message: [UInt8] = []
            var at = 0
            while at + 5 <= stream.count {
                let count = Int(stream[at + 3]) << 8 | Int(stream[at + 4])
                guard stream[at] == 22, stream[at + 1] == 3, count <= 16_384 else {
                    let found = name(message)
                    return found == .more ? .none(at == 0 ? .otherProtocol : .malformed) : found
                }
                message += stream[(at + 5)...].prefix(count)
                at += 5 + count
            }
            return name(message)
        }

        /// By slices: each vector is taken off the front, or waited for.
        static func name(_ message: [UInt8]) -> PeekOutcome {
            guard message.count >= 4 else { return .more }
            guard message[0] == 1 else { return .none(.otherProtocol) }
            var end = 4 + Int(message[1]) << 16 + Int(message[2]) << 8 + Int(message[3])
            guard end <= 16_384 else { return .none(.tooLong) }
            var at = 38
            for width in [1, 2, 1] {
                if at > end { return .none(.malformed) }
                guard at + width <= message.count else { return .more }
                at += message[at..<at + width].reduce(0) { $0 << 8 | Int($1) } + width
            }
            if at > end { return .none(.malformed) }
            if at == end { return .none(.unnamed) }
            guard at + 2 <= message.count else { return .more }
            let stop = at + 2 + Int(message[at]) << 8 + Int(message[at + 1])
            if stop > end { return .none(.malformed) }
            end = stop
            at += 2
            while at < end {
                if at + 4 > end { return .none(.malformed) }
                guard at + 4 <= message.count else { return .more }
                let (type, count) = (
                    Int(message[at]) << 8 | Int(message[at + 1]), Int(message[at + 2]) << 8 | Int(message[at + 3])
                )
                if type == 0 {
                    if at + 4 + count > end { return .none(.malformed) }
                    guard at + 4 + count <= message.count else { return .more }
                    return list(Array(message[(at + 4)...].prefix(count)))
                }
                at += 4 + count
            }
            return .none(at == end ? .unnamed : .malformed)
        }

        static func list(_ list: [UInt8]) -> PeekOutcome {
            guard list.count >= 2, Int(list[0]) << 8 | Int(list[1]) == list.count - 2 else { return .none(.malformed) }
            var rest = list[2...]
            while rest.count >= 3 {
                let head = Array(rest.prefix(3))
                let count = Int(head[1]) << 8 | Int(head[2])
                guard rest.count >= 3 + count else { return .none(.malformed) }
                if head[0] == 0 { return host(Array(rest.dropFirst(3).prefix(count)), .tls) }
                rest = rest.dropFirst(3 + count)
            }
            return .none(rest.isEmpty ? .unnamed : .malformed)
        }

        static func host(_ bytes: [UInt8], _ source: NameSource) -> PeekOutcome {
            var name = Name()
            switch name.parse(host: bytes.span.bytes) {
            case .name: return .name(source)
            case .address: return .none(.address)
            case .malformed: return .none(.malformed)
            }
        }

        /// Only heads as the test composes them: a request line of HTTP/1, then fields.
        static func head(_ stream: [UInt8]) -> PeekOutcome {
            let lines = String(decoding: stream, as: UTF8.self).components("\r\n").dropLast().dropFirst()
            for line in lines {
                if line.isEmpty { return .none(.unnamed) }
                if line.lowercased().hasPrefix("host: ") { return host(Array(line.dropFirst(6).utf8), .http) }
            }
            return .more
        }
    }

    /// A stream of one of several kinds, sometimes with a byte changed.
    private func stream(_ generator: inout SeededGenerator) throws -> [UInt8] {
        let kind = Int.random(in: 0...5, using: &generator)
        if kind == 0 {
            let fields = (0..<Int.random(in: 0...30, using: &generator)).map {
                "X-\($0): \(String(repeating: "v", count: $0 * 9))\r\n"
            }
            return Array(
                ("GET / HTTP/1.1\r\n" + fields.joined()
                    + (Bool.random(using: &generator) ? "Host: a.example\r\n\r\n" : "\r\n")).utf8)
        }
        var message: [UInt8]
        if kind == 1 {
            message = Array(
                try golden(
                    ["openssl", "curl", "wget", "chrome131", "openssl-unnamed"].randomElement(using: &generator)!)[0][
                        5...])
        } else {
            let padding = [0, 1, 500, 4_000, 16_000, 16_300].randomElement(using: &generator)!
            let others = (0..<Int.random(in: 0...20, using: &generator)).flatMap {
                TestHello.ext(0x0a0a + $0 * 0x1010, [0])
            }
            let names = Bool.random(using: &generator) ? TestHello.serverName("name.example") : []
            message = TestHello.message(others + TestHello.ext(21, .init(repeating: 0, count: padding)) + names)
        }
        let size = [1, 3, 100, 1_000, 16_384].randomElement(using: &generator)!
        var stream = TestHello.records(message, size)
        if kind == 5 {
            let at = Int.random(in: 0..<stream.count, using: &generator)
            if at > 0 { stream[at] = .random(in: 0...255, using: &generator) }
        }
        return stream
    }

    @Test func randomSegments() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("NamePeekPropertyTests: seed \(seed)")
        var generator = SeededGenerator(seed)
        var peek = NamePeek(capacity: 3)
        var seen: [String: Int] = [:]
        for round in 0..<150 {
            let stream = try stream(&generator)
            let flow = TestFlow(start: Int(UInt32.random(in: 0 ... .max, using: &generator)))
            var segments = cut(stream, &generator)
            shuffle(&segments, &generator)
            var ticket = PeekTicket(proto: 6)!
            #expect(peek.feed(&ticket, flow.syn()) == .more)
            var arrived = [UInt8?](repeating: nil, count: stream.count)
            var read: [UInt8] = []
            var outcome = PeekOutcome.more
            var expected = PeekOutcome.more
            for (offset, bytes) in segments {
                for index in 0..<bytes.count where arrived[offset + index] == nil {
                    arrived[offset + index] = bytes[index]
                }
                let before = read.count
                while read.count < min(stream.count, NamePeek.byteLimit), let byte = arrived[read.count] {
                    read.append(byte)
                }
                if read.count > before { expected = Naive.outcome(read) }
                outcome = peek.feed(&ticket, flow.segment(offset, bytes))
                guard outcome == expected else {
                    Issue.record(
                        "seed \(seed), round \(round): \(outcome) is not \(expected) at \(read.count) of \(stream.count)"
                    )
                    return
                }
                if outcome != .more { break }
            }
            if outcome == .more { peek.close(&ticket) }
            seen["\(outcome)", default: 0] += 1
            #expect(peek.halfRead == 0, "seed \(seed), round \(round)")
        }
        print(
            "NamePeekPropertyTests: \(seen.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))"
        )
    }

    /// Pieces that cover the stream, with overlaps and repetitions that agree with it.
    private func cut(_ stream: [UInt8], _ generator: inout SeededGenerator) -> [(Int, [UInt8])] {
        let longest = [1, 10, 536, 1460, 65_000].randomElement(using: &generator)!
        var segments: [(Int, [UInt8])] = []
        var at = 0
        while at < stream.count {
            let count = longest == 1 && stream.count > 1_000 ? 40 : Int.random(in: 1...longest, using: &generator)
            let first = max(
                0, at - (Int.random(in: 0...3, using: &generator) == 0 ? Int.random(in: 0...50, using: &generator) : 0))
            let end = min(stream.count, at + count)
            segments.append((first, Array(stream[first..<end])))
            if Int.random(in: 0...9, using: &generator) == 0 { segments.append(segments[segments.count - 1]) }
            at = end
        }
        return segments
    }

    /// No change, neighbours changed, or all mixed.
    private func shuffle(_ segments: inout [(Int, [UInt8])], _ generator: inout SeededGenerator) {
        switch Int.random(in: 0...2, using: &generator) {
        case 0: break
        case 1:
            for index in 1..<max(1, segments.count) where Bool.random(using: &generator) {
                segments.swapAt(index - 1, index)
            }
        default: segments.shuffle(using: &generator)
        }
    }
}

extension String {
    fileprivate func components(_ separator: String) -> [String] {
        split(separator: separator, omittingEmptySubsequences: false).map(String.init)
    }
}
