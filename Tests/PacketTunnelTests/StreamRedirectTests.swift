import Kernel
import PacketTunnel
import TestPackets
import Testing
import Wire

private let client4 = "192.0.2.7"
private let resolver4 = "198.51.100.53"
private let client6 = "2001:db8::7"
private let resolver6 = "2001:db8:1::53"
private let second: UInt64 = 1_000_000_000

extension StreamRedirect {
    static func forTests(capacity: Int = 8) -> StreamRedirect {
        StreamRedirect(
            listener4: SocketAddress("10.1.0.1:53535", defaultPort: 0)!, peer4: IPAddress("10.1.0.2")!,
            listener6: SocketAddress("[fd77:6562:7475:6e00::1]:53535", defaultPort: 0)!,
            peer6: IPAddress("fd77:6562:7475:6e00::2")!, capacity: capacity)
    }

    mutating func toListener(_ packet: inout [UInt8], partial: Bool = false, now: UInt64 = 0) -> Outcome {
        let layout = Packet.parse(packet.span.bytes)
        var span = packet.mutableSpan
        var bytes = span.mutableBytes
        return toListener(&bytes, layout, partialChecksum: partial, now: now)
    }

    mutating func fromListener(_ packet: inout [UInt8], partial: Bool = false, now: UInt64 = 0) -> Outcome {
        let layout = Packet.parse(packet.span.bytes)
        var span = packet.mutableSpan
        var bytes = span.mutableBytes
        return fromListener(&bytes, layout, partialChecksum: partial, now: now)
    }
}

/// A client's segment, and the listener's answer to its flow.
private func clientSegment(
    _ port: Int, _ flags: UInt8, sequence: Int = 100, acknowledgment: Int = 0, isIPv6: Bool = false
) -> [UInt8] {
    TestPackets.tcp(
        isIPv6 ? client6 : client4, isIPv6 ? resolver6 : resolver4, (port, 53), flags: flags, sequence: sequence,
        acknowledgment: acknowledgment)
}

private func clientSegment(
    _ flags: UInt8, sequence: Int = 100, acknowledgment: Int = 0, isIPv6: Bool = false
) -> [UInt8] {
    clientSegment(40000, flags, sequence: sequence, acknowledgment: acknowledgment, isIPv6: isIPv6)
}

private func listenerSegment(_ peerPort: Int, _ flags: UInt8, acknowledgment: Int = 0) -> [UInt8] {
    TestPackets.tcp("10.1.0.1", "10.1.0.2", (53535, peerPort), flags: flags, acknowledgment: acknowledgment)
}

@Suite struct StreamRedirectTests {
    @Test(arguments: [false, true], [false, true])
    func addressesAndPortsAreExchangedAndNothingElse(isIPv6: Bool, partial: Bool) {
        var redirect = StreamRedirect.forTests()
        let (client, resolver) = isIPv6 ? (client6, resolver6) : (client4, resolver4)
        let (listener, peer) = isIPv6 ? ("fd77:6562:7475:6e00::1", "fd77:6562:7475:6e00::2") : ("10.1.0.1", "10.1.0.2")
        let query = (0..<37).map { UInt8($0 * 7 & 255) }
        var generator = SeededGenerator(4)
        for round in 0..<200 {
            let port = Int.random(in: 1...65535, using: &generator)
            let bytes = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let make = { (from: String, to: String, ports: (Int, Int), flags: UInt8) in
                TestPackets.tcp(
                    from, to, ports, flags: flags, sequence: 0xffff_fff0, query + bytes,
                    tcpOptions: [2, 4, 5, 0xb4], options: isIPv6 ? [] : [1, 1, 1, 0], partial: partial)
            }
            let slot = round % 8
            if round % 8 == 0 { redirect = StreamRedirect.forTests() }
            var packet = make(client, resolver, (port, 53), Segment.syn)
            #expect(redirect.toListener(&packet, partial: partial) == .rewritten)
            #expect(packet == make(peer, listener, (1024 + slot, 53535), Segment.syn), "port \(port)")
            packet = make(listener, peer, (53535, 1024 + slot), Segment.syn | Segment.ack)
            let isFromListener = redirect.isFromListener(Packet.parse(packet.span.bytes))
            #expect(isFromListener)
            #expect(redirect.fromListener(&packet, partial: partial) == .rewritten)
            #expect(packet == make(resolver, client, (53, port), Segment.syn | Segment.ack), "port \(port)")
            if !partial { #expect(isIPv6 || TestPackets.sum(Array(packet[..<24])) == 65535) }
        }
    }

    @Test func aDamagedSegmentStaysDamaged() {
        var redirect = StreamRedirect.forTests()
        var packet = clientSegment(Segment.syn)
        packet[packet.count - 1] ^= 1
        _ = redirect.toListener(&packet)
        #expect(TestPackets.fault(packet) == "transport checksum of protocol 6")
    }

    @Test func extensionHeadersStayWhereTheyAre() {
        var redirect = StreamRedirect.forTests()
        let options: [UInt8] = [6, 0, 1, 4, 0, 0, 0, 0]
        var packet = TestPackets.tcp(
            client6, resolver6, (40000, 53), flags: Segment.syn, headers: options, next: 60)
        let expected = TestPackets.tcp(
            "fd77:6562:7475:6e00::2", "fd77:6562:7475:6e00::1", (1024, 53535), flags: Segment.syn, headers: options,
            next: 60)
        #expect(redirect.toListener(&packet) == .rewritten)
        #expect(packet == expected)
    }

    @Test func theFlowTellsWhoIsBehindAPort() {
        var redirect = StreamRedirect.forTests()
        var packet = clientSegment(Segment.syn)
        _ = redirect.toListener(&packet)
        #expect(redirect.flow(port: 1024, isIPv6: false)?.client == SocketAddress("192.0.2.7:40000", defaultPort: 0))
        #expect(redirect.flow(port: 1024, isIPv6: false)?.resolver == SocketAddress("198.51.100.53:53", defaultPort: 0))
        #expect(redirect.flow(port: 1024, isIPv6: true) == nil)
        for port: UInt16 in [0, 1023, 1025, 1032, 65535] { #expect(redirect.flow(port: port, isIPv6: false) == nil) }
    }

    // RFC 9293 section 3.10.7.1: the reset's numbers follow from the segment it answers.
    @Test(arguments: [false, true]) func aSegmentOfNoFlowIsReset(isIPv6: Bool) {
        var redirect = StreamRedirect.forTests()
        let (client, resolver) = isIPv6 ? (client6, resolver6) : (client4, resolver4)
        let cases: [(flags: UInt8, payload: [UInt8], reset: (flags: UInt8, sequence: Int, acknowledgment: Int))] = [
            (Segment.ack, [1, 2, 3], (Segment.rst, 77, 0)),
            (Segment.ack | Segment.fin, [], (Segment.rst, 77, 0)),
            (Segment.syn | Segment.ack, [], (Segment.rst, 77, 0)),
            (0, [1, 2, 3], (Segment.rst | Segment.ack, 0, 2)),
            (Segment.fin, [1, 2, 3], (Segment.rst | Segment.ack, 0, 3)),
        ]
        for (flags, payload, reset) in cases {
            var packet = TestPackets.tcp(
                client, resolver, (40000, 53), flags: flags, sequence: 0xffff_ffff, acknowledgment: 77, payload)
            var expected = TestPackets.tcp(
                resolver, client, (53, 40000), flags: reset.flags, sequence: reset.sequence,
                acknowledgment: reset.acknowledgment)
            fixUp(&expected, isIPv6)
            #expect(redirect.toListener(&packet) == .reset(byteCount: expected.count))
            #expect(Array(packet[..<expected.count]) == expected, "flags \(flags)")
        }
        var packet = clientSegment(Segment.rst, isIPv6: isIPv6)
        #expect(redirect.toListener(&packet) == .drop, "none answers a reset")
    }

    /// A reset has no ID, must not be fragmented, and has a window of 0.
    private func fixUp(_ packet: inout [UInt8], _ isIPv6: Bool) {
        let at = isIPv6 ? 40 : 20
        packet.replaceSubrange(at + 14..<at + 18, with: [0, 0, 0, 0])
        let addresses = packet[(isIPv6 ? 8 : 12)..<at]
        let sum = TestPackets.checksum(addresses + [0, 6, 0, 20] + packet[at...])
        packet.replaceSubrange(at + 16..<at + 18, with: TestPackets.big16(Int(sum)))
        guard !isIPv6 else { return }
        packet.replaceSubrange(4..<8, with: [0, 0, 0x40, 0])
        packet.replaceSubrange(10..<12, with: [0, 0])
        packet.replaceSubrange(10..<12, with: TestPackets.big16(Int(TestPackets.checksum(Array(packet[..<20])))))
    }

    @Test func aListenersSegmentOfNoFlowIsReset() {
        var redirect = StreamRedirect.forTests()
        var packet = listenerSegment(1024, Segment.ack, acknowledgment: 9)
        #expect(redirect.fromListener(&packet) == .reset(byteCount: 40))
        #expect(TestPackets.fault(Array(packet[..<40])) == nil)
        let layout = Packet.parse(packet.span.bytes)
        #expect(layout.source == IPAddress("10.1.0.2") && layout.destinationPort == 53535)
    }

    @Test func aFullTableRefusesNewConnections() {
        var redirect = StreamRedirect.forTests(capacity: 3)
        for port in 1...3 {
            var packet = clientSegment(port, Segment.syn)
            #expect(redirect.toListener(&packet) == .rewritten)
        }
        var packet = clientSegment(4, Segment.syn, sequence: 5)
        #expect(redirect.toListener(&packet) == .reset(byteCount: 40))
        #expect(Segment(packet.span.bytes, Packet.parse(packet.span.bytes)).acknowledgment == 6)
        packet = clientSegment(2, Segment.syn)
        #expect(redirect.toListener(&packet) == .rewritten, "a SYN sent again is the same flow's")
        #expect(redirect.live == 3)
        packet = clientSegment(4, Segment.syn)
        #expect(redirect.toListener(&packet, now: 31 * second) == .rewritten, "handshakes that never ended make room")
    }

    /// Opens a flow and closes it from both sides; returns the port it had.
    private func closedFlow(_ redirect: inout StreamRedirect, listenerFirst: Bool, now: UInt64) -> Int {
        var packet = clientSegment(Segment.syn, sequence: 100)
        _ = redirect.toListener(&packet, now: now)
        let port = Int(packet[20]) << 8 | Int(packet[21])
        let fin = Segment.fin | Segment.ack
        packet = clientSegment(Segment.ack, sequence: 101)
        _ = redirect.toListener(&packet, now: now)
        if listenerFirst {
            packet = listenerSegment(port, fin, acknowledgment: 101)
            _ = redirect.fromListener(&packet, now: now)
        }
        packet = clientSegment(fin, sequence: 101)
        _ = redirect.toListener(&packet, now: now)
        if !listenerFirst {
            packet = listenerSegment(port, fin, acknowledgment: 102)
            _ = redirect.fromListener(&packet, now: now)
        }
        return port
    }

    @Test func aPortRestsAsLongAsTheKernelMayHoldTimeWait() {
        var redirect = StreamRedirect.forTests(capacity: 1)
        let port = closedFlow(&redirect, listenerFirst: true, now: 0)
        redirect.expire(now: 60 * second)
        var packet = clientSegment(41000, Segment.syn)
        #expect(redirect.toListener(&packet, now: 60 * second) == .reset(byteCount: 40))
        packet = listenerSegment(port, Segment.fin | Segment.ack)
        #expect(
            redirect.fromListener(&packet, now: 60 * second) == .rewritten, "a FIN sent again still finds its client")
        redirect.expire(now: 121 * second)
        #expect(redirect.live == 0)
        packet = clientSegment(41000, Segment.syn)
        #expect(redirect.toListener(&packet, now: 121 * second) == .rewritten)
    }

    @Test func aClientThatClosesFirstFreesItsPortSoon() {
        var redirect = StreamRedirect.forTests(capacity: 1)
        _ = closedFlow(&redirect, listenerFirst: false, now: 0)
        redirect.expire(now: second)
        #expect(redirect.live == 1, "the last acknowledgment is still on its way")
        redirect.expire(now: 2 * second)
        #expect(redirect.live == 0)
    }

    @Test func sidesThatCloseTogetherLeaveTimeWait() {
        var redirect = StreamRedirect.forTests(capacity: 1)
        let port = closedFlow(&redirect, listenerFirst: false, now: 0)
        redirect.expire(now: 2 * second)
        // Again, but the listener's FIN does not acknowledge the client's: it was sent before that came.
        var packet = clientSegment(Segment.syn, sequence: 100)
        _ = redirect.toListener(&packet, now: 3 * second)
        packet = clientSegment(Segment.ack | Segment.fin, sequence: 101)
        _ = redirect.toListener(&packet, now: 3 * second)
        packet = listenerSegment(port, Segment.ack | Segment.fin, acknowledgment: 101)
        _ = redirect.fromListener(&packet, now: 3 * second)
        redirect.expire(now: 60 * second)
        #expect(redirect.live == 1)
    }

    @Test func aClientMayUseItsPortAgainAtOnce() {
        var redirect = StreamRedirect.forTests(capacity: 2)
        let port = closedFlow(&redirect, listenerFirst: false, now: 0)
        var packet = clientSegment(Segment.syn, sequence: 9000)
        #expect(redirect.toListener(&packet, now: 1) == .rewritten)
        #expect(Int(packet[20]) << 8 | Int(packet[21]) == port, "the same 4-tuple, the same flow")
        redirect.expire(now: 10 * second)
        #expect(redirect.live == 1, "it is opening again, not closing")
    }

    @Test func aResetFreesThePortSoon() {
        var redirect = StreamRedirect.forTests(capacity: 1)
        var packet = clientSegment(Segment.syn)
        _ = redirect.toListener(&packet)
        packet = listenerSegment(1024, Segment.rst)
        #expect(redirect.fromListener(&packet) == .rewritten)
        redirect.expire(now: 2 * second)
        #expect(redirect.live == 0)
    }

    @Test func aFullTableTakesTheSlotOfAClosedFlow() {
        var redirect = StreamRedirect.forTests(capacity: 2)
        for port in [1, 2] {
            var packet = clientSegment(port, Segment.syn)
            _ = redirect.toListener(&packet)
        }
        var packet = clientSegment(2, Segment.rst)
        _ = redirect.toListener(&packet)
        packet = clientSegment(3, Segment.syn)
        #expect(redirect.toListener(&packet) == .rewritten)
        #expect(redirect.flow(port: 1025, isIPv6: false)?.client.port == 3)
        packet = clientSegment(2, Segment.ack)
        #expect(redirect.toListener(&packet) == .reset(byteCount: 40))
    }

    @Test func whatIsNotTCPIsLeftAlone() {
        var redirect = StreamRedirect.forTests()
        var packet = TestPackets.udp(client4, resolver4, (40000, 53), [1])
        let before = packet
        #expect(redirect.toListener(&packet) == .drop)
        #expect(redirect.fromListener(&packet) == .drop)
        let isFromListener = redirect.isFromListener(Packet.parse(packet.span.bytes))
        #expect(!isFromListener)
        #expect(packet == before)
    }

    /// The table against a dictionary: random openings, closings and expiries of few tuples, so that probing and the
    /// deletion by moving entries are at work.
    @Test func theTableAgreesWithADictionary() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        var redirect = StreamRedirect.forTests(capacity: 100)
        var model: [Int: (port: Int, expires: UInt64, isClosed: Bool)] = [:]
        var now: UInt64 = 0
        for step in 0..<60_000 {
            now += UInt64.random(in: 0...second / 10, using: &generator)
            let port = Int.random(in: 1...180, using: &generator)
            // A table that is full looks for what has expired; otherwise expiry is asked for.
            if step % 50 == 0 || model.count == 100 && model[port] == nil {
                redirect.expire(now: now)
                model = model.filter { $0.value.expires > now }
            }
            let closes = Bool.random(using: &generator) && model[port] != nil
            // A full table gives the slot of the flow that was closed first; the model does not know it.
            if model.count == 100, model[port] == nil, model.values.contains(where: \.isClosed) { continue }
            var packet = clientSegment(port, closes ? Segment.rst : Segment.syn)
            let outcome = redirect.toListener(&packet, now: now)
            guard model[port] != nil || model.count < 100 else {
                #expect(outcome == .reset(byteCount: 40), "seed \(seed), step \(step)")
                continue
            }
            let got = Int(packet[20]) << 8 | Int(packet[21])
            #expect(outcome == .rewritten && got == model[port]?.port ?? got, "seed \(seed), step \(step)")
            #expect(!model.contains { $0.key != port && $0.value.port == got }, "seed \(seed), step \(step)")
            model[port] = (got, now + (closes ? 2 : 30) * second, closes)
            #expect(redirect.live == model.count, "seed \(seed), step \(step)")
        }
    }
}
