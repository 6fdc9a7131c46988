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
            EngineSettings(
                blocking: Blocking(mode: mode, addresses: mode == .custom ? [IPAddress(v4: 0xc000_0250)] : [])))
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
}
