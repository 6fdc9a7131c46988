import CAllocations
import TestPackets
import Testing
import Wire

@testable import ContentFilter

/// What of a flow's packets matters to its name: order, overlap, ends, time, room.
@Suite struct NamePeekTests {
    private static let request = Array("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".utf8)

    private func part(_ flow: TestFlow, _ range: Range<Int>) -> [UInt8] {
        flow.segment(range.lowerBound, Array(NamePeekTests.request[range]))
    }

    @Test(arguments: [0, 0x1000, 0x7fff_fff0, 0xffff_fff0, 0xffff_ffff]) func segmentsInAnyOrder(start: Int) {
        let flow = TestFlow(start: start)
        let count = NamePeekTests.request.count
        for cut in 1..<count {
            var peek = NamePeek(capacity: 2)
            let parts = [part(flow, cut..<count), part(flow, 0..<cut)]
            #expect(peek.run([flow.syn()] + parts) == .name(.http))
            #expect(peek.run([flow.syn()] + parts.reversed()) == .name(.http))
            #expect(peek.name == Name("a.example") && peek.halfRead == 0)
        }
    }

    @Test func whatArrivedFirstStays() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        var other = NamePeekTests.request
        other.replaceSubrange(22..<23, with: Array("b".utf8))
        // The name's first byte is in both; then the other way round.
        #expect(peek.run([flow.syn(), part(flow, 20..<30), flow.segment(0, other)]) == .name(.http))
        #expect(peek.name == Name("a.example"))
        #expect(peek.run([flow.syn(), flow.segment(20, Array(other[20..<30])), part(flow, 0..<35)]) == .name(.http))
        #expect(peek.name == Name("b.example"))
    }

    @Test func bytesBeforeTheBeginAreNotOfTheStream() {
        // A keep-alive probe repeats one byte before what is next (RFC 9293 section 3.8.4).
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        #expect(peek.run([flow.syn(), flow.segment(-1, [0]), part(flow, 0..<35)]) == .name(.http))
        #expect(peek.run([flow.syn(), flow.segment(-3, [0, 0, 0] + NamePeekTests.request)]) == .name(.http))
    }

    @Test func dataInTheSynCounts() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        let syn = flow.syn(Array(NamePeekTests.request[..<9]))
        #expect(peek.run([syn, part(flow, 9..<35)]) == .name(.http))
        #expect(peek.run([flow.syn(NamePeekTests.request)]) == .name(.http))
    }

    @Test func withoutTheSynTheFirstSegmentIsTheBegin() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        #expect(peek.run([flow.segment(0), part(flow, 0..<20), part(flow, 20..<35)]) == .name(.http))
        #expect(peek.run([flow.segment(500, [0x17, 3, 3])]) == .none(.otherProtocol))
    }

    @Test func endsAreEnds() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        let fin = Segment.fin | Segment.ack
        #expect(peek.run([flow.syn(), flow.segment(0, flags: Segment.rst)]) == .none(.ended))
        #expect(peek.run([flow.syn(), flow.segment(0, flags: fin)]) == .none(.ended))
        #expect(peek.run([flow.syn(), part(flow, 0..<5), flow.segment(5, flags: fin)]) == .none(.ended))
        #expect(peek.run([flow.syn(), part(flow, 0..<5), flow.segment(5, flags: Segment.rst)]) == .none(.ended))
        // A FIN that overtakes is waited for; one that comes with the name does not hide it.
        #expect(peek.run([flow.syn(), flow.segment(35, flags: fin), part(flow, 0..<35)]) == .none(.ended))
        #expect(
            peek.run([flow.syn(), part(flow, 20..<35), flow.segment(35, flags: fin), part(flow, 0..<20)])
                == .name(.http))
        #expect(peek.run([flow.syn(), flow.segment(0, NamePeekTests.request, flags: fin)]) == .name(.http))
        #expect(peek.halfRead == 0)
    }

    @Test func aServerThatSpeaksFirstEndsIt() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        let ack = { flow.segment(0, acknowledgment: $0) }
        #expect(peek.run([flow.syn(), ack(5), ack(5)]) == .more)
        #expect(peek.run([flow.syn(), ack(5), ack(6)]) == .none(.serverFirst))
        #expect(peek.run([flow.syn(), ack(0xffff_ffff), ack(40)]) == .none(.serverFirst))
        // Once the client has spoken, acknowledgments say nothing.
        #expect(
            peek.run([
                flow.syn(), ack(5), part(flow, 0..<20), flow.segment(20, acknowledgment: 90), part(flow, 20..<35),
            ]) == .name(.http))
    }

    @Test func timeHasALimit() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        var ticket = PeekTicket(proto: 6)!
        let second: UInt64 = 1_000_000_000
        #expect(peek.feed(&ticket, flow.syn(), now: 1) == .more)
        #expect(peek.feed(&ticket, part(flow, 0..<5), now: 100 * second) == .more)
        #expect(peek.feed(&ticket, part(flow, 5..<6), now: 110 * second) == .more)
        #expect(peek.feed(&ticket, part(flow, 6..<7), now: 111 * second) == .none(.tooLate))
        #expect(peek.halfRead == 0)
    }

    @Test func theLastToComeGetsTheRoomOfTheFirst() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 2)
        var tickets = [PeekTicket](repeating: PeekTicket(proto: 6)!, count: 3)
        for index in 0..<3 { #expect(peek.feed(&tickets[index], part(flow, 0..<20)) == .more) }
        #expect(peek.halfRead == 2)
        #expect(peek.feed(&tickets[0], part(flow, 20..<35)) == .none(.crowded))
        #expect(peek.feed(&tickets[2], part(flow, 20..<35)) == .name(.http))
        #expect(peek.feed(&tickets[1], part(flow, 20..<35)) == .name(.http))
        #expect(peek.halfRead == 0)
    }

    @Test func aClosedTicketGivesItsRoomBackOnce() {
        let flow = TestFlow()
        var peek = NamePeek(capacity: 1)
        var (first, second) = (PeekTicket(proto: 6)!, PeekTicket(proto: 6)!)
        #expect(peek.feed(&first, part(flow, 0..<20)) == .more)
        let stale = first
        peek.close(&first)
        peek.close(&first)
        #expect(peek.halfRead == 0)
        #expect(peek.feed(&second, part(flow, 0..<20)) == .more)
        var again = stale
        peek.close(&again)
        #expect(peek.halfRead == 1 && peek.feed(&second, part(flow, 20..<35)) == .name(.http))
    }

    @Test func otherProtocolsHaveNoTicket() {
        for proto: UInt8 in [1, 47, 50, 58, 132] { #expect(PeekTicket(proto: proto) == nil) }
        #expect(MemoryLayout<PeekTicket>.size <= 20)
    }

    @Test func noPacketAllocates() throws {
        let flow = TestFlow()
        let hello = try golden("chrome131")[0]
        let initials = try golden("chrome146-h3").map { flow.datagram($0) }
        let flows: [([[UInt8]], PeekOutcome)] = [
            ([flow.syn(), flow.segment(0), flow.segment(0, hello)], .name(.tls)),
            (
                [
                    flow.syn(), flow.segment(700, Array(hello[700...])), flow.segment(0, Array(hello[..<600])),
                    flow.segment(500, Array(hello[500..<900])),
                ], .name(.tls)
            ),
            ([flow.syn(), flow.segment(0, NamePeekTests.request)], .name(.http)),
            ([flow.segment(0, [0x80, 1])], .none(.otherProtocol)),
            (initials, .name(.quic)), (initials.reversed(), .name(.quic)),
            ([flow.datagram([1, 0, 0, 0])], .none(.otherProtocol)),
        ]
        var peek = NamePeek(capacity: 4)
        for (packets, expected) in flows {
            var most: UInt = 0
            for round in 0..<100 {
                let before = allocations_of_this_thread()
                let outcome = peek.run(packets)
                let count = allocations_of_this_thread() - before
                if round > 0 { most = max(most, count) }
                #expect(outcome == expected)
            }
            #expect(most == 0, "\(packets.count) packets to \(expected)")
        }
    }
}
