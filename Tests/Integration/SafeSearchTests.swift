import Foundation
import Testing

/// Safe search of groups, as clients behind the machine meet it.
@Suite(.serialized) struct SafeSearchTests {
    private static let name = "find.allowed.example"
    /// What the upstream tells of the engine's name.
    private static let plain = [Internet.forwardedV4]
    /// What the strict level and the moderate one make of it.
    private static let strict = ["safe.allowed.example", Internet.forwardedV4]
    private static let moderate = ["192.0.2.50"]

    private static let engines = """
        engine find https://find.example/help
        target strict safe.allowed.example
        target moderate 192.0.2.50 2001:db8::50
        names find.allowed.example find.blocked.example

        """

    private static func answer(_ host: Host, _ type: String = "A", tcp: Bool = false) async throws -> [String] {
        try await Probe.ask(host, server: Internet.resolverV4, name, type, tcp: tcp).answer
    }

    private static func gets(_ host: Host, _ answer: [String], within seconds: Double = 3) async throws -> Bool {
        try await eventually(within: seconds, every: 50) { try await self.answer(host) == answer }
    }

    /// One client in a group with safe search, one in another at another level, and the machine in none.
    @Test(arguments: ["link", "route"]) func whoIsInTheGroupIsAnsweredSafely(capture: String) async throws {
        try await World.with(
            capture: capture, serve: ["br0", "cont0"],
            prepare: { net, webtun in
                let file = try net.lab.write(Self.engines, to: "e.safesearch")
                try await webtun.must(["group", "add", "kids", "teens"])
                try await webtun.must(["client", "add", "10.77.2.2", "--group", "kids"])
                try await webtun.must(["safesearch", "on", "find", "--engines", file, "--group", "kids"])
            }
        ) { (world: World) async throws in
            let (webtun, served, masked) = (world.webtun, world.net.served, world.net.masked)
            // The machine's answer is in the cache when the child asks, and the child's when the machine asks again.
            #expect(try await Self.answer(world.machine) == Self.plain)
            #expect(try await Self.answer(served) == Self.strict)
            #expect(try await Self.answer(masked) == Self.plain)
            #expect(try await Self.answer(world.machine) == Self.plain)
            #expect(try await Self.answer(served, tcp: true) == Self.strict)
            #expect(try await Self.answer(served, "AAAA") == [Self.strict[0], Internet.forwardedV6])
            #expect(try await Self.answer(masked, "AAAA") == [Internet.forwardedV6])
            let hints = try await Probe.ask(served, server: Internet.resolverV4, Self.name, "HTTPS")
            #expect(hints.rcode == "NOERROR" && hints.answer.isEmpty, "\(hints)")
            // Blocking goes before; the group is not in `default`, whose rule this is.
            let blocked = "find.blocked.example"
            #expect(try await Probe.ask(masked, server: Internet.resolverV4, blocked).answer == ["0.0.0.0"])
            #expect(try await Probe.ask(served, server: Internet.resolverV4, blocked).answer == Self.strict)

            // Another level for another client; in both groups the strictest counts, in whatever order they are named.
            try await webtun.must(["safesearch", "on", "find:moderate", "--group", "teens"])
            try await webtun.must(["client", "add", "10.77.1.0/24", "--group", "teens"])
            #expect(try await Self.gets(masked, Self.moderate))
            #expect(try await Self.answer(masked, "AAAA") == ["2001:db8::50"])
            #expect(try await Self.answer(served) == Self.strict)
            try await webtun.must(["client", "add", "10.77.1.0/24", "--group", "teens", "--group", "kids"])
            #expect(try await Self.gets(masked, Self.strict))
            #expect(try await Self.answer(world.machine) == Self.plain)

            // Out of force with its group, by hand or in a pause, and in force again.
            try await webtun.must(["group", "disable", "kids"])
            #expect(try await Self.gets(served, Self.plain))
            #expect(try await Self.gets(masked, Self.moderate))
            try await webtun.must(["group", "enable", "kids"])
            #expect(try await Self.gets(served, Self.strict))
            try await webtun.must(["pause", "1h", "--group", "kids"])
            #expect(try await Self.gets(served, Self.plain))
            try await webtun.must(["resume", "--group", "kids"])
            #expect(try await Self.gets(served, Self.strict))

            // The log tells who was answered so, and `why` says the same.
            let logged = try await eventually(within: 5, every: 100) {
                try await webtun.sql(
                    "SELECT DISTINCT client FROM queries WHERE qname = '\(Self.name)' AND reason = 'safesearch' "
                        + "ORDER BY client"
                ).compactMap { $0["client"] as? String } == ["10.77.1.2", "10.77.2.2"]
            }
            #expect(logged)
            let why = try await webtun(["why", Self.name, "--client", "10.77.2.2"])
            #expect(why.text.contains("safe.allowed.example"), "\(why)")
            let whyNot = try await webtun(["why", Self.name, "--client", "10.77.9.9"])
            #expect(!whyNot.text.contains("safe.allowed.example"), "\(whyNot)")

            // Off for everybody.
            try await webtun.must(["safesearch", "off"])
            #expect(try await Self.gets(served, Self.plain))
            #expect(try await Self.gets(masked, Self.plain))
        }
    }
}
