import Kernel
import Testing
import Wire

@testable import DNSProxy

/// Silence, errors and dead servers. The clock is the test's, so the times are exact.
@Suite struct UpstreamRetryTests {
    @Test func silenceLeadsToTheNextServerAndALateReplyIsStillBelieved() throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(first, second)
            lab.ask()
            let early = try first.expect()
            #expect(second.receive() == nil)
            #expect(lab.pass() == 400, "before anything is known of a server")
            let late = try second.expect()
            #expect(late.id != early.id)
            #expect(late.from.port != early.from.port)
            first.send(early.address(1), to: early)
            second.send(late.address(2), to: late)
            lab.run()
            #expect(lab.done.count == 1)
            #expect(lab.isAnswered)
            #expect(lab.exchange.counters.retries == 1)
        }
    }

    @Test(arguments: [1, 2, 3])
    func silenceEndsAfterFiveSeconds(servers: Int) throws {
        try inNamespace {
            let silent = try (0..<servers).map { try FakeServer("127.0.0.\(2 + $0)") }
            let lab = try UpstreamLab(silent.map(\.address))
            lab.ask()
            var passed = 0
            while lab.done.isEmpty { passed += lab.pass() }
            #expect(passed == 5000)
            #expect(lab.outcome == .failed(.timeout))
            #expect(lab.done.last?.completion.latency == UpstreamExchange.totalTime)
            for server in silent {
                var count = 0
                while server.receive() != nil { count += 1 }
                #expect((2...6).contains(count), "asked more than once, not often")
            }
            #expect(lab.exchange.counters.timeouts == 1)
            #expect(lab.exchange.inFlight == 0)
        }
    }

    @Test func theWaitFollowsTheRoundTripTime() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            for roundTrip: UInt64 in [300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300] {
                lab.ask()
                let query = try server.expect()
                lab.now += roundTrip * UpstreamLab.millisecond
                server.send(query.address(), to: query)
                lab.run()
            }
            #expect(lab.done.count == 12)
            lab.ask()
            #expect((300...420).contains(lab.pass()))
        }
    }

    /// RCODE 2, 4 and 5 say something of the server, not of the name.
    @Test(arguments: [2, 4, 5])
    func anErrorLeadsToTheNextServer(rcode: UInt16) throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(first, second)
            lab.ask()
            var query = try first.expect()
            first.send(query.reply(flags: 0x8180 | rcode), to: query)
            lab.run()
            if rcode == 4 {
                query = try first.expect("NOTIMP to EDNS is asked again without")
                #expect(!query.hasEDNS)
                first.send(query.reply(flags: 0x8180 | rcode), to: query)
                lab.run()
            }
            #expect(lab.done.isEmpty)
            let next = try second.expect()
            second.send(next.address(), to: next)
            lab.run()
            #expect(lab.done.last?.reply == next.address())
            #expect(lab.done.last?.completion.server == second.address)
        }
    }

    @Test func theLastErrorIsTheReply() throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(first, second)
            lab.ask()
            let query = try first.expect()
            first.send(query.reply(flags: 0x8182), to: query)
            lab.run()
            let next = try second.expect()
            second.send(next.reply(flags: 0x8182), to: next)
            lab.run()
            #expect(lab.done.last?.reply == next.reply(flags: 0x8182), "SERVFAIL is an answer when all give it")
        }
    }

    @Test func anErrorAndSilenceFailBeforeTheTotalTime() throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(first, second)
            lab.ask()
            let query = try first.expect()
            first.send(query.reply(flags: 0x8182), to: query)
            lab.run()
            var passed = 0
            while lab.done.isEmpty { passed += lab.pass() }
            #expect(passed < 2000)
            #expect(lab.outcome == .failed(.serverFailure))
        }
    }

    @Test func anErrorWithoutQuestionIsNoReply() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask()
            let query = try server.expect()
            server.send([query.bytes[0], query.bytes[1], 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0], to: query)
            lab.run()
            #expect(lab.outcome == .failed(.serverFailure))
        }
    }

    @Test func aClosedPortLeadsToTheNextServerAtOnce() throws {
        try inNamespace {
            let second = try FakeServer("127.0.0.3")
            let lab = try UpstreamLab([SocketAddress(IPAddress("127.0.0.2")!, port: 53), second.address])
            lab.ask()
            lab.run()
            let query = try second.expect("ICMP port unreachable needs no timeout")
            second.send(query.address(), to: query)
            lab.run()
            #expect(lab.isAnswered)
            lab.ask()
            #expect(second.receive() != nil, "the dead server is not asked first again")
        }
    }

    @Test func closedPortsEverywhereFailAtOnce() throws {
        try inNamespace {
            let lab = try UpstreamLab([SocketAddress(IPAddress("127.0.0.2")!, port: 53)])
            lab.ask()
            lab.run()
            #expect(lab.outcome == .failed(.refused))
        }
    }

    @Test func noWayFailsAtOnce() throws {
        try inNamespace {
            let lab = try UpstreamLab([
                SocketAddress(IPAddress("192.0.2.1")!, port: 53), SocketAddress(IPAddress("2001:db8::1")!, port: 53),
            ])
            lab.ask()
            #expect(lab.outcome == .failed(.unreachable))
        }
    }

    @Test func aDeadServerIsPassedOverAndItsRecoverySeen() throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(first, second)
            for index in 0..<3 {
                lab.ask("n\(index).example")
                #expect(first.receive() != nil)
                lab.pass()
                let query = try second.expect()
                second.send(query.address(), to: query)
                lab.run()
            }
            #expect(lab.done.count == 3)
            lab.ask("after.example")
            #expect(first.receive() == nil, "three silences in a row: down")
            let query = try second.expect()
            second.send(query.address(), to: query)
            lab.run()

            lab.now += 1001 * UpstreamLab.millisecond
            lab.ask("probe.example")
            let probe = try first.expect("a question goes to both")
            let other = try second.expect()
            second.send(other.address(), to: other)
            lab.run()
            #expect(lab.done.count == 5)
            first.send(probe.address(), to: probe)
            lab.run()
            #expect(lab.done.count == 5, "the late reply of the probe answers nothing")
            lab.ask("back.example")
            #expect(first.receive() != nil, "but it tells that the server lives")
            #expect(second.receive() == nil)
        }
    }

    @Test func oneSlowNameDoesNotCondemnAServer() throws {
        try inNamespace {
            let (first, second) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(first, second)
            for index in 0..<5 {
                lab.ask("slow\(index).example")
                _ = try first.expect()
                lab.now += UpstreamLab.millisecond
                lab.ask("fast\(index).example")
                let fast = try first.expect()
                first.send(fast.address(), to: fast)
                lab.run()
                lab.pass()
                let slow = try second.expect()
                second.send(slow.address(), to: slow)
                lab.run()
            }
            #expect(lab.done.count == 10)
            lab.ask("next.example")
            #expect(first.receive() != nil)
        }
    }
}
