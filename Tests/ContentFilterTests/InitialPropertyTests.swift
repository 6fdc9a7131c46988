import TestPackets
import Testing
import Wire

@testable import ContentFilter

/// Hellos scattered at random over CRYPTO frames, packets, datagrams and super-packets, against a reader that keeps every
/// byte and begins anew each time.
@Suite struct InitialPropertyTests {
    private static func random(_ range: ClosedRange<Int>, _ generator: inout SeededGenerator) -> Int {
        Int.random(in: range, using: &generator)
    }

    private static func hello(_ generator: inout SeededGenerator) throws -> [UInt8] {
        let padding = TestHello.ext(
            21, .init(repeating: 0, count: [0, 30, 1_200, 4_000].randomElement(using: &generator)!))
        switch random(0...3, &generator) {
        case 0: return TestHello.message(padding)
        case 1: return TestHello.message(padding + TestHello.serverName("after.example"))
        case 2: return TestHello.message(TestHello.serverName("before.example") + padding)
        default: return Array(try golden("chrome131")[0][5...])
        }
    }

    /// The hello as frames, overlapping now and then, mixed or not, some twice, with frames between that say nothing.
    private static func frames(_ hello: [UInt8], _ generator: inout SeededGenerator) -> [(offset: Int, bytes: [UInt8])]
    {
        let longest = [30, 200, 1_000].randomElement(using: &generator)!
        var frames: [(offset: Int, bytes: [UInt8])] = []
        var at = 0
        while at < hello.count {
            let first = max(0, at - (random(0...3, &generator) == 0 ? random(0...20, &generator) : 0))
            let end = min(hello.count, at + random(1...longest, &generator))
            frames.append((first, Array(hello[first..<end])))
            if random(0...9, &generator) == 0 { frames.append(frames[frames.count - 1]) }
            at = end
        }
        if random(0...3, &generator) > 0 { frames.shuffle(using: &generator) }
        return frames
    }

    @Test func randomFrames() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("InitialPropertyTests: seed \(seed)")
        var generator = SeededGenerator(seed)
        var peek = NamePeek(capacity: 2)
        let flow = TestFlow()
        var seen: [String: Int] = [:]
        for round in 0..<60 {
            let hello = try InitialPropertyTests.hello(&generator)
            let quic = TestQUIC(version: Bool.random(using: &generator) ? .v1 : .v2)
            var frames = InitialPropertyTests.frames(hello, &generator)
            var arrived = [UInt8?](repeating: nil, count: hello.count)
            var ticket = PeekTicket(proto: Packet.Number.udp)!
            var number = 0
            var outcome = PeekOutcome.more
            while outcome == .more, !frames.isEmpty {
                // One UDP packet: up to three datagrams, all but the last of the same size; of up to two Initials each.
                var datagrams: [[UInt8]] = []
                for _ in 0..<InitialPropertyTests.random(1...3, &generator) where !frames.isEmpty {
                    var datagram: [UInt8] = []
                    for _ in 0..<InitialPropertyTests.random(1...2, &generator) where !frames.isEmpty {
                        var payload =
                            [[], [1], [0, 0, 0], [2, 5, 0, 0, 0]].randomElement(using: &generator)! as [UInt8]
                        for _ in 0..<InitialPropertyTests.random(1...4, &generator) where !frames.isEmpty {
                            let (offset, bytes) = frames.removeFirst()
                            payload += TestQUIC.crypto(offset, bytes)
                            for index in 0..<bytes.count { arrived[offset + index] = bytes[index] }
                        }
                        datagram += quic.initial(number: number, payload)
                        number += 1
                    }
                    datagrams.append(datagram)
                }
                let size = datagrams.map(\.count).max()!
                let isSuper = datagrams.count > 1
                // What is behind the last packet of a datagram is no packet and of no account.
                let payload = datagrams.dropLast().flatMap { $0 + [UInt8](repeating: 0, count: size - $0.count) }
                let packet = flow.datagram(payload + datagrams[datagrams.count - 1])
                outcome = peek.feed(&ticket, packet, segmentSize: isSuper ? size : 0)
                let read = arrived.prefix { $0 != nil }.map { $0! }
                var expected = NamePeekPropertyTests.Naive.name(read)
                if expected == .name(.tls) { expected = .name(.quic) }
                guard outcome == expected else {
                    Issue.record("seed \(seed), round \(round): \(outcome) is not \(expected) at \(read.count)")
                    return
                }
            }
            seen["\(outcome)", default: 0] += 1
            #expect(outcome != .more && peek.halfRead == 0, "seed \(seed), round \(round)")
        }
        print(
            "InitialPropertyTests: \(seen.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))"
        )
    }

    /// A datagram that is no whole multiple of the segment size, and sizes around the payload's own.
    @Test func segmentSizesAtTheirEdges() throws {
        let datagrams = try golden("chrome146-h3")
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        let both = datagrams[0] + datagrams[1]
        // Read as one datagram, the second packet is a coalesced one, and as good.
        for size in [1200, 2400, 5000, 0] {
            #expect(peek.run([flow.datagram(both)], segmentSize: size) == .name(.quic), "\(size)")
        }
        // Cut elsewhere, no packet is whole.
        for size in [1199, 1201, 600, 20, 1] {
            #expect(peek.run([flow.datagram(both)], segmentSize: size) != .name(.quic), "\(size)")
        }
        #expect(
            peek.run([flow.datagram(datagrams[0] + datagrams[0] + Array(datagrams[1][..<900]))], segmentSize: 1200)
                == .more)
    }
}
