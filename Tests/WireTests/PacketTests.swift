import TestPackets
import Testing
import Wire

private let from4 = "192.0.2.7"
private let to4 = "198.51.100.53"
private let from6 = "2001:db8::7"
private let to6 = "2001:db8:1::53"

private func parse(_ bytes: [UInt8]) -> Packet { Packet.parse(bytes.span.bytes) }

@Suite struct PacketTests {
    @Test func udpOverIPv4ByteByByte() {
        let bytes: [UInt8] = [
            0x45, 0, 0, 31,  // version 4, 5 words of header, total length
            0x12, 0x34, 0x40, 0,  // ID, do not fragment
            64, 17, 0, 0,  // TTL, UDP, checksum
            192, 0, 2, 7,  // source
            198, 51, 100, 53,  // destination
            0xc0, 0x01, 0, 53,  // ports 49153 → 53
            0, 11, 0, 0,  // length, checksum
            1, 2, 3,
        ]
        let packet = parse(bytes)
        #expect(packet.kind == .udp && !packet.isIPv6 && packet.proto == 17)
        #expect(packet.source == IPAddress("192.0.2.7") && packet.destination == IPAddress("198.51.100.53"))
        #expect(packet.sourcePort == 49153 && packet.destinationPort == 53)
        #expect(packet.transport == 20 && packet.payload == 28 && packet.end == 31)
        // A do-not-fragment packet is whole; padding behind it is not part of it.
        #expect(parse(bytes + [0, 0, 0]).end == 31)
    }

    @Test func tcpOverIPv6ByteByByte() {
        let bytes: [UInt8] = [
            0x60, 0, 0, 0, 0, 25, 6, 64,  // version 6, payload length, TCP, hop limit
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
            0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
            0xff, 0xff, 0, 53,  // ports
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9,  // sequence number, acknowledgment number
            0x60, 0x12, 0xfa, 0xf0,  // 6 words of header, SYN ACK, window
            0, 0, 0, 0,  // checksum, urgent
            1, 1, 1, 0,  // options
            0xab,  // payload
        ]
        let packet = parse(bytes)
        #expect(packet.kind == .tcp && packet.isIPv6 && packet.proto == 6)
        #expect(packet.source == IPAddress(from6) && packet.destination == IPAddress(to6))
        #expect(packet.sourcePort == 65535 && packet.destinationPort == 53)
        #expect(packet.transport == 40 && packet.payload == 64 && packet.end == 65)
        let segment = Segment(bytes.span.bytes, packet)
        #expect(segment.sequence == 0xffff_ffff && segment.acknowledgment == 9 && segment.isSYN && segment.isACK)
        #expect(segment.sequenceEnd == 1, "one byte of payload and the SYN, over the end of the number space")
    }

    @Test(arguments: 1...10) func optionsOfIPv4AreSkipped(words: Int) {
        let options = [UInt8](repeating: 1, count: words * 4)
        let packet = parse(TestPackets.udp(from4, to4, (1, 53), [7, 8], options: options))
        #expect(packet.kind == .udp && packet.destinationPort == 53)
        #expect(packet.transport == 20 + words * 4 && packet.payload == packet.transport + 8)
    }

    /// RFC 8200 section 4: hop-by-hop 0, routing 43, destination 60; RFC 6275 mobility 135; RFC 7401 HIP 139; RFC 5533
    /// Shim6 140. Their length is in units of 8 bytes, the first not counted.
    @Test(arguments: [0, 43, 60, 135, 139, 140] as [UInt8], [0, 1, 3] as [Int])
    func extensionHeadersAreSkipped(number: UInt8, units: Int) {
        let header = [17, UInt8(units)] + [UInt8](repeating: 0, count: 6 + units * 8)
        let packet = parse(TestPackets.ip(from6, to6, 17, datagram(), headers: header, next: number))
        #expect(packet.kind == .udp && packet.destinationPort == 53 && packet.transport == 48 + units * 8)
    }

    /// RFC 4302 section 2.2: its length is in units of 4 bytes, two of them not counted.
    @Test func theAuthenticationHeaderIsSkipped() {
        let header: [UInt8] = [17, 4] + [UInt8](repeating: 0, count: 22)
        let packet = parse(TestPackets.ip(from6, to6, 17, datagram(), headers: header, next: 51))
        #expect(packet.kind == .udp && packet.transport == 64)
    }

    @Test func manyExtensionHeadersInARow() {
        let padding: [UInt8] = [60, 0, 1, 4, 0, 0, 0, 0]
        let chain = { (count: Int) in
            Array((0..<count).map { $0 == count - 1 ? [17] + padding[1...] : padding }.joined())
        }
        #expect(parse(TestPackets.ip(from6, to6, 17, datagram(), headers: chain(7), next: 60)).kind == .udp)
        let long = parse(TestPackets.ip(from6, to6, 17, datagram(), headers: chain(9), next: 60))
        #expect(long.kind == .malformed, "no sender needs so many; nothing hides behind them")
    }

    private func datagram() -> [UInt8] { [0x30, 0x39, 0, 53, 0, 10, 0, 0, 1, 2] }

    @Test func fragmentsAreTold() {
        // More fragments; an offset; both. "Do not fragment" and the reserved bit are no fragments.
        for (flags, isFragment) in [(0x2000, true), (0x0001, true), (0x3fff, true), (0x4000, false), (0x8000, false)] {
            let packet = parse(TestPackets.ip(from4, to4, 17, datagram(), fragment: flags))
            #expect((packet.kind == .fragment) == isFragment, "\(flags)")
            #expect(!isFragment || packet.destinationPort == 0 && packet.proto == 17)
        }
        for (field, isFragment) in [(0x0001, true), (0x0008, true), (0xfff8, true), (0x0006, false), (0, false)] {
            let header = [17, 0] + TestPackets.big16(field) + [0, 0, 0, 1]
            let packet = parse(TestPackets.ip(from6, to6, 17, datagram(), headers: header, next: 44))
            // An atomic fragment (RFC 6946) is a whole packet.
            #expect((packet.kind == .fragment) == isFragment, "\(field)")
            #expect(isFragment || packet.kind == .udp && packet.transport == 48)
        }
    }

    @Test func icmpAndOthers() {
        #expect(parse(TestPackets.echo(from4, to4, [])).kind == .icmp)
        #expect(parse(TestPackets.echo(from6, to6, [])).kind == .icmp)
        #expect(parse(TestPackets.ip(from4, to4, 1, [8, 0, 0, 0])).kind == .malformed, "an ICMP header has 8 bytes")
        // ICMPv6 over IPv4, GRE, ESP, no next header.
        #expect(parse(TestPackets.ip(from4, to4, 58, datagram())).kind == .other)
        #expect(parse(TestPackets.ip(from4, to4, 47, [])).kind == .other)
        #expect(parse(TestPackets.ip(from6, to6, 50, [1])).kind == .other)
        #expect(parse(TestPackets.ip(from6, to6, 59, [])).kind == .other)
    }

    @Test func lengthsThatContradictEachOther() {
        let changes4: [(Int, [UInt8])] = [
            (0, [0x44]), (0, [0x4f]), (0, [0x55]), (0, [0x05]),  // header of 16 bytes, of 60; versions 5 and 0
            // Total length under the header's, short of UDP's, over the buffer.
            (2, [0, 19]), (2, [0, 39]), (2, [0xff, 0xff]),
            (24, [0, 7]), (24, [0, 13]), (24, [0, 0]),  // UDP length under its header, over the packet, none
        ]
        for (at, value) in changes4 {
            var bytes = TestPackets.udp(from4, to4, (1, 53), [1, 2, 3, 4])
            bytes[22...23] = [0, 53]
            var changed = bytes
            changed.replaceSubrange(at..<at + value.count, with: value)
            if at == 2, value == [0, 39] { changed[3] = 27 }
            #expect(parse(changed).kind == .malformed, "\(value) at \(at)")
            #expect(parse(bytes).kind == .udp)
        }
        for (offset, kind) in [(0x40, Packet.Kind.malformed), (0x50, .tcp), (0x60, .malformed), (0xf0, .malformed)] {
            var bytes = TestPackets.tcp(from4, to4, (1, 53), flags: Segment.syn)
            bytes[32] = UInt8(offset)
            #expect(parse(bytes).kind == kind, "data offset \(offset >> 4)")
        }
        var long = TestPackets.udp(from6, to6, (1, 53), [1])
        long[5] += 1
        #expect(parse(long).kind == .malformed, "payload length over the buffer")
        long[4...5] = [0, 0]
        #expect(parse(long).kind == .udp, "a jumbogram's or super-packet's length")
    }

    @Test func everyCutOfAPacketIsMalformed() {
        let options: [UInt8] = [6, 0, 1, 4, 0, 0, 0, 0]
        for bytes in [
            TestPackets.udp(from4, to4, (1, 53), [1, 2], options: [1, 1, 1, 1]),
            TestPackets.udp(from6, to6, (1, 53), [1]),
            TestPackets.tcp(from6, to6, (1, 53), flags: 2, headers: options, next: 60),
        ] {
            for count in 0..<bytes.count { #expect(parse(Array(bytes[..<count])).kind == .malformed, "\(count)") }
        }
    }

    /// Whatever the bytes: no trap, and offsets inside the packet where they are to be used.
    @Test func mutatedPackets() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        let models = [
            TestPackets.udp(from4, to4, (1, 53), [1, 2, 3]), TestPackets.udp(from6, to6, (1, 53), [1, 2, 3]),
            TestPackets.tcp(from4, to4, (1, 53), flags: 16, [1, 2], options: [1, 1, 1, 1]),
            TestPackets.tcp(from6, to6, (1, 53), flags: 16, headers: [6, 0, 1, 4, 0, 0, 0, 0], next: 60),
        ]
        for _ in 0..<30_000 {
            var bytes = models.randomElement(using: &generator)!
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            bytes.removeLast(.random(in: 0...3, using: &generator))
            let packet = parse(bytes)
            guard packet.kind == .udp || packet.kind == .tcp else { continue }
            let isInside =
                packet.transport >= 20 && packet.payload >= packet.transport + 8 && packet.payload <= packet.end
                && packet.end <= bytes.count
            #expect(isInside, "seed \(seed): \(bytes)")
        }
    }

    @Test(arguments: [(from4, to4), (from6, to6)]) func aDatagramIsComposed(from: String, to: String) {
        for payload in [[], [1], (0..<300).map { UInt8($0 & 255) }] as [[UInt8]] {
            let isIPv6 = from.contains(":")
            let header = UDPDatagram.headerByteCount(isIPv6: isIPv6)
            var bytes = [UInt8](repeating: 0xee, count: header) + payload
            var span = bytes.mutableSpan
            var out = span.mutableBytes
            let count = UDPDatagram.compose(
                &out, from: IPAddress(from)!, port: 53, to: IPAddress(to)!, port: 40000,
                payloadByteCount: payload.count)
            #expect(count == bytes.count)
            #expect(TestPackets.fault(bytes) == nil)
            var expected = TestPackets.udp(from, to, (53, 40000), payload)
            if !isIPv6 {  // without an ID
                expected[4...5] = [0, 0]
                expected[10...11] = [0, 0]
                expected.replaceSubrange(
                    10..<12, with: TestPackets.big16(Int(TestPackets.checksum(Array(expected[..<20])))))
            }
            #expect(bytes == expected)
        }
    }
}
