import Blocklist
import Foundation
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// What the engine answers from local data: records, enforced safe search, zones that are never forwarded.
@Suite struct LocalRecordTests {
    /// A policy of a real store.
    private static func policy(
        _ records: [(name: String, type: String, data: String)] = [], deny: [String] = [],
        _ more: (BlocklistStore) throws -> Void = { _ in }
    ) throws -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-records-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try BlocklistStore(state: path)
        _ = try store.addRecords(
            records.map { .init($0.name, try RecordText.parse(type: $0.type, data: $0.data, ttl: 300)) })
        _ = try store.setRules(deny.map { .init(.deny, .suffix, $0) })
        try more(store)
        return try store.snapshot()
    }

    private static let home: [(name: String, type: String, data: String)] = [
        ("nas.lan", "A", "192.0.2.9"), ("nas.lan", "A", "192.0.2.10"), ("nas.lan", "TXT", "\"the box\""),
        ("*.lab.example", "A", "192.0.2.20"), ("host.lab.example", "AAAA", "2001:db8::1"),
        ("*.deep.lab.example", "A", "192.0.2.21"), ("www.lan", "CNAME", "nas.lan"), ("web.lan", "CNAME", "www.lan"),
        ("out.lan", "CNAME", "www.example.com"), ("far.lan", "CNAME", "out.lan"), ("a.loop", "CNAME", "b.loop"),
        ("b.loop", "CNAME", "a.loop"), ("me.loop", "CNAME", "me.loop"), ("9.2.0.192.in-addr.arpa", "PTR", "nas.lan"),
    ]

    private func bench(deny: [String] = [], _ more: (BlocklistStore) throws -> Void = { _ in }) throws -> Bench {
        Bench(try LocalRecordTests.policy(LocalRecordTests.home, deny: deny, more))
    }

    private func records(_ bench: Bench, _ answer: Answer) -> [String] {
        bench.text(answer).split(separator: "\n").map(String.init).filter { !$0.hasPrefix(";") }
    }

    @Test func aNameIsAnsweredFromItsRecords() throws {
        let bench = try bench(deny: ["lan"])
        let answer = try bench.answer(Message.query("NAS.lan", .a))
        #expect(answer.reason == .record && answer.verdict.action == .forward, "records come before the policy")
        #expect(
            records(bench, answer) == ["NAS.lan.\t300\tIN\tA\t192.0.2.9", "NAS.lan.\t300\tIN\tA\t192.0.2.10"])
        #expect(bench.text(answer).contains("flags: qr aa rd ra"))
        #expect(AnswerDigest.text(bench.engine.digest.bytes) == "192.0.2.9 192.0.2.10")
        let none = try bench.answer(Message.query("nas.lan", .aaaa))
        #expect(none.rcode == .noError)
        #expect(records(bench, none).map { $0.prefix(19) } == ["nas.lan.\t10\tIN\tSOA\t"])
        let all = try bench.answer(Message.query("nas.lan", .any))
        #expect(records(bench, all).count == 3)
        let pointer = try bench.answer(Message.query("9.2.0.192.in-addr.arpa", RecordType(12)))
        #expect(records(bench, pointer) == ["9.2.0.192.in-addr.arpa.\t300\tIN\tPTR\tnas.lan."])
        // Nothing is said of names below and above.
        #expect(try bench.answer(Message.query("x.nas.lan", .a)).reason == .rule)
        #expect(try bench.answer(Message.query("lan", .a)).reason == .rule)
    }

    @Test func wildcardsAnswerForNamesBelow() throws {
        let bench = try bench()
        for (name, type, expected) in [
            ("a.lab.example", RecordType.a, "192.0.2.20"), ("a.b.lab.example", .a, "192.0.2.20"),
            ("x.deep.lab.example", .a, "192.0.2.21"), ("deep.lab.example", .a, "192.0.2.20"),
            ("host.lab.example", .aaaa, "2001:db8::1"), ("x.host.lab.example", .a, "192.0.2.20"),
        ] {
            let answer = try bench.answer(Message.query(name, type))
            #expect(records(bench, answer) == ["\(name).\t300\tIN\t\(type)\t\(expected)"])
        }
        let own = try bench.answer(Message.query("host.lab.example", .a))
        #expect(records(bench, own).first?.contains("SOA") == true, "a name's own records come before a wildcard's")
        #expect(bench.action(Message.query("lab.example", .a)) == .ask)
    }

    @Test func aliasesWithinTheRecordsAreFollowed() throws {
        let bench = try bench()
        let answer = try bench.answer(Message.query("web.lan", .a, edns: 1232))
        #expect(
            records(bench, answer) == [
                "web.lan.\t300\tIN\tCNAME\twww.lan.", "www.lan.\t300\tIN\tCNAME\tnas.lan.",
                "nas.lan.\t300\tIN\tA\t192.0.2.9", "nas.lan.\t300\tIN\tA\t192.0.2.10",
            ])
        for name in ["a.loop", "me.loop"] {
            let answer = try bench.answer(Message.query(name, .a, edns: 1232))
            #expect(answer.rcode == .serverFailure && answer.reason == .record)
            #expect(bench.bytes(answer).suffix(6) == [0, 15, 0, 2, 0, 0], "an extended error: other")
        }
        let alias = try bench.answer(Message.query("a.loop", .cname))
        #expect(records(bench, alias) == ["a.loop.\t300\tIN\tCNAME\tb.loop."], "it is asked for itself")
    }

    @Test func aTargetOutsideIsAskedForAndSpliced() throws {
        let bench = try bench(deny: ["example.com"])
        let query = Message.query("Far.lan", .a)
        bench.expectAsk(query, slot: 3)
        #expect(bench.engine.asked == Name("www.example.com"))
        #expect(bench.engine.name == Name("far.lan"))
        bench.complete(
            slot: 3,
            Message.reply("www.example.com", .a, records: [.cname(ttl: 60, "edge.example"), .a(ttl: 60, 0xc000_0207)]))
        let expected = [
            "Far.lan.\t300\tIN\tCNAME\tout.lan.", "out.lan.\t300\tIN\tCNAME\twww.example.com.",
            "www.example.com.\t60\tIN\tCNAME\tedge.example.", "edge.example.\t60\tIN\tA\t192.0.2.7",
        ]
        let answer = try bench.nextAnswer()
        #expect(records(bench, answer) == expected)
        #expect(answer.reason == .record && answer.verdict.action == .forward)
        #expect(bench.engine.name == Name("far.lan"))
        #expect(AnswerDigest.text(bench.engine.digest.bytes).hasPrefix("out.lan www.example.com"))
        #expect(bench.hasNoMoreAnswers())
    }

    @Test func aSplicedAnswerIsCachedUnderItsTarget() throws {
        let bench = try bench()
        bench.expectAsk(Message.query("out.lan", .a), slot: 0)
        // One who asks for the target itself joins.
        bench.expectAsk(Message.query("www.example.com", .a), slot: 0)
        bench.expectAsk(Message.query("far.lan", .a), slot: 0)
        bench.complete(slot: 0, Message.reply("www.example.com", .a, records: [.a(ttl: 60, 0xc000_0207)]))
        var seen: [String] = []
        for _ in 0..<3 {
            let answer = try bench.nextAnswer()
            #expect(bench.text(answer).contains("192.0.2.7"))
            seen.append("\(bench.engine.name) \(records(bench, answer).count) \(answer.reason)")
            #expect(AnswerDigest.text(bench.engine.digest.bytes).hasSuffix("192.0.2.7"))
        }
        #expect(seen.sorted() == ["far.lan 3 record", "out.lan 2 record", "www.example.com 1 none"])
        bench.now += 20_000_000_000
        let cached = try bench.answer(Message.query("far.lan", .a))
        #expect(cached.isCached)
        #expect(records(bench, cached).last == "www.example.com.\t40\tIN\tA\t192.0.2.7")
        #expect(bench.allocations(Message.query("far.lan", .a, edns: 1232), times: 1000) == 0)
    }

    @Test func aFailureOfTheTargetIsTheAnswer() throws {
        let bench = try bench()
        bench.expectAsk(Message.query("out.lan", .a), slot: 0)
        bench.complete(
            slot: 0,
            Message.reply("www.example.com", .a, rcode: 3, authority: [.soa(ttl: 60, minimum: 60)]))
        let answer = try bench.nextAnswer()
        #expect(answer.rcode == .nameError)
        #expect(records(bench, answer).first == "out.lan.\t300\tIN\tCNAME\twww.example.com.")
        #expect(bench.text(answer).contains("rcode: NXDOMAIN"))
        bench.now += 7_200_000_000_000
        bench.expectAsk(Message.query("out.lan", .a), slot: 1)
        bench.engine.complete(1, failure: .noReachableAuthority)
        let failed = try bench.nextAnswer()
        #expect(failed.rcode == .serverFailure && failed.reason == .failed)
        #expect(bench.engine.name == Name("out.lan"))
    }

    @Test func recordsThatChangeMeanwhileDoNotMixWithTheReply() throws {
        let bench = try bench()
        bench.expectAsk(Message.query("out.lan", .a), slot: 0)
        bench.engine.adopt(try LocalRecordTests.policy([("out.lan", "CNAME", "other.example")]))
        bench.complete(slot: 0, Message.reply("www.example.com", .a, records: [.a(ttl: 60, 7)]))
        #expect(try bench.nextAnswer().rcode == .serverFailure)
    }

    @Test func anAnswerOverTheClientsSizeIsCut() throws {
        let bench = Bench(
            try LocalRecordTests.policy((0..<100).map { ("many.lan", "A", "192.0.2.\($0)") }))
        let cut = try bench.answer(Message.query("many.lan", .a))
        #expect(bench.text(cut).contains("flags: qr aa tc rd ra"))
        #expect(records(bench, cut).isEmpty)
        let whole = try bench.answer(Message.query("many.lan", .a), isStream: true)
        #expect(records(bench, whole).count == 100)
    }

    @Test func answersAllocateNothing() throws {
        let bench = try bench { store in
            _ = try store.setForward("corp.example", servers: [SocketAddress("192.0.2.53", defaultPort: 53)!])
            _ = try store.setForward("never.example", servers: nil)
        }
        for (name, type) in [
            ("nas.lan", RecordType.a), ("nas.lan", .aaaa), ("web.lan", .a), ("x.y.lab.example", .a), ("a.loop", .a),
            ("www.never.example", .a),
        ] {
            #expect(bench.allocations(Message.query(name, type, edns: 1232), times: 1000) == 0, "\(name)")
        }
    }

    // MARK: Forwarding

    @Test func zonesThatAreNeverForwardedDoNotExist() throws {
        let bench = try bench(deny: ["ads.never.example"]) { store in
            _ = try store.setForward("never.example", servers: nil)
            _ = try store.setForward("but.never.example", servers: [SocketAddress("192.0.2.53", defaultPort: 53)!])
        }
        let answer = try bench.answer(Message.query("www.never.example", .a))
        #expect(answer.rcode == .nameError && answer.reason == .record)
        #expect(records(bench, answer).first?.contains("SOA") == true)
        #expect(try bench.answer(Message.query("never.example", .a)).rcode == .nameError)
        #expect(try bench.answer(Message.query("x.ads.never.example", .a)).reason == .rule, "judged before")
        #expect(bench.action(Message.query("x.but.never.example", .a)) == .ask)
        #expect(bench.action(Message.query("nevernever.example", .a)) == .ask)
    }

    @Test func anAnswerIsNotTakenFromTheCacheOfOtherServers() throws {
        let bench = Bench(try LocalRecordTests.policy())
        let query = Message.query("www.corp.example", .a)
        let other = Message.query("www.example", .a)
        for (slot, message, name) in [(0, query, "www.corp.example"), (1, other, "www.example")] {
            bench.expectAsk(message, slot: slot)
            bench.complete(slot: slot, Message.reply(name, .a, records: [.a(ttl: 600, 7)]))
            _ = try bench.nextAnswer()
            #expect(bench.action(message) == .answer)
        }
        func forward(_ server: String) throws {
            bench.engine.adopt(
                try LocalRecordTests.policy { store in
                    _ = try store.setForward("corp.example", servers: [SocketAddress(server, defaultPort: 53)!])
                })
        }
        try forward("192.0.2.53")
        #expect(bench.action(other) == .answer, "names of no zone stay")
        bench.expectAsk(query, slot: 2)
        bench.complete(slot: 2, Message.reply("www.corp.example", .a, records: [.a(ttl: 600, 8)]))
        _ = try bench.nextAnswer()
        #expect(bench.action(query) == .answer)
        try forward("192.0.2.54")
        #expect(bench.action(query) == .ask)
    }

    // MARK: Safe search

    private static let engines =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/blocklists/engines.safesearch"

    private func searching(deny: [String] = []) throws -> Bench {
        try bench(deny: deny) { store in
            try store.loadSafeSearch(LocalRecordTests.engines)
            try store.setSafeSearch(true, ["google", "yandex", "youtube:moderate"])
        }
    }

    @Test func anEnginesNameBecomesItsSafeOne() throws {
        let bench = try searching()
        let query = Message.query("www.google.co.uk", .a)
        bench.expectAsk(query, slot: 0)
        #expect(bench.engine.asked == Name("forcesafesearch.google.com"))
        bench.complete(
            slot: 0, Message.reply("forcesafesearch.google.com", .a, records: [.a(ttl: 60, 0xd8ef_2678)]))
        let answer = try bench.nextAnswer()
        #expect(answer.reason == .safesearch)
        #expect(
            records(bench, answer) == [
                "www.google.co.uk.\t300\tIN\tCNAME\tforcesafesearch.google.com.",
                "forcesafesearch.google.com.\t60\tIN\tA\t216.239.38.120",
            ])
        #expect(bench.text(answer).contains("flags: qr rd ra"), "not our name")
        #expect(try bench.answer(query).isCached)
        #expect(bench.allocations(query, times: 1000) == 0)
        #expect(try bench.answer(Message.query("www.google.com", .a)).reason == .safesearch)
        bench.expectAsk(Message.query("m.youtube.com", .aaaa), slot: 1)
        #expect(bench.engine.asked == Name("restrictmoderate.youtube.com"))
    }

    @Test(arguments: [RecordType(64), RecordType(65)])
    func noRecordLeadsAround(type: RecordType) throws {
        let bench = try searching()
        let answer = try bench.answer(Message.query("www.google.com", type))
        #expect(answer.rcode == .noError && answer.reason == .safesearch)
        #expect(records(bench, answer).map { $0.contains("SOA") } == [true])
    }

    @Test func otherTypesNamesAndEnginesAreLeftAlone() throws {
        let bench = try searching()
        #expect(bench.action(Message.query("www.google.com", RecordType(16))) == .ask)
        #expect(bench.engine.asked == Name("www.google.com"))
        #expect(bench.action(Message.query("mail.google.com", .a)) == .ask)
        #expect(bench.engine.asked == Name("mail.google.com"))
        #expect(bench.action(Message.query("www.bing.com", .a)) == .ask)
        #expect(bench.engine.asked == Name("www.bing.com"), "it is off")
    }

    @Test func addressesAreGivenWhereTheEngineHasThem() throws {
        let bench = try searching()
        let answer = try bench.answer(Message.query("ya.ru", .a))
        #expect(records(bench, answer) == ["ya.ru.\t300\tIN\tA\t213.180.193.56"])
        #expect(records(bench, try bench.answer(Message.query("ya.ru", .aaaa))).first?.contains("SOA") == true)
    }

    private func action(_ bench: Bench, _ message: [UInt8], _ client: String) -> Bench.Kind {
        var room = bench.out.mutableBytes
        let action = bench.engine.handle(
            message.span.bytes, isStream: false, client: IPAddress(client)!, now: bench.now, into: &room)
        switch action {
        case .answer: return .answer
        case .ask: return .ask
        case .drop: return .drop
        }
    }

    @Test func groupsHaveSafeSearchOfTheirOwn() throws {
        let bench = try bench { store in
            try store.loadSafeSearch(LocalRecordTests.engines)
            _ = try store.addGroups(["kids", "guests"])
            _ = try store.setClients([PolicySubject(client: "192.0.2.7")], groups: ["kids"])
            _ = try store.setClients([PolicySubject(client: "192.0.2.8")], groups: ["kids", "guests"])
            _ = try store.setClients([PolicySubject(client: "192.0.2.9")], groups: ["guests"])
            try store.setSafeSearch(true, ["yandex", "youtube:strict"], groups: ["kids"])
            try store.setSafeSearch(true, ["youtube:moderate"], groups: ["guests"])
        }
        let youtube = Message.query("www.youtube.com", .a)
        for (client, asked) in [
            ("192.0.2.7", "restrict.youtube.com"), ("192.0.2.8", "restrict.youtube.com"),
            ("192.0.2.9", "restrictmoderate.youtube.com"), ("192.0.2.10", "www.youtube.com"),
        ] {
            #expect(action(bench, youtube, client) == .ask)
            #expect(bench.engine.asked == Name(asked), "\(client)")
        }
        let yandex = Message.query("ya.ru", .a)
        #expect(action(bench, yandex, "192.0.2.7") == .answer)
        #expect(action(bench, yandex, "192.0.2.9") == .ask)
    }

    @Test func blockingComesFirstAndAPauseEndsIt() throws {
        let bench = try searching(deny: ["www.google.com"])
        #expect(try bench.answer(Message.query("www.google.com", .a)).reason == .rule)
        #expect(bench.action(Message.query("www.google.de", .a)) == .ask)
        #expect(bench.engine.asked == Name("forcesafesearch.google.com"))
        bench.engine.pausedUntil = .max
        #expect(bench.action(Message.query("www.google.de", .a)) == .ask)
        #expect(bench.engine.asked == Name("www.google.de"))
        #expect(try bench.answer(Message.query("nas.lan", .a)).reason == .record, "records stay")
    }
}
