import Glibc
import Kernel
import Testing
import Wire

@testable import DNSProxy

@Suite struct UpstreamExchangeTests {
    @Test func asksOverUDPAndBelievesTheReply() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            let slot = lab.ask("www.Example.com", .aaaa)
            let query = try server.expect()
            #expect(
                Array(query.bytes[2..<12]) == [
                    0x01, 0x00,  // RD
                    0, 1, 0, 0, 0, 0, 0, 1,  // one question, one additional record
                ])
            #expect(query.name == Name("www.example.com")!)
            #expect(
                Array(query.bytes[query.questionEnd - 4..<query.questionEnd]) == [0, 28, 0, 1])
            #expect(
                Array(query.bytes[query.questionEnd...]) == [
                    0, 0, 41, 0x04, 0xd0,  // root, OPT, 1232 bytes
                    0, 0, 0, 0, 0, 0,  // rcode, version, flags, no options
                ])
            lab.now += 20 * UpstreamLab.millisecond
            server.send(query.reply(), to: query)
            lab.run()
            #expect(lab.done.count == 1)
            #expect(lab.done.last?.completion.slot == slot)
            #expect(lab.done.last?.completion.server == server.address)
            #expect(lab.done.last?.completion.latency == 20 * UpstreamLab.millisecond)
            #expect(lab.done.last?.reply == query.reply())
            #expect(lab.exchange.inFlight == 0)
            #expect(lab.exchange.nextDeadline() == nil)
        }
    }

    @Test func asksOverIPv6() throws {
        try inNamespace {
            let server = try FakeServer("::1")
            let lab = try UpstreamLab(server)
            lab.ask()
            let query = try server.expect()
            server.send(query.address(), to: query)
            try lab.runUntilDone()
            #expect(lab.done.last?.reply == query.address())
            #expect(lab.done.last?.completion.server?.description == "[::1]:53")
        }
    }

    @Test func passesOnDOAndCD() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask(dnssecOK: true, checkingDisabled: true)
            let query = try server.expect()
            #expect(query.bytes[3] == 0x10, "CD, RFC 4035 section 3.2.2")
            #expect(query.bytes[query.questionEnd + 7] == 0x80, "DO, RFC 3225")
        }
    }

    /// Each of these must leave the question waiting; the true reply is then believed.
    @Test(arguments: ["id", "question", "type", "class", "query", "opcode", "short", "cut", "empty", "two questions"])
    func doesNotBelieve(fault: String) throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask()
            let query = try server.expect()
            var reply = query.address(66)
            switch fault {
            case "id": reply[1] ^= 1
            case "question": reply[13] ^= 1
            case "type": reply[query.questionEnd - 3] = 28
            case "class": reply[query.questionEnd - 1] = 3
            case "query": reply[2] = 0x01
            case "opcode": reply[2] = 0xa1
            case "short": reply = Array(reply[..<11])
            case "cut": reply = Array(reply[..<(query.questionEnd - 1)])
            case "empty": reply = []
            default: reply[5] = 2
            }
            server.send(reply, to: query)
            lab.run()
            #expect(lab.done.isEmpty)
            #expect(lab.exchange.counters.rejected == 1)
            server.send(query.address(1), to: query)
            lab.run()
            #expect(lab.done.last?.reply == query.address(1))
        }
    }

    @Test func doesNotHearAnotherSource() throws {
        try inNamespace {
            let server = try FakeServer()
            let otherPort = try FakeServer("127.0.0.2", port: 54)
            let otherAddress = try FakeServer("127.0.0.3")
            let lab = try UpstreamLab(server)
            lab.ask()
            let query = try server.expect()
            otherPort.send(query.address(66), to: query)
            otherAddress.send(query.address(66), to: query)
            lab.run()
            #expect(lab.done.isEmpty)
            #expect(lab.exchange.counters.received == 0, "the kernel gives a connected socket nothing of others")
            server.send(query.address(1), to: query)
            lab.run()
            #expect(lab.done.last?.reply == query.address(1))
        }
    }

    @Test func doesNotBelieveTheSameReplyTwice() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            lab.ask()
            let query = try server.expect()
            server.send(query.address(1), to: query)
            server.send(query.address(66), to: query)
            lab.run()
            #expect(lab.done.count == 1)
            #expect(lab.done.last?.reply == query.address(1))
            #expect(lab.exchange.counters.rejected == 1)
        }
    }

    @Test func identicalQuestionsInFlightAreOne() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            let slot = lab.ask("a.example")
            #expect(lab.ask("A.EXAMPLE") == slot)
            #expect(lab.ask("a.example", .aaaa) != slot)
            #expect(lab.ask("a.example", dnssecOK: true) != slot)
            #expect(lab.ask("a.example", checkingDisabled: true) != slot)
            #expect(lab.ask("b.example") != slot)
            #expect(lab.exchange.counters.joined == 1)
            #expect(lab.exchange.counters.sent == 5)
            let query = try server.expect()
            server.send(query.address(), to: query)
            lab.run()
            #expect(lab.done.count == 1)
            #expect(lab.done.first?.completion.slot == slot)
            lab.ask("a.example")
            #expect(lab.exchange.counters.sent == 6, "what is done is asked anew")
        }
    }

    @Test func aFullTableRefuses() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab([server.address], capacity: 2)
            #expect(lab.ask("a.example") >= 0)
            #expect(lab.ask("b.example") >= 0)
            #expect(lab.ask("c.example") == -1)
            #expect(lab.ask("a.example") >= 0, "joining needs no room")
            #expect(lab.exchange.counters.overflow == 1)
            let query = try server.expect()
            server.send(query.address(), to: query)
            lab.run()
            #expect(lab.ask("c.example") >= 0)
        }
    }

    @Test func withoutServersItFailsAtOnce() throws {
        try inNamespace {
            let lab = try UpstreamLab([])
            let slot = lab.ask()
            #expect(lab.done.map(\.completion.slot) == [slot])
            #expect(lab.outcome == .failed(.noServers))
        }
    }

    @Test func aNewListIsAskedAtOnceAndTheOldOneStillBelieved() throws {
        try inNamespace {
            let (old, new) = (try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"))
            let lab = try UpstreamLab(old)
            lab.ask("a.example")
            lab.ask("b.example")
            let first = try old.expect()
            lab.exchange.setServers([new.address], now: lab.now, poller: lab.poller)
            lab.drain()
            #expect(lab.exchange.serverAddresses == [new.address])
            #expect(new.receive()?.name == Name("a.example")!)
            let second = try new.expect()
            old.send(first.address(1), to: first)
            new.send(second.address(2), to: second)
            lab.run()
            #expect(Set(lab.done.compactMap(\.completion.server)) == [old.address, new.address])
            lab.exchange.setServers([], now: lab.now, poller: lab.poller)
            lab.ask("c.example")
            #expect(lab.outcome == .failed(.noServers))
        }
    }

    @Test func everySocketCarriesTheMark() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server, mark: 0x7774_0001)
            lab.ask()
            let numbers = lab.exchange.sockets.entries.map(\.number).filter { $0 >= 0 }
            #expect(numbers.count == 1)
            for number in numbers {
                var mark: UInt32 = 0
                var size = socklen_t(4)
                #expect(getsockopt(number, SOL_SOCKET, SO_MARK, &mark, &size) == 0)
                #expect(mark == 0x7774_0001)
            }
        }
    }

    @Test func withoutTheRightToMarkTheErrorSaysSo() throws {
        try withoutRightToMark {
            let poller = try Poller()
            let error = #expect(throws: KernelError.self) {
                _ = try UpstreamExchange(servers: [], mark: 0x7774_0001, poller: poller, owner: 1)
            }
            #expect(error?.errno == Errno(EPERM))
            #expect(error?.description.contains("CAP_NET_ADMIN") == true)
        }
    }

    /// RFC 5452 section 9: the port and the ID are hard to guess. 2,000 queries over sockets that are replaced.
    @Test func portsAndIDsAreSpread() throws {
        try inNamespace {
            let server = try FakeServer()
            let lab = try UpstreamLab(server)
            var ports: Set<UInt16> = []
            var ids: Set<UInt16> = []
            var last: UInt16 = 0
            var sequential = 0
            for _ in 0..<2000 {
                lab.ask()
                let query = try server.expect()
                ports.insert(query.from.port)
                ids.insert(query.id)
                if query.id == last &+ 1 { sequential += 1 }
                last = query.id
                server.send(query.address(), to: query)
                try lab.runUntilDone()
            }
            #expect(lab.done.count == 2000)
            #expect(ports.count >= 2000 / UpstreamSockets.queriesPerSocket)
            // 2,000 draws of 65,536: about 1,970 different ones.
            #expect(ids.count > 1900)
            #expect(sequential < 10)
        }
    }
}

/// Runs `body` while the calling thread may not mark sockets (capabilities(7): bit 12 is CAP_NET_ADMIN, bit 13
/// CAP_NET_RAW, which does since Linux 5.17).
func withoutRightToMark(_ body: () throws -> Void) throws {
    var header: [UInt32] = [0x2008_0522, 0]
    var data = [UInt32](repeating: 0, count: 6)
    try #require(capget(&header, &data) == 0)
    let before = data
    data[0] &= ~(3 << 12)
    try #require(capset(&header, &data) == 0)
    defer {
        var data = before
        precondition(capset(&header, &data) == 0)
    }
    try body()
}

@_silgen_name("capget") private func capget(_ header: UnsafeMutableRawPointer, _ data: UnsafeMutableRawPointer) -> CInt
@_silgen_name("capset") private func capset(_ header: UnsafeMutableRawPointer, _ data: UnsafeMutableRawPointer) -> CInt
