import CAllocations
import Kernel
import TestPackets
import Testing
import Wire

@testable import DNSProxy

/// The tables under the exchange, each beside a naive reference, and what they cost.
@Suite struct UpstreamTableTests {
    @Test func theDeadlinesAreThoseOfADictionary() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed)
        var deadlines = UpstreamDeadlines(capacity: 100)
        var reference: [Int: UInt64] = [:]
        for step in 0..<20000 {
            let slot = Int(random.next() % 100)
            if random.next() % 3 == 0 {
                deadlines.remove(slot)
                reference[slot] = nil
            } else {
                let time = random.next() % 50
                deadlines.set(slot, time)
                reference[slot] = time
            }
            let earliest = reference.values.min()
            guard deadlines.firstTime == earliest, deadlines.first.map({ reference[$0] == earliest }) ?? true else {
                Issue.record(
                    "seed \(seed), step \(step): \(String(describing: deadlines.firstTime)), not \(String(describing: earliest))"
                )
                return
            }
        }
    }

    @Test func theTableFindsWhatIsInFlight() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed)
        var table = UpstreamTable(capacity: 50)
        var reference: [Int: Int] = [:]
        for step in 0..<20000 {
            let number = Int(random.next() % 80)
            var question = UpstreamQuestion()
            question.name = Name("n\(number / 2).example")!
            question.qtype = UInt16(number % 2)
            // Few hashes, so that chains grow.
            let hash = UInt64(number % 5)
            let found = table.find(question, hash: hash)
            try #require(found == reference[number] ?? -1, "seed \(seed), step \(step)")
            if found >= 0 {
                table.remove(found)
                table.release(found)
                reference[number] = nil
            } else {
                let slot = table.insert(question, hash: hash)
                try #require((slot >= 0) == (reference.count < 50), "seed \(seed), step \(step)")
                if slot >= 0 { reference[number] = slot }
            }
            try #require(table.inFlight == reference.count)
        }
    }

    @Test func randomWordsAreNotRepeated() {
        var random = UpstreamRandom()
        var seen: Set<UInt64> = []
        for _ in 0..<1000 { seen.insert(random.next()) }
        #expect(seen.count == 1000)
        let ones = seen.reduce(0) { $0 + $1.nonzeroBitCount }
        #expect((31_000...33_000).contains(ones), "64,000 fair bits: 32,000 and four deviations of 126")
    }

    /// A question over UDP from `ask` to its completion: sockets are opened and closed on the way, nothing is allocated.
    @Test func aQuestionOverUDPAllocatesNothing() throws {
        try inNamespace {
            let server = try FakeServer()
            let names = (0..<16).map { Name("n\($0).example")! }
            let poller = try Poller()
            var exchange = try UpstreamExchange(
                servers: [server.address], mark: 0x7774_0001, poller: poller, owner: 1, capacity: 64)
            var buffer = [UInt8](repeating: 0, count: 2048)
            var allocations: [UInt] = []
            var answered = 0
            // Eight sockets of 64 queries each are all replaced within a pass.
            for _ in 0..<3 {
                let before = allocations_of_this_thread()
                for index in 0..<1200 {
                    answered += exchange.roundTrip(names[index & 15], server, &buffer, poller)
                }
                allocations.append(allocations_of_this_thread() - before)
            }
            #expect(answered == 3600)
            #expect(exchange.counters.sent == 3600)
            #expect(allocations.dropFirst() == [0, 0])
        }
    }
}

extension UpstreamExchange {
    /// Asks, lets the server echo the query as a reply, and takes the completion. Returns how many were answered.
    fileprivate mutating func roundTrip(
        _ name: Name, _ server: borrowing FakeServer, _ buffer: inout [UInt8], _ poller: borrowing Poller
    ) -> Int {
        let now = Clock.monotonic()
        _ = ask(name, qtype: 1, qclass: 1, dnssecOK: false, checkingDisabled: false, now: now, poller: poller)
        server.echo(&buffer)
        let count = poller.wait(milliseconds: 1000)
        for index in 0..<count {
            let event = poller.event(index)
            ready(index: UInt32(truncatingIfNeeded: event.tag), event.ready, now: now, poller: poller)
        }
        expire(now: now, poller: poller)
        var answered = 0
        while let completion = nextCompletion(now: now, poller: poller) {
            if case .reply = completion.outcome { answered += 1 }
        }
        return answered
    }
}
