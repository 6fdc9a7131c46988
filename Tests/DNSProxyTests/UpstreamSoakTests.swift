import Glibc
import Kernel
import TestPackets
import Testing
import Wire

@testable import DNSProxy

/// Servers that do anything, in any order: each question is done exactly once and in time, and nothing is left behind.
@Suite struct UpstreamSoakTests {
    @Test func whateverServersDoEachQuestionIsDoneOnce() throws {
        let seed = UInt64.random(in: 0 ... .max)
        try inNamespace {
            let soak = try Soak(seed: seed)
            for _ in 0..<4000 { soak.step() }
            soak.finish()
            let lab = soak.lab
            #expect(soak.faults.isEmpty, "seed \(seed): \(soak.faults.prefix(3))")
            #expect(soak.open.isEmpty, "seed \(seed)")
            #expect(lab.exchange.inFlight == 0, "seed \(seed)")
            #expect(lab.exchange.ids.count == 0, "seed \(seed): an ID is left")
            #expect(lab.exchange.sockets.entries.allSatisfy { $0.pending == 0 }, "seed \(seed)")
            #expect(lab.exchange.streams.entries.allSatisfy { $0.pending == 0 }, "seed \(seed)")
            let counters = lab.exchange.counters
            #expect(UInt64(lab.done.count) + counters.joined == counters.questions - counters.overflow, "seed \(seed)")
            #expect(counters.rejected > 100 && counters.tcp > 100 && counters.retries > 100, "\(counters)")
            let answered = lab.done.count { if case .reply = $0.completion.outcome { true } else { false } }
            #expect(answered > lab.done.count / 3, "\(answered) of \(lab.done.count)")
        }
    }

    private final class Soak {
        let lab: UpstreamLab
        /// Slots in flight and when they were asked.
        var open: [Int: UInt64] = [:]
        var faults: [String] = []
        private var random: SeededGenerator
        private var servers: [FakeServer?]
        private var late: [(server: Int, query: FakeServer.Received)] = []
        private var seen = 0

        init(seed: UInt64) throws {
            random = SeededGenerator(seed)
            servers = try (0..<3).map { try Soak.server($0) }
            lab = try UpstreamLab(servers.compactMap { $0?.address })
        }

        private static func server(_ index: Int) throws -> FakeServer {
            let server = try FakeServer("127.0.0.\(index + 2)")
            try server.listen()
            return server
        }

        private func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

        func step() {
            for _ in 0..<below(4) { ask() }
            for index in servers.indices { serve(index) }
            lab.turn()
            note()
            lab.now += UInt64(below(120)) * UpstreamLab.millisecond
            lab.exchange.expire(now: lab.now, poller: lab.poller)
            lab.drain()
            note()
            if below(200) == 0 { change() }
        }

        private func ask() {
            let slot = lab.exchange.ask(
                Name("name\(below(60)).example")!, qtype: 1, qclass: 1, dnssecOK: below(4) == 0,
                checkingDisabled: false, now: lab.now, poller: lab.poller)
            if slot >= 0, open[slot] == nil { open[slot] = lab.now }
            lab.drain()
            note()
        }

        /// Compares what was done since the last time with what was asked.
        private func note() {
            while seen < lab.done.count {
                let completion = lab.done[seen].completion
                seen += 1
                guard let asked = open.removeValue(forKey: completion.slot) else {
                    faults.append("slot \(completion.slot) is done and was not asked")
                    continue
                }
                // A step of the clock may be late by its own length.
                if lab.now - asked > UpstreamExchange.totalTime + 200 * UpstreamLab.millisecond {
                    faults.append("a question took \(lab.now - asked) ns")
                }
            }
        }

        private func serve(_ index: Int) {
            guard let server = servers[index] else { return }
            while let query = server.receive() { answer(query, server, index) }
            _ = server.accept()
            for connection in server.connections {
                for query in server.receive(over: connection, waits: false) { answerStream(query, server) }
            }
            if !late.isEmpty, below(3) == 0 {
                let (from, query) = late.removeFirst()
                servers[from].map { $0.send(query.address(9), to: query) }
            }
        }

        private func answer(_ query: FakeServer.Received, _ server: FakeServer, _ index: Int) {
            var reply = query.address(UInt8(index))
            switch below(16) {
            case 0: return
            case 1: return late.append((index, query))
            case 2: reply = query.reply(flags: 0x8182)
            case 3: reply = query.reply(flags: 0x8185)
            case 4: reply = query.reply(flags: 0x8380)
            case 5: reply = [query.bytes[0], query.bytes[1], 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]
            case 6: reply[0] ^= 0x80
            case 7: for at in 12..<query.questionEnd - 4 { reply[at] = Name.lower(reply[at]) }
            case 8: reply[13] ^= 1
            case 9: reply.removeLast(below(reply.count))
            default: break
            }
            server.send(reply, to: query)
        }

        private func answerStream(_ query: FakeServer.Received, _ server: FakeServer) {
            guard server.connections.contains(query.connection) else { return }
            switch below(8) {
            case 0: return
            case 1: server.hangUp(query.connection)
            case 2: server.sendStream(query.reply(flags: 0x8182), to: query)
            case 3: server.sendStream([1, 2, 3], to: query)
            default: server.sendStream(query.address(), to: query)
            }
        }

        /// Another list, or a server that goes or comes back.
        private func change() {
            let index = below(3)
            switch below(3) {
            case 0: servers[index] = nil
            case 1:
                if servers[index] == nil { servers[index] = try? Soak.server(index) }
            default:
                let list = (0..<3).filter { _ in below(4) != 0 }.map {
                    SocketAddress(IPAddress("127.0.0.\($0 + 2)")!, port: 53)
                }
                lab.exchange.setServers(list, now: lab.now, poller: lab.poller)
                lab.drain()
                note()
            }
        }

        func finish() {
            for _ in 0..<2000 where lab.exchange.nextDeadline() != nil {
                lab.turn()
                lab.pass()
                note()
            }
        }
    }
}
