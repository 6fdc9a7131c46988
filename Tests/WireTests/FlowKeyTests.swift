import TestPackets
import Testing
import Wire

@Suite struct FlowKeyTests {
    private func key(_ packet: [UInt8]) -> FlowKey {
        FlowKey(packet.span.bytes, Packet.parse(packet.span.bytes))
    }

    @Test func aConnectionHasAddressesAndPorts() {
        let there = key(TestPackets.tcp("192.0.2.7", "198.51.100.1", (40000, 443), flags: Segment.syn))
        #expect(there.description == "tcp 192.0.2.7:40000 > 198.51.100.1:443")
        let back = key(TestPackets.tcp("198.51.100.1", "192.0.2.7", (443, 40000), flags: Segment.syn | Segment.ack))
        #expect(back == there.reversed)
        #expect(there.reversed.reversed == there)
        let six = key(TestPackets.udp("2001:db8::7", "2001:db8::1", (1, 443), []))
        #expect(six.description == "udp [2001:db8::7]:1 > [2001:db8::1]:443")
    }

    @Test(arguments: [("192.0.2.7", "198.51.100.1", UInt8(0)), ("2001:db8::7", "2001:db8::1", 129)])
    func anEchoReplyIsTheReversedRequest(from: String, to: String, reply: UInt8) {
        let request = key(TestPackets.echo(from, to, [1, 2, 3]))
        #expect(request.sourcePort == 0xabcd && request.destinationPort == 0)
        #expect(key(TestPackets.echo(to, from, [1, 2, 3], type: reply)) == request.reversed)
        // Any other message has no ports: a packet that is too big, a redirect.
        let other = key(TestPackets.echo(from, to, [1, 2, 3], type: from.contains(":") ? 2 : 5))
        #expect(other.sourcePort == 0 && other.destinationPort == 0)
    }

    @Test func otherProtocolsAndFragmentsHaveNoPorts() {
        let gre = key(TestPackets.ip("192.0.2.7", "198.51.100.1", 47, [1, 2, 3, 4, 5, 6, 7, 8]))
        #expect(gre.description == "proto 47 192.0.2.7 > 198.51.100.1")
        let fragment = key(TestPackets.ip("192.0.2.7", "198.51.100.1", 17, [1, 2, 3, 4, 5, 6, 7, 8], fragment: 0x2000))
        #expect(fragment.description == "udp 192.0.2.7 > 198.51.100.1")
    }

    @Test func everyPartChangesTheHash() {
        let key = FlowKey(
            source: IPAddress("192.0.2.7")!, sourcePort: 1, destination: IPAddress("198.51.100.1")!,
            destinationPort: 2, proto: 6)
        var others = [key, key.reversed]
        var other = key
        other.sourcePort = 2
        others.append(other)
        other = key
        other.destinationPort = 1
        others.append(other)
        other = key
        other.proto = 17
        others.append(other)
        // The same integers as an IPv6 address.
        other = key
        other.source = IPAddress(high: 0, low: key.source.low)
        others.append(other)
        #expect(Set(others.map { $0.hash(seed: (0x1234_5678_9abc_def1, 0xfedc_ba98_7654_3211)) }).count == others.count)
        #expect(key.hash(seed: (3, 5)) != key.hash(seed: (5, 3)))
    }
}
