import Foundation
import Testing

/// Local records, forwarding and safe search with real servers and real clients.
@Suite(.serialized) struct LocalDataTests {
    private func dig(_ world: World, _ arguments: [String]) async throws -> [String] {
        try await world.machine.must(["dig", "+short", "+tries=1", "@\(Internet.resolverV4)"] + arguments).lines
    }

    /// Waits until a change is followed; that must be within a second.
    private func follows(
        _ world: World, _ name: String, _ answer: [String], after arguments: [String]
    ) async throws {
        try await world.webtun.must(arguments)
        let done = monotonicMicroseconds()
        let followed = try await eventually(within: 3) {
            try await world.ask(name).answer == answer
        }
        let last = try await world.ask(name)
        #expect(followed, "\(arguments) not followed: \(last)")
        #expect(monotonicMicroseconds() - done < 1_200_000, "\(arguments)")
    }

    @Test(arguments: ["link", "route"])
    func recordsAnswerDigAndGlibc(capture: String) async throws {
        try await World.with(
            capture: capture,
            prepare: { net, webtun in
                try net.machine.resolvConf("nameserver \(Internet.resolverV4)\noptions timeout:2 attempts:2\n")
                try await webtun.must(["record", "add", "nas.lan", "192.0.2.99", "2001:db8::99", "--ptr"])
                try await webtun.must(["record", "add", "*.lab.blocked.example", "192.0.2.20"])
                try await webtun.must(["record", "add", "www.lan", "CNAME", "web.allowed.example"])
                try await webtun.must(["record", "add", "lan", "MX", "10", "mail.lan"])
                try await webtun.must(["record", "add", "a.loop.lan", "CNAME", "b.loop.lan"])
                try await webtun.must(["record", "add", "b.loop.lan", "CNAME", "a.loop.lan"])
                let many = (1...120).map { "192.0.2.\($0)" }
                try await webtun.must(["record", "add", "many.lan"] + many)
            }
        ) { (world: World) async throws in
            for tcp in ["+notcp", "+tcp"] {
                #expect(try await dig(world, [tcp, "NAS.lan"]) == ["192.0.2.99"])
                #expect(try await dig(world, [tcp, "nas.lan", "AAAA"]) == ["2001:db8::99"])
                #expect(try await dig(world, [tcp, "nas.lan", "TXT"]).isEmpty)
                #expect(try await dig(world, [tcp, "-x", "192.0.2.99"]) == ["nas.lan."])
                #expect(try await dig(world, [tcp, "-x", "2001:db8::99"]) == ["nas.lan."])
                #expect(try await dig(world, [tcp, "x.lab.blocked.example"]) == ["192.0.2.20"], "before the policy")
                #expect(try await dig(world, [tcp, "lan", "MX"]) == ["10 mail.lan."])
                #expect(
                    try await dig(world, [tcp, "www.lan"]) == ["web.allowed.example.", Internet.forwardedV4],
                    "the target comes from upstream")
                #expect(
                    try await dig(world, [tcp, "www.lan", "AAAA"]) == ["web.allowed.example.", Internet.forwardedV6])
            }
            #expect(try await dig(world, ["many.lan"]).count == 120, "cut over UDP, whole over TCP")
            let whole = try await world.machine.must(["dig", "@\(Internet.resolverV4)", "nas.lan"]).text
            #expect(whole.contains("flags: qr aa rd ra"), "\(whole)")
            #expect(try await world.ask("a.loop.lan").rcode == "SERVFAIL")
            // glibc: one name, both families; a name by its alias; a name by its address.
            let both = try await world.machine.must(["getent", "ahosts", "nas.lan"])
            #expect(both.text.contains("192.0.2.99") && both.text.contains("2001:db8::99"), "\(both.text)")
            let alias = try await world.machine.must(["getent", "ahostsv4", "www.lan"])
            #expect(alias.text.contains("\(Internet.forwardedV4)") && alias.text.contains("web.allowed.example"))
            let back = try await world.machine.must(["getent", "hosts", "192.0.2.99"])
            #expect(back.text.contains("nas.lan"), "\(back.text)")
            #expect(!world.net.capture.holds(name: "nas.lan") && !world.net.capture.holds(name: "www.lan"))
            // A running webtun follows.
            try await follows(world, "new.lan", ["192.0.2.77"], after: ["record", "add", "new.lan", "192.0.2.77"])
            try await follows(world, "nas.lan", [], after: ["record", "rm", "nas.lan"])
            let rows = try await world.webtun.sql(
                "SELECT DISTINCT reason, verdict FROM queries WHERE qname = 'x.lab.blocked.example'")
            let seen = await eventually(within: 4) {
                ((try? await world.webtun.sql(
                    "SELECT reason FROM queries WHERE qname = 'www.lan' AND qtype = 'A' AND reason = 'record'")) ?? [])
                    .isEmpty == false
            }
            #expect(seen)
            #expect(rows.allSatisfy { $0["reason"] as? String == "record" && $0["verdict"] as? String != "block" })
        }
    }

    /// The company's servers: unbound and knot, each with a story of its own, at addresses behind the machine's link.
    private static let corp = ["203.0.113.101", "203.0.113.102"]

    private static func zone(_ origin: String, _ address: String) -> String {
        """
        $ORIGIN \(origin).
        @ 300 IN SOA ns admin 1 3600 600 86400 60
        @ 300 IN NS ns
        ns 300 IN A \(address)
        * 300 IN A \(address)
        blocked 300 IN A \(address)

        """
    }

    private func startUnbound(_ host: Host) async throws {
        let file = try host.lab.write(
            """
            server:
              directory: "\(host.lab.folder)"
              chroot: ""
              username: ""
              pidfile: ""
              do-daemonize: no
              use-syslog: no
              interface: \(Self.corp[0])
              access-control: 0.0.0.0/0 allow
              module-config: "iterator"
              local-zone: "corp.example." redirect
              local-data: "corp.example. 300 A 198.51.100.101"
              local-zone: "113.0.203.in-addr.arpa." static
              local-data: "101.113.0.203.in-addr.arpa. 300 PTR intern.corp.example."
            remote-control:
              control-enable: no

            """, to: "unbound.conf")
        _ = try await host.start(["unbound", "-d", "-c", file], log: "unbound")
    }

    private func startKnot(_ host: Host) async throws {
        try host.lab.write(Self.zone("corp.example", "198.51.100.102"), to: "corp.example.zone")
        let file = try host.lab.write(
            """
            server:
                rundir: "\(host.lab.path("knot-run"))"
                listen: \(Self.corp[1])@5353
            log:
              - target: stderr
                any: warning
            database:
                storage: "\(host.lab.path("knot-db"))"
            zone:
              - domain: corp.example
                storage: "\(host.lab.folder)"
                file: corp.example.zone

            """, to: "knot.conf")
        try FileManager.default.createDirectory(atPath: host.lab.path("knot-run"), withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: host.lab.path("knot-db"), withIntermediateDirectories: true)
        _ = try await host.start(["knotd", "-c", file], log: "knot")
    }

    @Test func zonesGoToTheirServersAndNowhereElse() async throws {
        try await World.with(
            prepare: { net, webtun in
                try await net.internet.ip(
                    "addr add \(Self.corp[0])/32 dev lo\naddr add \(Self.corp[1])/32 dev lo")
                try await startUnbound(net.internet)
                try await startKnot(net.internet)
                for (server, port) in [(Self.corp[0], 53), (Self.corp[1], 5353)] {
                    let up = try await eventually(within: 10) {
                        try await Probe.ask(
                            net.internet, server: server, port: port, "up.corp.example", timeout: 200
                        ).rcode == "NOERROR"
                    }
                    #expect(up, "\(server)")
                }
                try await webtun.must(["forward", "add", "corp.example", Self.corp[0]])
                try await webtun.must(["forward", "add", "203.0.113.0/24", Self.corp[0]])
                try await webtun.must(["forward", "add", "lan.example", "never"])
                try await webtun.must(["deny", "blocked.corp.example"])
            }
        ) { (world: World) async throws in
            #expect(try await world.ask("www.corp.example").answer == ["198.51.100.101"])
            #expect(try await world.ask("www.corp.example", tcp: true).answer == ["198.51.100.101"])
            #expect(try await world.ask("101.113.0.203.in-addr.arpa", "PTR").answer == ["intern.corp.example"])
            #expect(try await world.ask("web.allowed.example").answer == [Internet.forwardedV4], "the usual way")
            #expect(try await world.ask("blocked.corp.example").answer == ["0.0.0.0"], "judged like any name")
            #expect(try await world.ask("nas.lan.example").rcode == "NXDOMAIN")
            // Another server answers from now on, the cached answer is not given any more.
            try await follows(
                world, "www.corp.example", ["198.51.100.102"],
                after: ["forward", "add", "corp.example", "\(Self.corp[1]):5353"])
            let logged = await eventually(within: 4) {
                ((try? await world.webtun.sql(
                    "SELECT DISTINCT upstream FROM queries WHERE qname = 'www.corp.example' AND upstream IS NOT NULL"))
                    ?? []).count >= 2
            }
            #expect(logged, "the log says who answered")
            // Its servers are gone: SERVFAIL, and the name goes nowhere else.
            try await world.webtun.must(["forward", "add", "corp.example", "203.0.113.103"])
            try await world.net.internet.ip("route add unreachable 203.0.113.103/32")
            try await Task.sleep(for: .milliseconds(1200))
            let failed = try await world.ask(
                "secret.corp.example", timeout: 15_000, options: ["--edns", "1232"])
            #expect(failed.rcode == "SERVFAIL", "\(failed)")
            #expect([22, 23].contains(failed.integer("ede")), "\(failed)")
            let output = try await world.net.internet.must(["tcpdump", "-nr", world.net.capture.path, "udp or tcp"])
            let leaks = output.lines.filter {
                $0.lowercased().contains("corp.example")
                    && ($0.contains("> \(Internet.upstreamV4).53") || $0.contains("> \(Internet.resolverV4).53"))
            }
            #expect(leaks.isEmpty, "\(leaks)")
            #expect(!world.net.capture.holds(name: "nas.lan.example"))
            try await follows(
                world, "nas.allowed.example", [Internet.forwardedV4], after: ["forward", "rm", "corp.example"])
        }
    }

    @Test func safeSearchIsEnforced() async throws {
        let engines = """
            engine example https://search.example/help
            target strict safe.allowed.example
            target moderate 192.0.2.50 2001:db8::50
            names www.search.example search.blocked.example

            """
        try await World.with(
            prepare: { net, webtun in
                let file = try net.lab.write(engines, to: "e.safesearch")
                try await webtun.must(["safesearch", "on", "example", "--engines", file])
                try net.machine.resolvConf("nameserver \(Internet.resolverV4)\n")
            }
        ) { (world: World) async throws in
            let safe = ["safe.allowed.example.", Internet.forwardedV4]
            #expect(try await dig(world, ["www.search.example"]) == safe)
            #expect(try await dig(world, ["+tcp", "www.search.example"]) == safe)
            #expect(try await dig(world, ["www.search.example", "AAAA"]) == [safe[0], Internet.forwardedV6])
            let https = try await world.ask("www.search.example", "HTTPS")
            #expect(https.rcode == "NOERROR" && https.answer.isEmpty, "\(https)")
            let libc = try await world.machine.must(["getent", "ahostsv4", "www.search.example"])
            #expect(libc.text.contains(Internet.forwardedV4), "\(libc.text)")
            #expect(
                try await world.ask("search.blocked.example").answer == ["0.0.0.0"], "a rule that blocks comes first")
            #expect(!world.net.capture.holds(name: "www.search.example"))
            try await follows(
                world, "www.search.example", ["192.0.2.50"], after: ["safesearch", "on", "example:moderate"])
            let logged = await eventually(within: 4) {
                ((try? await world.webtun.sql(
                    "SELECT 1 AS one FROM queries WHERE qname = 'www.search.example' AND reason = 'safesearch'")) ?? [])
                    .isEmpty == false
            }
            #expect(logged)
            try await world.webtun.must(["safesearch", "off"])
            let off = try await eventually(within: 3) { try await world.ask("www.search.example").rcode == "NXDOMAIN" }
            #expect(off)
        }
    }
}
