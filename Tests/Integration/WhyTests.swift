import Foundation
import Testing

/// `why` and the answers of the running webtun agree, type by type, also while it is paused.
@Suite(.serialized) struct WhyTests {
    @Test(arguments: ["null", "nxdomain", "refused"])
    func theAnswerOfEachTypeIsTheOneTold(mode: String) async throws {
        let configuration = "[dns]\nblocking_mode = \"\(mode)\"\nblocking_ttl = 33\n"
        try await World.with(configuration: configuration) { (world: World) async throws in
            for type in ["A", "AAAA", "HTTPS", "TXT"] {
                let told = try await world.webtun(["why", "x.blocked.example", "--type", type, "--json"])
                #expect(told.status == 3)
                let why = try Webtun.object(told.text)
                let reply = try await world.ask("x.blocked.example", type == "HTTPS" ? "TYPE65" : type)
                #expect(why["verdict"] as? String == "block" && why["qtype"] as? String == type)
                #expect(why["rcode"] as? String == reply.rcode, "\(why) \(reply)")
                #expect(why["answer"] as? [String] == reply.answer, "\(why) \(reply)")
                if mode != "refused" { #expect(why["ttl"] as? Int == 33) }
            }
            let allowed = try Webtun.object(try await world.webtun(["why", "x.allowed.example", "--json"]).text)
            #expect(allowed["rcode"] is NSNull && allowed["answer"] is NSNull)
            // Whatever the name, a zone is not transferred.
            let transfer = try await world.webtun(["why", "x.allowed.example", "--type", "AXFR"])
            #expect(transfer.status == 0 && transfer.text.contains("AXFR REFUSED"), "\(transfer.text)")
        }
    }

    @Test func aPauseIsTold() async throws {
        try await World.with { (world: World) async throws in
            let before = try await world.webtun(["why", "x.blocked.example"])
            #expect(before.status == 3 && before.text.contains("A 0.0.0.0, for 10 s"), "\(before.text)")
            try await world.webtun.must(["pause", "1h"])
            let told = try await world.webtun(["why", "x.blocked.example", "--json"])
            // The verdict is that of the lists and rules.
            #expect(told.status == 3)
            let why = try Webtun.object(told.text)
            #expect(why["verdict"] as? String == "block" && why["paused"] as? Bool == true)
            #expect(why["rcode"] is NSNull, "an upstream answers: \(why)")
            #expect(try await world.ask("x.blocked.example").answer == [Internet.forwardedV4])
            let text = try await world.webtun(["why", "x.blocked.example"]).text
            #expect(text.contains("an upstream's") && text.contains("nothing is blocked"), "\(text)")
            try await world.webtun.must(["resume"])
            #expect(try await world.webtun(["why", "x.blocked.example"]).text == before.text)
        }
    }

    /// The steps that only a running webtun knows: its cache, its upstreams, and with --resolve where CNAMEs lead.
    @Test func theChainOfARunningWebtun() async throws {
        try await World.with { (world: World) async throws in
            func step(_ name: String, _ arguments: [String]) async throws -> [String: any Sendable] {
                let told = try Webtun.object(try await world.webtun(["why", "--json"] + arguments).text)
                let chain = try #require(told["chain"] as? [[String: any Sendable]])
                return try #require(chain.first { $0["step"] as? String == name })
            }
            #expect(try await step("cache", ["x.allowed.example"])["cached"] as? Bool == false)
            let reply = try await world.ask("x.allowed.example")
            #expect(reply.rcode == "NOERROR")
            let cached = try await step("cache", ["x.allowed.example"])
            #expect(cached["cached"] as? Bool == true && cached["rcode"] as? String == "NOERROR", "\(cached)")
            #expect((cached["upstream"] as? String ?? "").hasPrefix(Internet.upstreamV4), "\(cached)")
            #expect(try await step("cache", ["x.allowed.example", "--type", "AAAA"])["cached"] as? Bool == false)
            let upstream = try await step("upstream", ["x.allowed.example"])
            #expect(
                (upstream["servers"] as? [String] ?? []).first?.hasPrefix(Internet.upstreamV4) == true, "\(upstream)")
            #expect(try await step("upstream", ["x.blocked.example"])["asked"] as? Bool == false)
            #expect(try await step("cname", ["x.allowed.example"])["asked"] as? Bool == false)
            let resolved = try await step("upstream", ["x.allowed.example", "--resolve"])
            #expect(resolved["answer"] as? [String] == reply.answer, "\(resolved)")

            // A rule that allows the name speaks for where it leads; without one that name is judged.
            try await world.webtun.must(["deny", "target.allowed.example"])
            let alias = try await step("cname", ["alias.allowed.example", "--resolve"])
            #expect(
                alias["target"] as? String == "target.allowed.example" && alias["wins"] as? Bool == false, "\(alias)")
            try await world.webtun.must(["rule", "rm", "allowed.example"])
            let led = try await step("cname", ["alias.allowed.example", "--resolve"])
            #expect(led["wins"] as? Bool == true && led["verdict"] as? String == "block", "\(led)")
            #expect(try await world.webtun(["why", "alias.allowed.example", "--resolve"]).status == 3)
            #expect(
                await eventually(within: 5) {
                    (try? await world.ask("alias.allowed.example").answer == ["0.0.0.0"]) ?? false
                })
        }
    }
}
