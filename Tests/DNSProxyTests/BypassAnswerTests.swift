import Blocklist
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// What the engine says to names of the bypass protection, and to programs that have rules of their own.
@Suite struct BypassAnswerTests {
    private func bench(_ mode: Blocking.Mode = .null, allow: [String] = []) -> Bench {
        Bench(
            TestPolicy.make(deny: [], allow: allow, isBypassOn: true),
            SettingsBook(
                EngineSettings(
                    blocking: Blocking(mode: mode, addresses: mode == .custom ? [IPAddress(v4: 0xc000_0250)] : []))))
    }

    @Test(arguments: Blocking.Mode.allCases)
    func signalsAreAnsweredInEveryModeAlike(mode: Blocking.Mode) throws {
        let bench = bench(mode)
        for (name, type) in [
            ("use-application-dns.net", RecordType.a), ("use-application-dns.net", .aaaa), ("mask.icloud.com", .a),
            ("mask-h2.icloud.com", RecordType(65)),
        ] {
            let answer = try bench.answer(Message.query(name, type))
            #expect(answer.reason == .bypass)
            #expect(answer.rcode == .nameError, "\(name) \(mode)")
            #expect(bench.text(answer).contains("rcode: NXDOMAIN"))
            #expect(bench.text(answer).contains("ANSWER: 0, AUTHORITY: 1"))
        }
        let discovery = try bench.answer(Message.query("_dns.resolver.arpa", RecordType(64)))
        #expect(discovery.rcode == .noError)
        #expect(bench.text(discovery).contains("ANSWER: 0, AUTHORITY: 1"))
    }

    @Test func resolversAreBlockedAsConfigured() throws {
        let bench = bench()
        let answer = try bench.answer(Message.query("dns.google", .a, edns: 1232))
        #expect(answer.reason == .bypass)
        #expect(bench.text(answer).contains("dns.google.\t10\tIN\tA\t0.0.0.0"))
        #expect(String(decoding: bench.bytes(answer), as: UTF8.self).contains("blocked by bypass protection"))
        #expect(bench.action(Message.query("www.google.com", .a)) == .ask)
    }

    @Test func aRuleOfTheUserIsAnException() {
        let bench = bench(allow: ["dns.google", "use-application-dns.net"])
        #expect(bench.action(Message.query("dns.google", .a)) == .ask)
        #expect(bench.action(Message.query("use-application-dns.net", .a)) == .ask)
    }

    // MARK: Rules for programs

    private static let curl = Owner(uid: 1000, pid: 5, name: Owner.hash(of: "curl"), certainty: .exact)
    private static let ping = Owner(uid: 1000, pid: 6, name: Owner.hash(of: "ping"), certainty: .exact)

    private func forCurl(
        _ action: UserRule.Action, _ name: String
    ) throws -> BlocklistStore.RuleRequest {
        .init(action, .suffix, name, owner: try RuleOwner(app: "curl", user: nil))
    }

    @Test func oneProgramIsBlockedAndAnotherIsNot() throws {
        let bench = Bench(TestPolicy.make(deny: [], rules: [try forCurl(.deny, "games.example")]))
        let query = Message.query("www.games.example", .a)
        #expect(bench.action(query, owner: BypassAnswerTests.curl) == .answer)
        #expect(bench.action(query, owner: BypassAnswerTests.ping) == .ask)
        #expect(bench.action(query) == .ask, "nobody knows who asks")
        bench.expectAsk(query, slot: 0, owner: BypassAnswerTests.ping)
        bench.complete(slot: 0, Message.reply("www.games.example", .a, records: [.a(ttl: 60, 7)]))
        #expect(try bench.nextAnswer().reason == .none)
        #expect(bench.action(query, owner: BypassAnswerTests.ping) == .answer, "cached")
        guard case .answer(let cached) = bench.handle(query, owner: BypassAnswerTests.ping) else { return }
        #expect(cached.isCached)
        guard case .answer(let blocked) = bench.handle(query, owner: BypassAnswerTests.curl) else { return }
        #expect(blocked.verdict.action == .block && !blocked.isCached, "the cache is behind the policy")
    }

    @Test func anAnswerIsJudgedForEachOfThoseWhoWait() throws {
        // Everybody may ask for the name, curl may not have what it leads to; ads.example is curl's alone.
        let bench = Bench(
            TestPolicy.make(
                deny: ["ads.example"],
                rules: [try forCurl(.deny, "tracker.example"), try forCurl(.allow, "ads.example")]))
        let query = Message.query("www.example", .a)
        bench.expectAsk(query, slot: 3, owner: BypassAnswerTests.ping)
        bench.expectAsk(query, slot: 3, owner: BypassAnswerTests.curl)
        bench.complete(
            slot: 3,
            Message.reply(
                "www.example", .a, records: [.cname(ttl: 60, "a.tracker.example"), .a(ttl: 60, 0xc000_0205)]))
        var verdicts: [Verdict.Action] = []
        for _ in 0..<2 { verdicts.append(try bench.nextAnswer().verdict.action) }
        #expect(verdicts.sorted { $0.rawValue < $1.rawValue } == [.forward, .block])
        // So is the one answer in the cache.
        for (owner, reason) in [(BypassAnswerTests.curl, Reason.cname), (BypassAnswerTests.ping, .none)] {
            guard case .answer(let kept) = bench.handle(query, owner: owner) else { throw Bench.NoAnswer() }
            #expect(kept.isCached && kept.reason == reason)
        }

        let ads = Message.query("ads.example", .a)
        #expect(bench.action(ads, owner: BypassAnswerTests.ping) == .answer)
        bench.expectAsk(ads, slot: 4, owner: BypassAnswerTests.curl)
        bench.complete(slot: 4, Message.reply("ads.example", .a, records: [.a(ttl: 60, 0xc000_0206)]))
        let answer = try bench.nextAnswer()
        #expect(answer.verdict.action == .allow)
        #expect(bench.text(answer).contains("192.0.2.6"))
    }
}
