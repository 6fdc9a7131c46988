import Foundation
import Testing

/// The ways around the filter, tried with dig through an unbound that knows them all, and with curl in full mode.
@Suite(.serialized) struct BypassTests {
    static let unbound = "203.0.113.54"

    /// A recursive server with data of its own, as a client would find it.
    private static func startUnbound(_ net: Internet) async throws {
        let lab = net.lab
        try await net.internet.ip("addr add \(unbound)/32 dev lo")
        let records = [
            "use-application-dns.net. 300 IN A 203.0.113.80", "mask.icloud.com. 300 IN A 203.0.113.80",
            "mask-h2.icloud.com. 300 IN A 203.0.113.80", "dns.google. 300 IN A 203.0.113.80",
            "www.google.com. 300 IN A 203.0.113.80",
            "_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn=\"h2\" ipv4hint=203.0.113.80",
            "plain.example. 300 IN HTTPS 1 . alpn=\"h2\" ipv4hint=203.0.113.80 ech=AAEC ipv6hint=2001:db8::80",
            "svc.example. 300 IN HTTPS 1 cdn.blocked.example. alpn=\"h2\" ipv4hint=203.0.113.80 ech=AAEC",
            "video.example. 300 IN HTTPS 1 . alpn=\"h2\" ipv4hint=203.0.113.80 ech=AAEC ipv6hint=2001:db8::80",
            "later.example. 300 IN HTTPS 1 . alpn=\"h2\" ipv4hint=203.0.113.80 ech=AAEC",
        ]
        let configuration = """
            server:
              interface: \(unbound)
              access-control: 0.0.0.0/0 allow
              username: ""
              chroot: ""
              directory: "\(lab.folder)"
              pidfile: "\(lab.path("unbound.pid"))"
              use-syslog: no
              module-config: "iterator"
              do-not-query-localhost: no
              local-zone: "example." static
              local-zone: "arpa." static
              local-zone: "net." static
              local-zone: "com." static
              local-zone: "google." static
            \(records.map { "  local-data: '\($0)'" }.joined(separator: "\n"))

            """
        try lab.write(configuration, to: "unbound.conf")
        let service = try await net.internet.start(
            ["unbound", "-d", "-p", "-c", lab.path("unbound.conf")], log: "unbound")
        let isUp = try await eventually(within: 10) {
            guard service.status == nil else { return true }
            return try await Probe.ask(net.internet, server: unbound, "dns.google", timeout: 200).rcode == "NOERROR"
        }
        guard isUp, service.status == nil else { throw LabError("unbound does not answer: \(service.errors)") }
    }

    /// What dig prints of an answer: status, and the answer section with its data.
    private func dig(_ world: World, _ name: String, _ type: String, _ options: String...) async throws -> String {
        let output = try await world.machine.must(
            ["dig", "+noall", "+comments", "+answer", "+tries=1", "+time=3", "@\(Internet.resolverV4)", name, type]
                + options)
        return output.text
    }

    private static func resolvers() -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path + "/blocklists/resolvers.bypass"
    }

    @Test(arguments: ["null", "custom"]) func signalsAndResolversByName(mode: String) async throws {
        let addresses = mode == "custom" ? "blocking_addresses = [\"192.0.2.99\"]\n" : ""
        try await World.with(
            configuration: "[dns]\nblocking_mode = \"\(mode)\"\n\(addresses)", upstreams: [BypassTests.unbound],
            prepare: { net, _ in try await BypassTests.startUnbound(net) }
        ) { (world: World) async throws in
            let blocked = mode == "custom" ? "192.0.2.99" : "0.0.0.0"
            let names = ["use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com", "dns.google"]
            for name in names {
                #expect(try await dig(world, name, "A").contains("203.0.113.80"), "off: \(name)")
            }
            #expect(try await dig(world, "_dns.resolver.arpa", "SVCB").contains("dns.example."))
            try await world.webtun.must(["bypass", "on", "--resolvers", BypassTests.resolvers()])
            let isFollowed = try await eventually(within: 2, every: 50) {
                try await dig(world, "dns.google", "A").contains(blocked)
            }
            #expect(isFollowed, "within a second or so, although the answers were in the cache")
            for name in names.dropLast() {
                for options in [[], ["+tcp"]] {
                    let answer = try await dig(world, name, "A", options.first ?? "+notcp")
                    #expect(answer.contains("status: NXDOMAIN") && !answer.contains("203.0.113.80"), "\(answer)")
                }
                #expect(try await dig(world, name, "AAAA").contains("status: NXDOMAIN"))
            }
            let discovery = try await dig(world, "_dns.resolver.arpa", "SVCB")
            #expect(discovery.contains("status: NOERROR") && discovery.contains("ANSWER: 0"), "\(discovery)")
            #expect(try await dig(world, "x.dns.google", "A").contains(blocked))
            #expect(try await dig(world, "www.google.com", "A").contains("203.0.113.80"))
            // The log says why, and the report counts it.
            let isLogged = try await eventually(within: 3, every: 100) {
                try await world.webtun.sql(
                    "SELECT 1 FROM queries WHERE reason = 'bypass' AND verdict = 'block' AND qname = 'mask.icloud.com'"
                ).count >= 2
            }
            #expect(isLogged)
            let report = try Webtun.object(try await world.webtun.must(["bypass", "report", "--json"]).text)
            #expect(report["bypass"] as? String == "on" && report["mode"] as? String == "dns")
            #expect("\(report["attempts"] ?? "")".contains("mask.icloud.com"))
            // An exception of the user's own, and off again.
            try await world.webtun.must(["allow", "dns.google"])
            try await Task.sleep(for: .milliseconds(1100))
            #expect(try await dig(world, "dns.google", "A").contains("203.0.113.80"))
            try await world.webtun.must(["bypass", "off"])
            try await Task.sleep(for: .milliseconds(1100))
            #expect(try await dig(world, "use-application-dns.net", "A").contains("203.0.113.80"))
        }
    }

    @Test func hintsAndKeysOfHiddenNames() async throws {
        try await World.with(
            upstreams: [BypassTests.unbound],
            prepare: { net, webtun in
                try await BypassTests.startUnbound(net)
                try await webtun.must(["bypass", "on", "--resolvers", BypassTests.resolvers()])
                try await webtun.must(["flow", "deny", "video.example"])
            }
        ) { (world: World) async throws in
            for _ in 0..<2 {  // the second answers come from the cache
                for options in ["+notcp", "+tcp"] {
                    let plain = try await dig(world, "plain.example", "HTTPS", options)
                    for part in ["alpn=\"h2\"", "ipv4hint=203.0.113.80", "ech=AAEC", "ipv6hint=2001:db8::80"] {
                        #expect(plain.contains(part), "\(plain)")
                    }
                    for (name, target) in [("svc.example", "1 cdn.blocked.example. "), ("video.example", "1 . ")] {
                        let answer = try await dig(world, name, "HTTPS", options)
                        #expect(answer.contains("\(target)alpn=\"h2\""), "\(answer)")
                        #expect(!answer.contains("hint") && !answer.contains("ech"), "\(answer)")
                    }
                }
            }
            let blocked = try await dig(world, "cdn.blocked.example", "HTTPS")
            #expect(blocked.contains("status: NOERROR") && blocked.contains("ANSWER: 0"), "\(blocked)")
            // An answer in the cache is made anew when the policy changes.
            #expect(try await dig(world, "later.example", "HTTPS").contains("ech=AAEC"))
            try await world.webtun.must(["flow", "deny", "later.example"])
            let isFollowed = try await eventually(within: 2, every: 50) {
                try await !dig(world, "later.example", "HTTPS").contains("ech")
            }
            #expect(isFollowed)
        }
    }

    @Test func flowsToResolversAreCut() async throws {
        try await FlowTests.with { world, _ in
            let (machine, webtun) = (world.machine, world.webtun)
            let data = try world.net.lab.write(
                """
                operator Protocols https://www.rfc-editor.org/rfc/rfc9250
                port tcp/853 udp/853
                operator Other https://resolver.example/
                addresses \(FlowTests.other4)
                names doh.allowed.example

                """, to: "lab.bypass")
            _ = try await world.net.internet.start(
                ["python3", "-m", "http.server", "853", "--bind", FlowTests.web4], log: "dot")
            let tls = "http://\(FlowTests.web4):853/"
            let isUp = try await eventually(within: 10, every: 100) {
                try await FlowTests.curl(machine, tls, options: ["-o", "/dev/null"]).isFine
            }
            #expect(isUp, "port 853 is open while the switch is off")
            #expect(try await FlowTests.curl(machine, "https://\(FlowTests.other4)/").isFine)
            try await webtun.must(["bypass", "on", "--resolvers", data])
            let isCut = try await eventually(within: 3, every: 100) {
                try await FlowTests.curl(machine, tls).status == 7
            }
            #expect(isCut, "refused at once")
            #expect(try await FlowTests.curl(machine, "https://\(FlowTests.other4)/").status == 7)
            #expect(try await FlowTests.curl(machine, "http://\(FlowTests.other4)/").isFine, "port 80 is no resolver's")
            // A datagram as of QUIC: the next call on the socket tells.
            let datagram = try await machine.run([
                "bash", "-c", "exec 3>/dev/udp/\(FlowTests.other4)/443; echo x >&3; sleep 0.3; echo y >&3",
            ])
            #expect(!datagram.isFine, "\(datagram)")
            // The name in the ClientHello, at an address that is no resolver's.
            let named = try await FlowTests.curl(machine, "https://doh.allowed.example/", at: FlowTests.web4)
            #expect(named.isFine, "a rule of the user allows allowed.example: \(named)")
            try await webtun.must(["rule", "rm", "allowed.example"])
            let isNamed = try await eventually(within: 3, every: 100) {
                try await FlowTests.curl(machine, "https://doh.allowed.example/", at: FlowTests.web4).status == 35
            }
            #expect(isNamed)
            let row = try await FlowTests.row(world, "reason = 'bypass' AND verdict = 'drop' AND port = 853")
            #expect(row?["remote"] as? String == FlowTests.web4, "\(row ?? [:])")
            let report = try Webtun.object(try await webtun.must(["bypass", "report", "--json"]).text)
            #expect(report["mode"] as? String == "full")
            #expect("\(report["attempts"] ?? "")".contains("\(FlowTests.web4) port 853"), "\(report)")
            // A flow rule is an exception.
            try await webtun.must(["flow", "allow", FlowTests.other4, "--port", "443"])
            let isAllowed = try await eventually(within: 3, every: 100) {
                try await FlowTests.curl(machine, "https://\(FlowTests.other4)/").isFine
            }
            #expect(isAllowed)
        }
    }
}
