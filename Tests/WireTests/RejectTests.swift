import TestPackets
import Testing
import Wire

/// What the sender of a refused packet hears.
@Suite struct RejectTests {
    private func unreachable(_ packet: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0xee, count: 1400)
        var span = out.mutableSpan
        var room = span.mutableBytes
        let count = Unreachable.compose(into: &room, answering: packet.span.bytes, Packet.parse(packet.span.bytes))
        return Array(out[..<count])
    }

    @Test func anIPv4PacketIsProhibited() {
        let packet = TestPackets.udp("192.0.2.7", "198.51.100.1", (40000, 443), [1, 2, 3])
        let answer = unreachable(packet)
        #expect(TestPackets.fault(answer) == nil)
        #expect(
            Array(answer[..<10]) == [
                0x45, 0, 0, UInt8(28 + packet.count),  // version, length
                0, 0, 0, 0, 64, 1,  // no fragment, lifetime, ICMP
            ])
        #expect(Array(answer[12..<20]) == TestPackets.address("198.51.100.1") + TestPackets.address("192.0.2.7"))
        #expect(answer[20] == 3 && answer[21] == 13)
        #expect(Array(answer[24..<28]) == [0, 0, 0, 0])
        #expect(Array(answer[28...]) == packet)
    }

    @Test func anIPv6PacketIsProhibited() {
        let packet = TestPackets.udp("2001:db8::7", "2001:db8:1::1", (40000, 443), [1, 2, 3])
        let answer = unreachable(packet)
        #expect(TestPackets.fault(answer) == nil)
        #expect(Array(answer[..<8]) == [0x60, 0, 0, 0, 0, UInt8(8 + packet.count), 58, 64])
        #expect(
            Array(answer[8..<40]) == TestPackets.address("2001:db8:1::1") + TestPackets.address("2001:db8::7"))
        #expect(answer[40] == 1 && answer[41] == 1)
        #expect(Array(answer[48...]) == packet)
    }

    @Test(arguments: [("192.0.2.7", "198.51.100.1", 576), ("2001:db8::7", "2001:db8:1::1", 1280)])
    func aLongPacketIsQuotedInPart(from: String, to: String, limit: Int) {
        let packet = TestPackets.udp(from, to, (1, 2), [UInt8](repeating: 9, count: 2000))
        let answer = unreachable(packet)
        #expect(answer.count == limit)
        #expect(TestPackets.fault(answer) == nil)
    }

    @Test func whatMayNotBeAnsweredIsNot() {
        // An ICMP error, a later fragment, a group, no source.
        #expect(unreachable(TestPackets.echo("192.0.2.7", "198.51.100.1", [1], type: 3)) == [])
        #expect(unreachable(TestPackets.echo("2001:db8::7", "2001:db8:1::1", [1], type: 2)) == [])
        #expect(unreachable(TestPackets.ip("192.0.2.7", "198.51.100.1", 17, [1, 2, 3], fragment: 0x0010)) == [])
        #expect(unreachable(TestPackets.udp("192.0.2.7", "224.0.0.1", (1, 2), [])) == [])
        #expect(unreachable(TestPackets.udp("0.0.0.0", "198.51.100.1", (1, 2), [])) == [])
        #expect(unreachable([0x45]) == [])
        // A ping and a first fragment are.
        #expect(!unreachable(TestPackets.echo("192.0.2.7", "198.51.100.1", [1])).isEmpty)
        #expect(!unreachable(TestPackets.ip("192.0.2.7", "198.51.100.1", 17, [1, 2, 3], fragment: 0x2000)).isEmpty)
    }

    @Test(arguments: [("192.0.2.7", "198.51.100.1"), ("2001:db8::7", "2001:db8:1::1")])
    func theFarEndHearsThatTheSenderGaveUp(from: String, to: String) {
        let packet = TestPackets.tcp(
            from, to, (40000, 443), flags: Segment.ack, sequence: 0x1234_5678, acknowledgment: 0x9abc_def0, [1, 2])
        var out = [UInt8](repeating: 0, count: 60)
        var span = out.mutableSpan
        var room = span.mutableBytes
        let count = Segment.composeAbort(into: &room, after: packet.span.bytes, Packet.parse(packet.span.bytes))
        let answer = Array(out[..<count])
        #expect(TestPackets.fault(answer) == nil)
        let layout = Packet.parse(answer.span.bytes)
        let segment = Segment(answer.span.bytes, layout)
        #expect(layout.source == IPAddress(from) && layout.destination == IPAddress(to))
        #expect(layout.sourcePort == 40000 && layout.destinationPort == 443)
        #expect(segment.sequence == 0x1234_5678 && segment.acknowledgment == 0x9abc_def0)
        #expect(segment.flags == Segment.rst | Segment.ack)
    }

    @Test func fragmentsSayWhatTheyAreOf() {
        let head: [UInt8] = [0x30, 0x39, 0, 80, 0, 0, 0, 0]
        func read(_ packet: [UInt8]) -> Fragment { Fragment(packet.span.bytes, Packet.parse(packet.span.bytes)) }
        let first = read(TestPackets.ip("192.0.2.7", "198.51.100.1", 17, head, fragment: 0x2000))
        #expect(first.isFirst && first.sourcePort == 12345 && first.destinationPort == 80)
        #expect(first.identification == 0x1234)
        let later = read(TestPackets.ip("192.0.2.7", "198.51.100.1", 17, head, fragment: 0x0010))
        #expect(!later.isFirst && later.destinationPort == 0 && later.identification == 0x1234)
        // IPv6: next header, reserved, offset and more-flag, identification.
        for (offset, isFirst) in [([UInt8(0), 1], true), ([0, 9], false)] {
            let six = read(
                TestPackets.ip(
                    "2001:db8::7", "2001:db8:1::1", 17, head, headers: [17, 0] + offset + [9, 8, 7, 6], next: 44))
            #expect(six.isFirst == isFirst && six.identification == 0x0908_0706)
            #expect(six.destinationPort == (isFirst ? 80 : 0))
        }
    }
}
