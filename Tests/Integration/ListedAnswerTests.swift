import Foundation
import Testing

/// Lists that say how a query is answered, with real clients: policy zones, rewrites, patterns, data of hosts lines.
@Suite(.serialized) struct ListedAnswerTests {
    private static let zone = """
        $TTL 60
        @ SOA localhost. admin.example. 1 2 3 4 5
        nx.test CNAME .
        nodata.test CNAME *.
        drop.test CNAME rpz-drop.
        short.negative.example CNAME rpz-tcp-only.
        data.test A 192.0.2.50
        data.test TXT "from the zone"
        bad.test A 192.0.2.999
        out.test CNAME mail.allowed.example.

        """
    private static let rules = """
        ||a.test^$dnsrewrite=b.test
        ||b.test^$dnsrewrite=a.test
        ||typed.test^$dnstype=AAAA,dnsrewrite=2001:db8::7
        /^track[0-9]+\\.test$/
        /(x|y)*x(x|y){40}/
        ||*.wild*.test^
        ||gone.test^
        ||gone.test^$badfilter

        """

    private static func file(_ webtun: Webtun, _ name: String, _ text: String) throws -> String {
        let path = webtun.host.lab.path(name)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    private func dig(_ world: World, _ arguments: [String]) async throws -> Output {
        try await world.machine.run(["dig", "+time=1", "+tries=1", "@\(Internet.resolverV4)"] + arguments)
    }

    @Test func answersOfLists() async throws {
        try await World.with(prepare: { net, webtun in
            let zone = try Self.file(webtun, "policy.zone", Self.zone)
            let added = try await webtun.must(["list", "add", zone, "--format", "rpz", "--name", "zone"])
            #expect(added.errors.contains("policy.zone:9: "), "\(added.errors)")
            #expect(added.errors.contains("bad.test A 192.0.2.999"))
            let rules = try Self.file(webtun, "rules.txt", Self.rules)
            let taken = try await webtun.must(["list", "add", rules, "--format", "adblock", "--name", "rules"])
            #expect(taken.errors.contains("too complex"), "\(taken.errors)")
            let hosts = try Self.file(webtun, "hosts.txt", "192.0.2.60 printer.test\n2001:db8::60 printer.test\n")
            try await webtun.must(["list", "add", hosts, "--format", "hosts", "--records", "--name", "lan"])
        }) { (world: World) async throws in
            #expect(try await world.ask("nx.test").rcode == "NXDOMAIN")
            let nodata = try await dig(world, ["nodata.test"]).text
            #expect(nodata.contains("status: NOERROR") && nodata.contains("ANSWER: 0"), "\(nodata)")
            let dropped = try await dig(world, ["drop.test"])
            #expect(dropped.status == 9, "dig says that no server answered: \(dropped.text)")
            let cut = try await dig(world, ["+ignore", "short.negative.example"]).text
            #expect(cut.contains("flags: qr tc rd ra") && cut.contains("ANSWER: 0"), "\(cut)")
            #expect(try await dig(world, ["+short", "short.negative.example"]).lines == ["203.0.113.81"], "over TCP")
            #expect(try await dig(world, ["+short", "data.test"]).lines == ["192.0.2.50"])
            #expect(try await dig(world, ["+short", "data.test", "TXT"]).lines == ["\"from the zone\""])
            #expect(try await dig(world, ["+short", "bad.test"]).lines != ["192.0.2.999"])
            #expect(
                try await dig(world, ["+short", "out.test"]).lines == [
                    "mail.allowed.example.", "\(Internet.forwardedV4)",
                ])
            for tcp in ["+notcp", "+tcp"] {
                let circle = try await dig(world, [tcp, "a.test"]).text
                #expect(circle.contains("status: SERVFAIL"), "\(circle)")
            }
            #expect(try await dig(world, ["+short", "typed.test", "AAAA"]).lines == ["2001:db8::7"])
            #expect(try await dig(world, ["+short", "track12.test"]).lines == ["0.0.0.0"])
            #expect(try await dig(world, ["+short", "www.wildest.test"]).lines == ["0.0.0.0"])
            #expect(try await dig(world, ["+short", "gone.test"]).lines != ["0.0.0.0"])
            #expect(try await dig(world, ["+short", "printer.test"]).lines == ["192.0.2.60"])
            #expect(try await dig(world, ["+short", "printer.test", "AAAA"]).lines == ["2001:db8::60"])
            let why = try await world.webtun(["why", "track12.test", "--json"])
            #expect(why.status == 3 && why.text.contains("\"line\":4"), "\(why.text)")
            let logged = await eventually(within: 4) {
                ((try? await world.webtun.sql(
                    "SELECT 1 FROM queries WHERE qname = 'drop.test' AND verdict = 'block' AND rcode IS NULL AND list = 'zone'"
                )) ?? []).isEmpty == false
            }
            #expect(logged, "what is dropped is logged")
        }
    }
}
