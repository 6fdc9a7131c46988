import Blocklist
import CAllocations
import Foundation
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// The engine asks the policy for whoever asks, and keeps one answer in its cache for all.
@Suite struct ProfileEngineTests {
    static let kid = IPAddress("192.0.2.7")!
    static let worker = IPAddress("192.0.2.8")!
    static let paused = IPAddress("192.0.2.9")!
    static let other = IPAddress("203.0.113.1")!

    /// `kid` is in kids, which denies games.example and tracker.example; `worker` in work; `paused` is paused.
    static func policy() throws -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-profiles-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try BlocklistStore(state: path)
        _ = try store.addGroups(["kids", "work"])
        _ = try store.setRules([
            .init(.deny, .suffix, "ads.example"), .init(.deny, .suffix, "games.example", groups: ["kids"]),
            .init(.deny, .suffix, "tracker.example", groups: ["kids"]),
        ])
        _ = try store.setClients([PolicySubject(client: "192.0.2.7")], groups: ["kids"])
        _ = try store.setClients([PolicySubject(client: "192.0.2.8")], groups: ["work"])
        try store.pause(PolicyPause(.subject(PolicySubject(client: "192.0.2.9")), until: nil))
        return try store.snapshot()
    }

    private func handle(_ bench: Bench, _ message: [UInt8], _ client: IPAddress) -> Action {
        var room = bench.out.mutableBytes
        return bench.engine.handle(message.span.bytes, isStream: false, client: client, now: bench.now, into: &room)
    }

    private func answer(_ bench: Bench, _ message: [UInt8], _ client: IPAddress) throws -> Answer {
        guard case .answer(let answer) = handle(bench, message, client) else { throw Bench.NoAnswer() }
        return answer
    }

    private func asks(_ bench: Bench, _ message: [UInt8], _ client: IPAddress, slot: Int) {
        guard case .ask = handle(bench, message, client) else {
            Issue.record("not asked for \(client)")
            return
        }
        let origin = Origin(
            client: client, clientPort: 4000, resolver: IPAddress(v4: 2), resolverPort: 53, stream: 0,
            arrived: bench.now)
        let isParked = bench.engine.park(slot, message.span.bytes, origin)
        #expect(isParked)
    }

    @Test func whoAsksDecides() throws {
        let bench = Bench(try ProfileEngineTests.policy())
        let games = Message.query("www.games.example", .a)
        #expect(try answer(bench, games, ProfileEngineTests.kid).reason == .rule)
        asks(bench, games, ProfileEngineTests.worker, slot: 1)
        bench.complete(slot: 1, Message.reply("www.games.example", .a, records: [.a(ttl: 60, 7)]))
        #expect(try bench.nextAnswer().verdict.action == .forward)
        // What is in the cache for one stays blocked for another.
        #expect(try answer(bench, games, ProfileEngineTests.worker).isCached)
        #expect(try answer(bench, games, ProfileEngineTests.kid).verdict.action == .block)
        let ads = Message.query("ads.example", .a)
        #expect(try answer(bench, ads, ProfileEngineTests.other).verdict.action == .block)
        asks(bench, ads, ProfileEngineTests.worker, slot: 2)
    }

    @Test func whoIsPausedIsAnsweredAndToldSo() throws {
        let bench = Bench(try ProfileEngineTests.policy())
        let ads = Message.query("ads.example", .a)
        asks(bench, ads, ProfileEngineTests.paused, slot: 1)
        bench.complete(slot: 1, Message.reply("ads.example", .a, records: [.a(ttl: 60, 7)]))
        let first = try bench.nextAnswer()
        #expect(first.reason == .paused && first.verdict.action == .forward)
        #expect(bench.text(first).contains("\tA\t0.0.0.7"))
        let second = try answer(bench, ads, ProfileEngineTests.paused)
        #expect(second.reason == .paused && second.isCached)
        #expect(try answer(bench, ads, ProfileEngineTests.other).verdict.action == .block)
    }

    /// A chain to a name that only kids are denied: one answer in the cache serves all, each by his own profile.
    @Test func oneChainInTheCacheIsJudgedForWhoeverAsks() throws {
        let bench = Bench(try ProfileEngineTests.policy())
        let query = Message.query("metrics.shop.example", .a)
        let reply = Message.reply(
            "metrics.shop.example", .a, records: [.cname(ttl: 60, "x.tracker.example"), .a(ttl: 60, 7)])
        asks(bench, query, ProfileEngineTests.worker, slot: 1)
        bench.complete(slot: 1, reply)
        #expect(try bench.nextAnswer().verdict.action == .forward)
        for _ in 0..<2 {
            let blocked = try answer(bench, query, ProfileEngineTests.kid)
            #expect(blocked.reason == .cname && blocked.isCached && bench.text(blocked).contains("\tA\t0.0.0.0"))
            for client in [ProfileEngineTests.worker, ProfileEngineTests.other] {
                let passed = try answer(bench, query, client)
                #expect(passed.reason == .none && passed.isCached && bench.text(passed).contains("\tA\t0.0.0.7"))
            }
            #expect(try answer(bench, query, ProfileEngineTests.paused).reason == .paused)
        }
    }

    /// The same when the one for whom it came is denied it, or is paused.
    @Test(arguments: [ProfileEngineTests.kid, ProfileEngineTests.paused])
    func whoeverAskedFirstAChainIsKeptForAll(first: IPAddress) throws {
        let bench = Bench(try ProfileEngineTests.policy())
        let query = Message.query("metrics.shop.example", .a)
        asks(bench, query, first, slot: 1)
        bench.complete(
            slot: 1,
            Message.reply("metrics.shop.example", .a, records: [.cname(ttl: 60, "x.tracker.example"), .a(ttl: 60, 7)]))
        let reason = try bench.nextAnswer().reason
        #expect(reason == (first == ProfileEngineTests.kid ? .cname : .paused))
        #expect(try answer(bench, query, ProfileEngineTests.worker).reason == .none)
        #expect(try answer(bench, query, ProfileEngineTests.kid).reason == .cname)
    }

    /// One question for three who ask: each is answered by what holds for him.
    @Test func thoseWhoWaitTogetherAreJudgedOneByOne() throws {
        let bench = Bench(try ProfileEngineTests.policy())
        let query = Message.query("metrics.shop.example", .a)
        for client in [ProfileEngineTests.kid, ProfileEngineTests.worker, ProfileEngineTests.paused] {
            asks(bench, query, client, slot: 1)
        }
        bench.complete(
            slot: 1,
            Message.reply("metrics.shop.example", .a, records: [.cname(ttl: 60, "x.tracker.example"), .a(ttl: 60, 7)]))
        let reasons = try (0..<3).map { _ in try bench.nextAnswer().reason }
        #expect(Set(reasons) == [.cname, .none, .paused], "\(reasons)")
        #expect(bench.hasNoMoreAnswers())
        #expect(try answer(bench, query, ProfileEngineTests.kid).reason == .cname, "from the cache")
    }

    @Test func nothingIsAllocatedWhoeverAsks() throws {
        let bench = Bench(try ProfileEngineTests.policy())
        let plain = Message.query("www.example", .a, edns: 1232)
        asks(bench, plain, ProfileEngineTests.other, slot: 0)
        bench.complete(slot: 0, Message.reply("www.example", .a, records: [.a(ttl: 300, 7)]))
        _ = try bench.nextAnswer()
        let games = Message.query("www.games.example", .a, edns: 1232)
        let chain = Message.query("metrics.shop.example", .a, edns: 1232)
        asks(bench, chain, ProfileEngineTests.other, slot: 1)
        bench.complete(
            slot: 1,
            Message.reply("metrics.shop.example", .a, records: [.cname(ttl: 60, "x.tracker.example"), .a(ttl: 60, 7)]))
        _ = try bench.nextAnswer()
        for (message, client) in [
            (games, ProfileEngineTests.kid), (plain, ProfileEngineTests.kid), (plain, ProfileEngineTests.worker),
            (plain, ProfileEngineTests.paused), (chain, ProfileEngineTests.kid), (chain, ProfileEngineTests.worker),
        ] {
            _ = try answer(bench, message, client)
            var room = bench.out.mutableBytes
            let bytes = message.span.bytes
            let before = allocations_of_this_thread()
            for _ in 0..<1000 {
                _ = bench.engine.handle(bytes, isStream: false, client: client, now: bench.now, into: &room)
            }
            #expect(allocations_of_this_thread() - before == 0)
        }
    }
}
