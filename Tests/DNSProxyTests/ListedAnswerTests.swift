import Blocklist
import Foundation
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// What the engine answers where a list says how: rewrites, records, rcodes, silence, truncation.
@Suite struct ListedAnswerTests {
    private func bench(
        _ text: String, _ format: ListFormat = .adblock, _ more: (BlocklistStore) throws -> Void = { _ in }
    ) throws -> Bench {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-listed-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try BlocklistStore(state: path + "/state")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/list.txt"))
        let report = try store.add(path + "/list.txt", .init(format: format, records: true))
        #expect(report.refused == 0, "\(report.refusals)")
        try more(store)
        return Bench(try store.snapshot())
    }

    private func records(_ bench: Bench, _ answer: Answer) -> [String] {
        bench.text(answer).split(separator: "\n").map(String.init).filter { !$0.hasPrefix(";") }
    }

    @Test func rewritesGiveTheirRecords() throws {
        let bench = try bench(
            """
            ||x.example^$dnsrewrite=192.0.2.1
            ||x.example^$dnsrewrite=192.0.2.2
            ||m.example^$dnsrewrite=NOERROR;MX;10 mail.example
            ||s.example^$dnsrewrite=NOERROR;SRV;1 2 8080 host.example
            ||h.example^$dnsrewrite=NOERROR;HTTPS;1 . alpn=h3
            ||t.example^$dnsrewrite=NOERROR;TXT;hello you
            """)
        let answer = try bench.answer(Message.query("WWW.x.example", .a))
        #expect(
            records(bench, answer) == [
                "WWW.x.example.\t300\tIN\tA\t192.0.2.1", "WWW.x.example.\t300\tIN\tA\t192.0.2.2",
            ])
        #expect(answer.reason == .list && answer.verdict.action == .block && answer.rcode == .noError)
        #expect(AnswerDigest.text(bench.engine.digest.bytes) == "192.0.2.1 192.0.2.2")
        let none = try bench.answer(Message.query("x.example", .aaaa))
        #expect(none.rcode == .noError)
        #expect(records(bench, none).map { $0.prefix(21) } == ["x.example.\t10\tIN\tSOA\t"[...].prefix(21)])
        #expect(
            records(bench, try bench.answer(Message.query("m.example", RecordType(15)))) == [
                "m.example.\t300\tIN\tMX\t10 mail.example."
            ])
        #expect(
            records(bench, try bench.answer(Message.query("s.example", RecordType(33))))
                == ["s.example.\t300\tIN\tSRV\t1 2 8080 host.example."])
        #expect(
            records(bench, try bench.answer(Message.query("h.example", RecordType(65)))) == [
                "h.example.\t300\tIN\tHTTPS\t1 . alpn=h3"
            ])
        #expect(
            records(bench, try bench.answer(Message.query("t.example", RecordType(16)))) == [
                "t.example.\t300\tIN\tTXT\t\"hello you\""
            ])
        #expect(bench.allocations(Message.query("www.x.example", .a, edns: 1232), times: 1000) == 0)
    }

    @Test func rcodesOfLists() throws {
        let bench = try bench(
            "||nx.example^$dnsrewrite=NXDOMAIN\n||re.example^$dnsrewrite=REFUSED\n||fail.example^$dnsrewrite=SERVFAIL;;\n||no.example^$dnsrewrite=NOERROR"
        )
        for (name, rcode, records) in [
            ("nx.example", RCode.nameError, 1), ("re.example", .refused, 0), ("fail.example", .serverFailure, 0),
            ("no.example", .noError, 1),
        ] {
            let answer = try bench.answer(Message.query(name, .a))
            #expect(answer.rcode == rcode && answer.reason == .list && answer.verdict.action == .block, "\(name)")
            #expect(self.records(bench, answer).count == records, "\(name)")
        }
    }

    /// A rewrite to a name goes through the rewrites of that name, and to an upstream in the end.
    @Test func aliasesOfListsAreFollowed() throws {
        let bench = try bench(
            "||a.example^$dnsrewrite=b.example\n||b.example^$dnsrewrite=192.0.2.1\n||out.example^$dnsrewrite=www.test\n||www.test^"
                + "\n||own.example^$dnsrewrite=nas.lan"
        ) { store in
            _ = try store.addRecords([.init("nas.lan", try RecordText.parse(type: "A", data: "192.0.2.9", ttl: 60))])
        }
        #expect(
            records(bench, try bench.answer(Message.query("a.example", .a)))
                == ["a.example.\t300\tIN\tCNAME\tb.example.", "b.example.\t300\tIN\tA\t192.0.2.1"])
        #expect(
            records(bench, try bench.answer(Message.query("own.example", .a)))
                == ["own.example.\t300\tIN\tCNAME\tnas.lan.", "nas.lan.\t60\tIN\tA\t192.0.2.9"])
        // Who wrote the rewrite wants its target, listed or not.
        bench.expectAsk(Message.query("Out.example", .a), slot: 2)
        #expect(bench.engine.asked == Name("www.test"))
        bench.complete(slot: 2, Message.reply("www.test", .a, records: [.a(ttl: 60, 0xc000_0207)]))
        let answer = try bench.nextAnswer()
        #expect(
            records(bench, answer) == ["Out.example.\t300\tIN\tCNAME\twww.test.", "www.test.\t60\tIN\tA\t192.0.2.7"])
        #expect(answer.reason == .list && answer.verdict.action == .block)
        #expect(bench.hasNoMoreAnswers())
    }

    /// Rewrites in a circle: an answer, soon.
    @Test func circlesOfRewritesEnd() throws {
        let bench = try bench(
            "||a.example^$dnsrewrite=b.example\n||b.example^$dnsrewrite=a.example\n||me.example^$dnsrewrite=me.example\n"
                + "||grow.example^$dnsrewrite=x.grow.example\n||ok.example^$dnsrewrite=192.0.2.1")
        for name in ["a.example", "b.example", "me.example", "www.me.example", "grow.example"] {
            let answer = try bench.answer(Message.query(name, .a, edns: 1232))
            #expect(answer.rcode == .serverFailure && answer.reason == .list, "\(name)")
            #expect(bench.bytes(answer).suffix(6) == [0, 15, 0, 2, 0, 0], "an extended error: other")
        }
        #expect(
            records(bench, try bench.answer(Message.query("a.example", .cname))) == [
                "a.example.\t300\tIN\tCNAME\tb.example."
            ])
        #expect(records(bench, try bench.answer(Message.query("ok.example", .a))).count == 1)
    }

    @Test func queriesThatAreDropped() throws {
        let bench = try bench("drop.example CNAME rpz-drop.\nx.example CNAME .", .rpz)
        let answer = try bench.answer(Message.query("drop.example", .a))
        #expect(answer.isSilent && answer.byteCount == 0)
        #expect(answer.reason == .list && answer.verdict.action == .block)
        #expect(try bench.answer(Message.query("x.example", .a)).isSilent == false)
    }

    @Test func queriesThatAreSentToTCP() throws {
        let bench = try bench("tcp.example CNAME rpz-tcp-only.", .rpz)
        let query = Message.query("tcp.example", .a, edns: 1232)
        let answer = try bench.answer(query)
        #expect(bench.text(answer).contains("flags: qr tc rd ra"))
        #expect(records(bench, answer) == [] && answer.rcode == .noError)
        guard case .ask = bench.handle(query, isStream: true) else {
            Issue.record("a query over TCP is asked like any other")
            return
        }
    }

    /// A CNAME may lead to a name that a list has data for; to one that it forbids it may not.
    @Test func chainsToListedNames() throws {
        let bench = try bench("||data.example^$dnsrewrite=192.0.2.1\n||bad.example^$dnsrewrite=NXDOMAIN")
        bench.expectAsk(Message.query("a.test", .a), slot: 0)
        bench.complete(
            slot: 0, Message.reply("a.test", .a, records: [.cname(ttl: 60, "data.example"), .a(ttl: 60, 0xc000_0207)]))
        #expect(try bench.nextAnswer().verdict.action == .forward)
        bench.expectAsk(Message.query("b.test", .a), slot: 0)
        bench.complete(
            slot: 0, Message.reply("b.test", .a, records: [.cname(ttl: 60, "bad.example"), .a(ttl: 60, 0xc000_0207)]))
        let answer = try bench.nextAnswer()
        #expect(answer.reason == .cname && answer.rcode == .nameError)
    }
}
