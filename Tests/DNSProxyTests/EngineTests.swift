import Blocklist
import CAllocations
import Kernel
import Testing
import Wire

@testable import DNSProxy

@Suite struct EngineTests {
    // MARK: Blocked answers

    @Test func aBlockedAIsAnsweredWithTheNullAddress() throws {
        let bench = Bench(deny: ["ads.example"])
        let query: [UInt8] = [
            0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0,  // ID, RD, one question
            3, 0x41, 0x44, 0x73, 7, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0,  // ADs.example, the client's case
            0, 1, 0, 1,  // A IN
        ]
        let answer = try bench.answer(query)
        #expect(
            bench.bytes(answer) == [
                0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0,  // QR RD RA NOERROR, one answer
                3, 0x41, 0x44, 0x73, 7, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0, 0, 1, 0, 1,
                0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 0, 0, 0, 0,  // A 10 0.0.0.0
            ])
        #expect(answer.verdict.action == .block)
        #expect(answer.reason == .rule)
        #expect(answer.rcode == .noError)
    }

    @Test func aSubdomainOfABlockedNameIsBlockedToo() throws {
        let bench = Bench(deny: ["ads.example"])
        let answer = try bench.answer(Message.query("x.y.ads.example", .aaaa))
        #expect(bench.text(answer).contains("x.y.ads.example.\t10\tIN\tAAAA\t::"))
        #expect(bench.action(Message.query("goodads.example", .a)) == .ask)
    }

    @Test(arguments: [RecordType(16), RecordType(65), RecordType.any, RecordType.soa])
    func otherTypesGetNoDataWithSOA(type: RecordType) throws {
        let bench = Bench(deny: ["ads.example"])
        let answer = try bench.answer(Message.query("ads.example", type))
        let text = bench.text(answer)
        #expect(text.contains("rcode: NOERROR"))
        #expect(text.contains("ANSWER: 0, AUTHORITY: 1"))
        #expect(
            text.contains("ads.example.\t10\tIN\tSOA\twebtun.invalid. nobody.invalid. 1 3600 600 86400 10"),
            "RFC 2308 section 3: the SOA makes the answer cacheable")
    }

    @Test(arguments: [
        (Blocking.Mode.nxdomain, "rcode: NXDOMAIN", "AUTHORITY: 1"), (.nodata, "rcode: NOERROR", "AUTHORITY: 1"),
        (.refused, "rcode: REFUSED", "AUTHORITY: 0"),
    ])
    func theOtherModes(mode: Blocking.Mode, rcode: String, authority: String) throws {
        let bench = Bench(deny: ["ads.example"], EngineSettings(blocking: Blocking(mode: mode, ttl: 60)))
        let text = bench.text(try bench.answer(Message.query("ads.example", .a)))
        #expect(text.contains(rcode))
        #expect(text.contains("ANSWER: 0, \(authority)"))
    }

    @Test func customAddressesAreGivenByFamily() throws {
        let addresses = [try #require(IPAddress("192.0.2.80")), try #require(IPAddress("192.0.2.81"))]
        let blocking = Blocking(mode: .custom, ttl: 30, addresses: addresses)
        let bench = Bench(deny: ["ads.example"], EngineSettings(blocking: blocking))
        let a = bench.text(try bench.answer(Message.query("ads.example", .a)))
        #expect(a.contains("ads.example.\t30\tIN\tA\t192.0.2.80"))
        #expect(a.contains("ads.example.\t30\tIN\tA\t192.0.2.81"))
        let aaaa = bench.text(try bench.answer(Message.query("ads.example", .aaaa)))
        #expect(aaaa.contains("ANSWER: 0, AUTHORITY: 1"), "a family without an address is NODATA")
    }

    @Test func aBlockedAnswerWithEDNSSaysWhyAndEchoesDO() throws {
        let bench = Bench(deny: ["ads.example"])
        let answer = try bench.answer(Message.query("ads.example", .a, edns: 4096, dnssecOK: true))
        let bytes = bench.bytes(answer)
        let opt = try #require(bytes.lastRange(of: [0, 0, 41]))
        let tail = Array(bytes[opt.lowerBound...])
        #expect(Array(tail[..<9]) == [0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0], "size 1232, version 0, DO")
        let text = "blocked by a rule of yours"
        #expect(tail[11...12] == [0, 15], "RFC 8914: option code 15")
        #expect(tail[15...16] == [0, 15], "info code 15, Blocked")
        #expect(String(decoding: tail[17...], as: UTF8.self) == text)
    }

    // MARK: What is no answerable query

    @Test func aResponseOrAShortMessageIsDropped() {
        let bench = Bench(deny: [])
        var response = Message.query("www.example", .a)
        response[2] |= 0x80
        #expect(bench.action(response) == .drop)
        #expect(bench.action(Array(response[..<11])) == .drop)
        #expect(bench.action([]) == .drop)
    }

    @Test func anUnsupportedOpcodeIsNotImplemented() throws {
        let bench = Bench(deny: [])
        var notify = Message.query("www.example", .soa)
        notify[2] = 0x20
        let answer = try bench.answer(notify)
        #expect(answer.rcode == .notImplemented)
        #expect(bench.bytes(answer) == [0x12, 0x34, 0xa0, 0x84, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test(arguments: [0, 2]) func notOneQuestionIsAFormatError(questions: UInt8) throws {
        let bench = Bench(deny: [])
        var query = Message.query("www.example", .a)
        query[5] = questions
        #expect(try bench.answer(query).rcode == .formatError)
    }

    @Test func aCutQuestionIsAFormatError() throws {
        let bench = Bench(deny: [])
        let query = Message.query("www.example", .a)
        for count in 12..<query.count {
            #expect(try bench.answer(Array(query[..<count])).rcode == .formatError, "cut at \(count)")
        }
    }

    @Test func aHigherEDNSVersionIsBadVersion() throws {
        let bench = Bench(deny: [])
        var query = Message.query("www.example", .a, edns: 1232)
        query[query.count - 5] = 1
        let answer = try bench.answer(query)
        #expect(answer.rcode == .badVersion)
        let bytes = bench.bytes(answer)
        #expect(bytes[3] & 0xf == 0)
        #expect(Array(bytes.suffix(11)) == [0, 0, 41, 0x04, 0xd0, 1, 0, 0, 0, 0, 0], "RFC 6891 section 6.1.3")
    }

    @Test func transfersAndTheClassAnyAreRefused() throws {
        let bench = Bench(deny: [])
        #expect(try bench.answer(Message.query("example", .axfr)).rcode == .refused)
        #expect(try bench.answer(Message.query("example", .ixfr)).rcode == .refused)
        var any = Message.query("example", .a)
        any[any.count - 1] = 255
        #expect(try bench.answer(any).rcode == .refused)
    }

    // MARK: Upstream and cache

    @Test func aForwardedAnswerIsCachedAndAges() throws {
        let bench = Bench(deny: [])
        let query = Message.query("WwW.example", .a)
        let server = SocketAddress(IPAddress(v4: 0xc000_0235), port: 53)
        bench.expectAsk(query, slot: 7)
        bench.complete(
            slot: 7, Message.reply("www.example", .a, records: [.a(ttl: 300, 0xc633_6401)]), upstream: server)
        let first = try bench.nextAnswer()
        #expect(bench.text(first).contains("WwW.example.\t300\tIN\tA\t198.51.100.1"), "the client's spelling")
        #expect(first.upstream == server)
        #expect(!first.isCached)
        bench.now += 100_000_000_000
        let second = try bench.answer(query)
        #expect(second.isCached)
        #expect(bench.text(second).contains("\t200\tIN\tA\t198.51.100.1"), "100 seconds older")
        #expect(Array(bench.bytes(second)[..<2]) == [0x12, 0x34])
        bench.now += 200_000_000_000
        #expect(bench.action(query) == .ask, "expired")
    }

    @Test func identicalQuestionsShareASlotAndAllAreAnswered() throws {
        let bench = Bench(deny: [])
        for _ in 0..<5 { bench.expectAsk(Message.query("www.example", .a), slot: 3) }
        bench.complete(slot: 3, Message.reply("www.example", .a, records: [.a(ttl: 300, 1)]))
        for _ in 0..<5 { #expect(try bench.nextAnswer().rcode == .noError) }
        #expect(bench.hasNoMoreAnswers())
    }

    @Test func aNegativeAnswerIsKeptForTheSOAMinimum() throws {
        let bench = Bench(deny: [])
        let query = Message.query("nx.example", .a)
        bench.expectAsk(query, slot: 0)
        bench.complete(
            slot: 0, Message.reply("nx.example", .a, rcode: 3, authority: [.soa(ttl: 900, minimum: 30)]))
        #expect(try bench.nextAnswer().rcode == .nameError)
        bench.now += 29_000_000_000
        #expect(try bench.answer(query).isCached, "RFC 2308 section 5: the lesser of SOA TTL and minimum")
        bench.now += 1_000_000_000
        #expect(bench.action(query) == .ask)
    }

    @Test func anAnswerOverTheClientsSizeIsTruncated() throws {
        let bench = Bench(deny: [])
        let records = (0..<40).map { Message.Record.a(ttl: 60, $0) }
        let reply = Message.reply("www.example", .a, records: records)
        #expect(reply.count > 512)
        bench.expectAsk(Message.query("www.example", .a), slot: 0)
        bench.complete(slot: 0, reply)
        let small = try bench.nextAnswer()
        let text = bench.text(small)
        #expect(text.contains("qr tc rd") || text.contains(" tc "), "RFC 2181 section 9: \(text)")
        #expect(text.contains("ANSWER: 0"))
        let large = try bench.answer(Message.query("www.example", .a, edns: 1232))
        #expect(bench.text(large).contains("ANSWER: 40"))
        let stream = try bench.answer(Message.query("www.example", .a), isStream: true)
        #expect(bench.text(stream).contains("ANSWER: 40"))
    }

    @Test func aChainToABlockedNameIsBlocked() throws {
        let bench = Bench(deny: ["tracker.example"])
        let query = Message.query("metrics.shop.example", .a)
        let reply = Message.reply(
            "metrics.shop.example", .a, records: [.cname(ttl: 60, "x.tracker.example"), .a(ttl: 60, 7)])
        bench.expectAsk(query, slot: 1)
        bench.complete(slot: 1, reply)
        let answer = try bench.nextAnswer()
        #expect(answer.reason == .cname)
        #expect(answer.verdict.action == .block)
        #expect(bench.text(answer).contains("metrics.shop.example.\t10\tIN\tA\t0.0.0.0"))
    }

    @Test func aChainInTheCacheIsJudgedByThePolicyInForce() throws {
        let bench = Bench(deny: ["tracker.example"])
        let query = Message.query("metrics.shop.example", .a, edns: 1232)
        let reply = Message.reply(
            "metrics.shop.example", .a, records: [.cname(ttl: 60, "x.tracker.example"), .a(ttl: 60, 7)])
        bench.expectAsk(query, slot: 1)
        bench.complete(slot: 1, reply)
        let first = try bench.nextAnswer()
        let bytes = bench.bytes(first)
        let second = try bench.answer(query)
        #expect(second.reason == .cname && second.verdict == first.verdict && second.isCached)
        #expect(bench.bytes(second) == bytes)
        #expect(bench.engine.digest.bytes.byteCount > 0, "what the upstream said is logged")
        #expect(bench.allocations(query, times: 1000) == 0)
        let name = try #require(Name("metrics.shop.example"))
        #expect(bench.engine.peek(name, qtype: 1, now: bench.now)?.isChainBlocked == true)
        // During a pause the upstream's answer counts.
        bench.engine.pausedUntil = bench.now + 1
        let paused = try bench.answer(query)
        #expect(paused.reason == .paused && bench.text(paused).contains("\tA\t0.0.0.7"))
        bench.engine.pausedUntil = 0
        #expect(try bench.answer(query).reason == .cname)
        // Another policy, another judgement of the same answer.
        for allow in [[], ["metrics.shop.example"]] {
            bench.engine.adopt(TestPolicy.make(deny: allow.isEmpty ? [] : ["tracker.example"], allow: allow))
            let passed = try bench.answer(query)
            #expect(passed.verdict.action == (allow.isEmpty ? .forward : .allow) && passed.isCached)
            #expect(bench.text(passed).contains("\tA\t0.0.0.7"))
            #expect(bench.engine.peek(name, qtype: 1, now: bench.now)?.isChainBlocked == false)
            #expect(bench.allocations(query, times: 1000) == 0)
        }
        bench.engine.adopt(TestPolicy.make(deny: ["tracker.example"]))
        #expect(try bench.answer(query).reason == .cname)
        // No longer than the upstream's answer.
        bench.now += 60_000_000_000
        #expect(bench.action(query) == .ask)
    }

    /// Chains of up to sixteen names, some of them denied and some allowed: the answer from the cache is judged as the one
    /// that came from upstream, which is judged as the list of names is in their order.
    @Test(arguments: [11, 12, 13]) func chainsAreJudgedInTheirOrder(seed: UInt64) throws {
        print("seed \(seed)")
        var random = SplitMix(seed: seed)
        let bench = Bench(TestPolicy.make(deny: ["deny.example"], allow: ["allow.example"]))
        var blocked = 0
        for round in 0..<200 {
            let count = Int(random.next() % 17)
            let kinds = (0..<count).map { _ in ["deny", "allow", "plain", "plain", "plain"][Int(random.next() % 5)] }
            let chain = kinds.enumerated().map { "n\($0.offset)-\(round).\($0.element).example" }
            let isBlocked = kinds.first { $0 != "plain" } == "deny"
            let qname = "www\(round).shop.example"
            let records = chain.map { Message.Record.cname(ttl: 60, $0) } + [.a(ttl: 60, 7)]
            bench.expectAsk(Message.query(qname, .a), slot: 3)
            bench.complete(slot: 3, Message.reply(qname, .a, records: records))
            let first = try bench.nextAnswer()
            let second = try bench.answer(Message.query(qname, .a))
            for answer in [first, second] {
                #expect((answer.verdict.action == .block) == isBlocked, "\(chain)")
                #expect(answer.reason == (isBlocked ? .cname : .none))
            }
            #expect(second.isCached && !first.isCached && first.verdict == second.verdict)
            if isBlocked { blocked += 1 }
        }
        #expect(blocked > 30 && blocked < 170)
    }

    @Test func aRuleThatComesWhileTheQuestionIsInFlightBlocks() throws {
        let bench = Bench(deny: [])
        bench.expectAsk(Message.query("late.example", .a), slot: 2)
        bench.engine.adopt(TestPolicy.make(deny: ["late.example"]))
        bench.complete(slot: 2, Message.reply("late.example", .a, records: [.a(ttl: 60, 7)]))
        let answer = try bench.nextAnswer()
        #expect(answer.verdict.action == .block)
        #expect(answer.reason == .rule)
        #expect(bench.text(answer).contains("late.example.\t10\tIN\tA\t0.0.0.0"))
    }

    @Test func aPauseForwardsAndEnds() throws {
        let bench = Bench(deny: ["ads.example"])
        bench.engine.pausedUntil = bench.now + 5_000_000_000
        #expect(bench.action(Message.query("ads.example", .a)) == .ask)
        bench.now += 5_000_000_000
        #expect(try bench.answer(Message.query("ads.example", .a)).verdict.action == .block)
    }

    @Test func noUpstreamIsSERVFAILWithAnExtendedError() throws {
        let bench = Bench(deny: [])
        bench.expectAsk(Message.query("www.example", .a, edns: 1232), slot: 0)
        bench.engine.complete(0, failure: .noReachableAuthority)
        let answer = try bench.nextAnswer()
        #expect(answer.rcode == .serverFailure)
        #expect(Array(bench.bytes(answer).suffix(6)) == [0, 15, 0, 2, 0, 22], "EDE 22, No Reachable Authority")
    }

    @Test func aBrokenReplyIsSERVFAIL() throws {
        let bench = Bench(deny: [])
        bench.expectAsk(Message.query("www.example", .a, edns: 1232), slot: 0)
        let reply = Message.reply("www.example", .a, records: [.a(ttl: 60, 7)])
        bench.complete(slot: 0, Array(reply[..<(reply.count - 2)]))
        #expect(try bench.nextAnswer().rcode == .serverFailure)
        #expect(bench.action(Message.query("www.example", .a, edns: 1232)) == .ask, "nothing was kept")
    }

    // MARK: Settings

    @Test func newSettingsHoldFromTheNextQueryOn() throws {
        let book = SettingsBook(EngineSettings(blocking: Blocking(ttl: 10)))
        let bench = Bench(deny: ["ads.example"], book)
        let blocked = Message.query("ads.example", .a)
        let kept = Message.query("www.example", .a)
        #expect(bench.text(try bench.answer(blocked)).contains("ads.example.\t10\tIN\tA\t0.0.0.0"))
        bench.expectAsk(kept, slot: 0)
        bench.complete(slot: 0, Message.reply("www.example", .a, records: [.a(ttl: 900, 7)]))
        _ = try bench.nextAnswer()

        var settings = book.settings
        settings.blocking = Blocking(mode: .nxdomain, ttl: 99)
        settings.limits.positive = 30
        book.publish(settings)
        let answer = try bench.answer(blocked)
        #expect(answer.rcode == .nameError)
        #expect(bench.text(answer).contains("\t99\tIN\tSOA"))
        #expect(bench.text(try bench.answer(kept)).contains("\t900\tIN\tA"), "what was kept stays")
        bench.expectAsk(Message.query("new.example", .a), slot: 1)
        bench.complete(slot: 1, Message.reply("new.example", .a, records: [.a(ttl: 900, 7)]))
        #expect(bench.text(try bench.nextAnswer()).contains("\t30\tIN\tA"))
        #expect(bench.engine.cachedAnswers == 2)

        settings.cacheBytes *= 2
        book.publish(settings)
        #expect(bench.action(kept) == .ask, "a cache of another size begins empty")
        #expect(bench.engine.cachedAnswers == 0)
    }

    // MARK: Cost

    @Test func blockedAndCachedAnswersAllocateNothing() throws {
        let bench = Bench(deny: ["ads.example"])
        let cached = Message.query("www.example", .a, edns: 1232)
        bench.expectAsk(cached, slot: 0)
        bench.complete(slot: 0, Message.reply("www.example", .a, records: [.a(ttl: 300, 7)]))
        _ = try bench.nextAnswer()
        let blocked = Message.query("x.ads.example", .a, edns: 1232)
        for message in [blocked, cached] {
            _ = try bench.answer(message)
            let count = bench.allocations(message, times: 1000)
            #expect(count == 0)
        }
    }
}
