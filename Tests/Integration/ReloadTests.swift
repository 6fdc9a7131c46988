import Foundation
import Testing

/// A running webtun reads its configuration anew.
@Suite(.serialized) struct ReloadTests {
    private static let first = """
        [dns]
        blocking_mode = "null"
        blocking_ttl = 10

        """

    /// Replaces the configuration file of the running webtun.
    private func write(_ world: World, _ text: String) throws {
        try world.net.lab.write(text, to: "webtun-machine.toml")
    }

    @Test func answersFollowAtOnceAndNothingIsLost() async throws {
        try await World.with(configuration: Self.first) { (world: World) async throws in
            let loop = try await Probe.loop(
                world.machine, server: Internet.resolverV4, "loop.blocked.example", every: 2, milliseconds: 4000,
                log: "reload")
            try await Task.sleep(for: .milliseconds(300))
            try write(world, "[dns]\nblocking_mode = \"nxdomain\"\nblocking_ttl = 77\n")
            #expect(try await world.webtun.must(["reload"]).text == "reloaded\n")
            let refused = try await world.ask("x.blocked.example")
            #expect(refused.rcode == "NXDOMAIN" && refused.integer("negative_ttl") == 77, "\(refused)")
            try write(
                world,
                "[dns]\nblocking_mode = \"custom\"\nblocking_addresses = [\"192.0.2.99\", \"2001:db8::99\"]\n")
            try await world.webtun.must(["reload"])
            let custom = try await world.ask("x.blocked.example")
            #expect(custom.answer == ["192.0.2.99"] && custom.integer("ttl") == 10, "\(custom)")
            #expect(try await world.ask("x.blocked.example", "AAAA", tcp: true).answer == ["2001:db8::99"])
            let tally = try await loop.finish(within: 20)
            #expect(tally.integer("lost") == 0, "\(tally)")
            #expect(
                loop.changes.map { $0.reply.rcode + $0.reply.answer.joined() } == [
                    "NOERROR0.0.0.0", "NXDOMAIN", "NOERROR192.0.2.99",
                ], "\(loop.changes)")
        }
    }

    @Test func theCacheTakesItsSizeAndTimes() async throws {
        try await World.with(configuration: Self.first) { (world: World) async throws in
            #expect(try await world.ask("kept.allowed.example").integer("ttl") == 300)
            #expect(try await world.webtun.status()["cached_answers"] as? Int == 1)
            // Another limit is for what comes in from now on; another size begins empty.
            try write(world, Self.first + "max_ttl = 20\n")
            try await world.webtun.must(["reload"])
            #expect(try await world.ask("kept.allowed.example").integer("ttl") > 200)
            #expect(try await world.ask("new.allowed.example").integer("ttl") == 20)
            try write(world, Self.first + "max_ttl = 20\ncache_bytes = 1_000_000\n")
            try await world.webtun.must(["reload"])
            #expect(try await world.ask("kept.allowed.example").integer("ttl") == 20)
            #expect(try await world.webtun.status()["cached_answers"] as? Int == 1)
        }
    }

    @Test func otherLinksAreCapturedAndServed() async throws {
        // Without options, which would keep winning over the file.
        let links = "[capture]\nlinks = [\"eth0\"]\nserve = []\n"
        try await World.with(links: [], configuration: links) { (world: World) async throws in
            let container = { (name: String) in
                try await Probe.ask(world.net.served, server: Internet.resolverV4, name)
            }
            #expect(try await world.webtun.status()["serve"] as? [String] == [])
            #expect(try await container("one.blocked.example").answer == ["0.0.0.0"], "by eth0, masqueraded")
            try write(world, "[capture]\nlinks = [\"cont0\"]\nserve = []\n")
            try await world.webtun.must(["reload"])
            #expect(try await world.webtun.status()["links"] as? [String] == ["cont0"])
            #expect(try await container("two.blocked.example").answer == [Internet.escapedV4])
            try write(world, "[capture]\nlinks = [\"eth0\"]\nserve = [\"br0\"]\n")
            try await world.webtun.must(["reload"])
            #expect(try await container("three.blocked.example").answer == ["0.0.0.0"])
            let status = try await world.webtun.status()
            #expect(status["links"] as? [String] == ["eth0"] && status["serve"] as? [String] == ["br0"])
            let logged = try await eventually(within: 4) {
                let rows = try await world.webtun.sql(
                    "SELECT client, link FROM queries WHERE qname = 'three.blocked.example'")
                return rows.first?["client"] as? String == "10.77.2.2" && rows.first?["link"] as? String == "br0"
            }
            #expect(logged)
        }
    }

    @Test func keysForTheNextStartAreNamedAndStay() async throws {
        try await World.with(configuration: Self.first) { (world: World) async throws in
            let more = """
                listener_port = 53536
                [tunnel]
                mtu = 1400
                [log]
                enabled = false
                max_age = "30d"
                """
            try write(world, Self.first + more)
            let output = try await world.webtun.must(["reload"])
            #expect(
                output.lines == [
                    "reloaded", "tunnel.mtu takes effect at the next start",
                    "dns.listener_port takes effect at the next start", "log.enabled takes effect at the next start",
                ])
            #expect(try await world.machine.must(["cat", "/sys/class/net/webtun0/mtu"]).text == "1500\n")
            // Told again until it is so, or the file is as before.
            #expect(try await world.webtun.must(["reload"]).lines.count == 4)
            #expect(try await world.ask("x.blocked.example", tcp: true).answer == ["0.0.0.0"])
        }
    }

    @Test func aFileWithMistakesChangesNothing() async throws {
        try await World.with(configuration: Self.first) { (world: World) async throws in
            try write(world, "[dns]\nblocking_mode = \"nodata\"\nblocking_tl = 7\n")
            let output = try await world.webtun(["reload"])
            #expect(output.status == 1)
            #expect(output.errors.contains("webtun-machine.toml:3: dns.blocking_tl: unknown key"), "\(output.errors)")
            #expect(try await world.ask("x.blocked.example").answer == ["0.0.0.0"])
            world.daemon.signal(SIGHUP)
            try await world.daemon.waitFor("the configuration in force stays", within: 5)
            #expect(try await world.ask("x.blocked.example").answer == ["0.0.0.0"])
            // SIGHUP does what `reload` does.
            try write(world, "[dns]\nblocking_mode = \"nodata\"\n")
            world.daemon.signal(SIGHUP)
            let followed = try await eventually(within: 3) {
                let reply = try await world.ask("x.blocked.example")
                return reply.rcode == "NOERROR" && reply.answer.isEmpty
            }
            #expect(followed)
        }
    }
}
