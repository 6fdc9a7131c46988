import ContentFilter
import TestPackets
import Testing
import Wire

@Suite struct FlowEngineTests {
    static let peer4 = IPAddress("10.1.0.2")!
    static let peer6 = IPAddress("fd77:6562:7475:6e00::2")!

    /// The action, and the packet as it is afterwards.
    private func decide(_ packet: [UInt8]) -> (FlowEngine.Action, [UInt8], FlowEngine.Counters) {
        var engine = FlowEngine(peer4: FlowEngineTests.peer4, peer6: FlowEngineTests.peer6)
        var packet = packet
        let layout = Packet.parse(packet.span.bytes)
        var span = packet.mutableSpan
        var bytes = span.mutableBytes
        let action = engine.decide(&bytes, layout, .init(now: 1, client: FlowEngine.machine))
        return (action, packet, engine.counters)
    }

    @Test(arguments: [("192.0.2.7", "10.1.0.2"), ("2001:db8::7", "fd77:6562:7475:6e00::2")])
    func thePeerAnswersPings(from: String, to: String) {
        let data = (0..<57).map { UInt8($0) }
        let request = TestPackets.echo(from, to, data)
        let (action, packet, counters) = decide(request)
        #expect(action == .reply(byteCount: request.count))
        var expected = TestPackets.echo(to, from, data, type: from.contains(":") ? 129 : 0)
        expected[from.contains(":") ? 7 : 8] = 64  // a new lifetime
        if !from.contains(":") {
            expected.replaceSubrange(10..<12, with: [0, 0])
            expected.replaceSubrange(
                10..<12, with: TestPackets.big16(Int(TestPackets.checksum(Array(expected[..<20])))))
        }
        #expect(packet == expected)
        #expect(TestPackets.fault(packet) == nil)
        #expect(counters.replied == 1)
    }

    @Test func aDamagedPingStaysDamaged() {
        var request = TestPackets.echo("192.0.2.7", "10.1.0.2", [1, 2, 3, 4])
        request[30] ^= 0x40
        #expect(TestPackets.fault(decide(request).1) == "transport checksum of protocol 1")
    }

    @Test func otherAddressesArePingedUnchanged() {
        let request = TestPackets.echo("192.0.2.7", "198.51.100.1", [1])
        let (action, packet, counters) = decide(request)
        #expect(action == .forward)
        #expect(packet == request)
        #expect(counters.forwarded == 1)
    }

    @Test(arguments: [("192.0.2.7", "10.1.0.2"), ("2001:db8::7", "fd77:6562:7475:6e00::2")])
    func thePeerRefusesConnections(from: String, to: String) {
        let syn = TestPackets.tcp(from, to, (40000, 80), flags: Segment.syn, sequence: 0x7fff_ffff)
        let (action, packet, _) = decide(syn)
        let expected = TestPackets.tcp(
            to, from, (80, 40000), flags: Segment.rst | Segment.ack, sequence: 0, acknowledgment: 0x8000_0000)
        #expect(action == .reply(byteCount: expected.count))
        #expect(TestPackets.fault(Array(packet[..<expected.count])) == nil)
    }

    @Test func theKernelsOwnAnnouncementsEndHere() {
        for to in ["ff02::2", "fe80::1", "224.0.0.251", "255.255.255.255"] {
            let from = to.contains(":") ? "fe80::7" : "192.0.2.7"
            let (action, _, counters) = decide(TestPackets.udp(from, to, (5353, 5353), [1, 2]))
            #expect(action == .drop(.linkScope), "\(to)")
            #expect(counters[.linkScope] == 1)
        }
    }

    @Test func fragmentsAreCountedAndDropped() {
        // More fragments; the last fragment; with port 53 in sight or not.
        for fragment in [0x2000, 0x0010] {
            let packet = TestPackets.ip(
                "192.0.2.7", "198.51.100.53", 17, [0x30, 0x39, 0, 53, 0, 24, 0, 0], fragment: fragment)
            let (action, _, counters) = decide(packet)
            #expect(action == .drop(.fragment))
            #expect(counters[.fragment] == 1)
        }
    }

    @Test func whatIsNoPacketIsDropped() {
        #expect(decide([]).0 == .drop(.malformed))
        #expect(decide([UInt8](repeating: 0x45, count: 20)).0 == .drop(.malformed))
    }

    @Test func otherProtocolsGoOn() {
        let packet = TestPackets.ip("192.0.2.7", "198.51.100.1", 47, [0, 0, 8, 0])
        #expect(decide(packet).0 == .forward)
        #expect(decide(TestPackets.udp("192.0.2.7", "10.1.0.2", (1, 2), [])).0 == .drop(.peer))
    }
}
