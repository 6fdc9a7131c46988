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
}
