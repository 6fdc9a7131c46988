import Foundation
import Testing

/// Full mode with real programs: nginx far away, curl, ping and dig on the machine.
@Suite(.serialized) struct FlowTests {
    static let web4 = Internet.forwardedV4
    static let web6 = Internet.forwardedV6
    static let other4 = "203.0.113.81"

    /// A world in full mode with a web server.
    static func with(
        capture: String = "link", serve: [String] = [], configuration: String = "", extra: [String] = [],
        prepare: (Webtun) async throws -> Void = { _ in }, _ body: (World, WebServer) async throws -> Void
    ) async throws {
        var server: WebServer?
        try await World.with(
            capture: capture, serve: serve, configuration: configuration, extra: ["--mode", "full"] + extra,
            prepare: { net, webtun in
                try net.machine.resolvConf("nameserver \(Internet.resolverV4)\noptions timeout:2 attempts:2\n")
                try await net.internet.ip(
                    """
                    addr add \(web4)/32 dev lo
                    addr add \(other4)/32 dev lo
                    addr add \(web6)/128 dev lo
                    """)
                server = try await WebServer.start(on: net.internet, addresses: [web4, web6, other4])
                try await prepare(webtun)
            }
        ) { (world: World) async throws in
            try await body(world, server!)
        }
    }

    /// Runs curl on the machine; `at`: connects to this address whatever the name.
    static func curl(_ host: Host, _ url: String, at address: String? = nil, options: [String] = []) async throws
        -> Output
    {
        var arguments = ["curl", "-sS", "-k", "--max-time", "10"] + options
        if let address, let components = URLComponents(string: url), let name = components.host {
            let port = components.port ?? (components.scheme == "https" ? 443 : 80)
            arguments += ["--resolve", "\(name):\(port):\(address.contains(":") ? "[\(address)]" : address)"]
        }
        return try await host.run(arguments + [url])
    }

    /// Waits for a row of the log; at most three seconds.
    static func row(_ world: World, _ condition: String) async throws -> [String: any Sendable]? {
        var rows: [[String: any Sendable]] = []
        _ = try await eventually(within: 3, every: 100) {
            rows = try await world.webtun.sql("SELECT * FROM flows WHERE \(condition) ORDER BY id")
            return !rows.isEmpty
        }
        return rows.last
    }

    @Test(arguments: ["link", "route"]) func allowedFlowsPass(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, server in
            for (scheme, address) in [
                ("http", FlowTests.web4), ("https", FlowTests.web4), ("http", FlowTests.web6),
                ("https", FlowTests.web6),
            ] {
                let page = try await FlowTests.curl(world.machine, "\(scheme)://web.allowed.example/", at: address)
                #expect(page.text == "\(address) \(scheme) web.allowed.example\n", "\(page)")
            }
            // By name, which DNS still answers.
            let named = try await FlowTests.curl(world.machine, "http://named.allowed.example/", options: ["-4"])
            #expect(named.text == "\(FlowTests.web4) http named.allowed.example\n", "\(named)")
            #expect(try await world.ask("x.blocked.example").answer == ["0.0.0.0"])
            #expect(try await world.ask("x.blocked.example", tcp: true).answer == ["0.0.0.0"])
            for address in [FlowTests.web4, FlowTests.web6, "10.1.0.2"] {
                let ping = try await world.machine.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", address])
                #expect(ping.isFine, "ping \(address): \(ping)")
            }
            let big = try await world.machine.run([
                "sh", "-c", "curl -sS --max-time 30 http://\(FlowTests.web4)/big | sha256sum",
            ])
            let sum = try await must(["sha256sum", world.net.lab.path("nginx/big")])
            #expect(big.text.prefix(64) == sum.text.prefix(64), "\(big)")
            let counters = try await world.webtun.status()
            #expect((counters["flows_allowed"] as? Int ?? 0) >= 8, "\(counters)")
            #expect(counters["flows_dropped"] as? Int == 0, "\(counters)")
        }
    }

    @Test(arguments: ["link", "route"]) func whatIsAllowedIsCountedWhole(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, _ in
            let big = try await FlowTests.curl(
                world.machine, "http://big.allowed.example/big", at: FlowTests.web4, options: ["-o", "/dev/null"])
            #expect(big.isFine, "\(big)")
            let row = try await FlowTests.row(world, "name = 'big.allowed.example' AND duration_us IS NOT NULL")
            #expect(
                row?["verdict"] as? String == "allow" && row?["remote"] as? String == FlowTests.web4, "\(row ?? [:])")
            #expect(row?["port"] as? Int == 80 && row?["client"] as? String == Internet.machineV4, "\(row ?? [:])")
            #expect(row?["name_source"] as? String == "http", "\(row ?? [:])")
            #expect((row?["bytes"] as? Int ?? 0) > 20_000_000, "\(row ?? [:])")
            // `route` counts a super-packet as one.
            #expect((row?["packets"] as? Int ?? 0) > (capture == "link" ? 10_000 : 300), "\(row ?? [:])")
        }
    }

    @Test(arguments: ["link", "route"]) func forbiddenFlowsAreRefusedAtOnce(capture: String) async throws {
        try await FlowTests.with(
            capture: capture,
            prepare: { webtun in
                try await webtun.must(["flow", "deny", "\(FlowTests.other4)"])
                try await webtun.must(["flow", "deny", "--port", "8080", "--proto", "tcp"])
                try await webtun.must(["flow", "deny", "--name", "forbidden.example"])
            }
        ) { world, server in
            let machine = world.machine
            let start = monotonicMicroseconds()
            // By address, by port: refused.
            for url in [
                "http://\(FlowTests.other4)/", "http://\(FlowTests.web4):8080/", "http://[\(FlowTests.web6)]:8080/",
            ] {
                let refused = try await FlowTests.curl(machine, url)
                #expect(refused.status == 7, "\(url): \(refused)")
            }
            let ping = try await machine.run(["ping", "-n", "-c", "1", "-W", "2", FlowTests.other4])
            #expect(ping.text.contains("filtered"), "\(ping)")
            // A datagram: the next call on the socket tells.
            let datagram = try await machine.run([
                "bash", "-c", "exec 3>/dev/udp/\(FlowTests.other4)/9; echo x >&3; sleep 0.2; echo y >&3",
            ])
            #expect(!datagram.isFine, "\(datagram)")
            // By the name in the ClientHello and in the Host: reset. A name blocked for DNS is blocked here too.
            for name in ["www.forbidden.example", "x.blocked.example"] {
                let tls = try await FlowTests.curl(machine, "https://\(name)/", at: FlowTests.web4)
                #expect(tls.status == 35, "\(tls)")
                let plain = try await FlowTests.curl(machine, "http://\(name)/", at: FlowTests.web4)
                #expect([52, 56].contains(plain.status), "\(plain)")
            }
            #expect(monotonicMicroseconds() - start < 8_000_000, "none of them waited for a timeout")
            #expect(!server.requests.contains { $0.contains("forbidden") || $0.contains("blocked") })
            let fine = try await FlowTests.curl(machine, "https://fine.example/", at: FlowTests.web4)
            #expect(fine.isFine, "\(fine)")
            let row = try await FlowTests.row(world, "name = 'www.forbidden.example' AND verdict = 'drop'")
            #expect(
                row?["name_source"] as? String == "sni" || row?["name_source"] as? String == "http", "\(row ?? [:])")
        }
    }

    @Test func theNameThatDNSToldCounts() async throws {
        try await FlowTests.with(
            prepare: { try await $0.must(["flow", "deny", "--name", "mail.allowed.example"]) }
        ) { world, server in
            let reply = try await world.ask("mail.allowed.example")
            #expect(reply.answer == [FlowTests.web4], "\(reply)")
            let refused = try await FlowTests.curl(world.machine, "http://\(FlowTests.web4):8080/")
            #expect(refused.status == 7, "\(refused)")
            let row = try await FlowTests.row(world, "name = 'mail.allowed.example'")
            #expect(row?["name_source"] as? String == "dns" && row?["verdict"] as? String == "drop", "\(row ?? [:])")
        }
    }

    @Test(arguments: ["link", "route"]) func aChangedPolicyCutsALiveFlow(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, _ in
            let machine = world.machine
            func slow(_ name: String) async throws -> Running {
                try await machine.start(
                    [
                        "curl", "-sS", "--max-time", "30", "--resolve", "\(name):80:\(FlowTests.web4)", "-o",
                        "/dev/null",
                        "http://\(name)/slow",
                    ], log: name)
            }
            let cut = try await slow("later.example")
            let stays = try await slow("other.example")
            try await Task.sleep(for: .milliseconds(700))
            #expect(cut.status == nil && stays.status == nil)
            try await world.webtun.must(["deny", "--suffix", "later.example"])
            let ended = await eventually(within: 3) { cut.status != nil }
            #expect(ended && cut.status == 56, "\(String(describing: cut.status)) \(cut.errors)")
            // The server's end is closed too.
            let closed = try await eventually(within: 2, every: 100) {
                try await world.net.internet.must(["ss", "-Htn", "state", "established", "sport = :80"]).lines.count
                    == 1
            }
            #expect(closed)
            #expect(stays.status == nil)
            // And back.
            try await world.webtun.must(["rule", "rm", "later.example"])
            let again = try await eventually(within: 2, every: 100) {
                try await FlowTests.curl(machine, "http://later.example/", at: FlowTests.web4).isFine
            }
            #expect(again)
        }
    }

    @Test(arguments: ["link", "route"]) func theDefaultCanBeToDeny(capture: String) async throws {
        try await FlowTests.with(
            capture: capture, configuration: "[flows]\ndefault = \"deny\"\n",
            prepare: { try await $0.must(["flow", "allow", "--name", "fine.example"]) }
        ) { world, _ in
            let fine = try await FlowTests.curl(world.machine, "https://fine.example/", at: FlowTests.web4)
            #expect(fine.isFine, "\(fine)")
            let other = try await FlowTests.curl(world.machine, "https://other.example/", at: FlowTests.web4)
            #expect(other.status == 35, "\(other)")
            let ping = try await world.machine.run(["ping", "-n", "-c", "1", "-W", "2", FlowTests.web4])
            #expect(ping.text.contains("filtered"), "\(ping)")
            // DNS has its own rules, and webtun its own way out.
            #expect(try await world.ask("x.allowed.example").answer == [Internet.forwardedV4])
        }
    }

    @Test func silenceAndPrefixes() async throws {
        try await FlowTests.with(
            configuration: """
                [flows]
                default = "deny"
                drop = "silent"
                [tunnel]
                include = ["203.0.113.0/24"]
                exclude = ["\(FlowTests.other4)"]

                """
        ) { world, _ in
            let machine = world.machine
            let silent = try await FlowTests.curl(machine, "http://\(FlowTests.web4)/", options: ["--max-time", "1"])
            #expect(silent.status == 28, "\(silent)")
            // Excluded; not included; of the network that the machine is on.
            for address in [FlowTests.other4, "[\(FlowTests.web6)]"] {
                let page = try await FlowTests.curl(machine, "http://\(address)/")
                #expect(page.isFine, "\(address): \(page)")
            }
            #expect(try await machine.run(["ping", "-n", "-c", "1", "-W", "2", "192.0.2.1"]).isFine)
            // Queries are captured wherever they go.
            #expect(try await world.ask("x.blocked.example").answer == ["0.0.0.0"])
        }
    }

    @Test func packetsArePrinted() async throws {
        try await FlowTests.with(extra: ["--verbose-packets"]) { world, _ in
            #expect(try await world.machine.run(["ping", "-n", "-c", "1", "-W", "2", "10.1.0.2"]).isFine)
            let page = try await FlowTests.curl(world.machine, "http://web.example/", at: FlowTests.web4)
            #expect(page.isFine, "\(page)")
            #expect(try await world.ask("x.blocked.example").answer == ["0.0.0.0"])
            let lines = world.daemon.output.split(separator: "\n")
            let time = #/\d\d:\d\d:\d\d\.\d{6} /#
            #expect(lines.contains { $0.hasSuffix("> 10.1.0.2 type 8 code 0 84 bytes: answered") }, "\(lines)")
            #expect(lines.contains { $0.contains("> \(FlowTests.web4):80 [S] 60 bytes: forwarded") }, "\(lines)")
            #expect(
                lines.contains { $0.contains("> \(FlowTests.web4):80 [PA]") && $0.hasSuffix("allowed") }, "\(lines)")
            #expect(
                lines.contains { $0.contains("> \(Internet.resolverV4):53 ") && $0.hasSuffix("answered") }, "\(lines)")
            #expect(lines.filter { $0.contains(" bytes") }.allSatisfy { $0.prefixMatch(of: time) != nil }, "\(lines)")
        }
    }

    @Test func clientsBehindTheMachineAreJudgedToo() async throws {
        try await FlowTests.with(
            serve: ["br0", "cont0"], prepare: { try await $0.must(["flow", "deny", FlowTests.other4]) }
        ) { world, server in
            for (host, address) in [(world.net.served, "10.77.2.2"), (world.net.masked, "10.77.1.2")] {
                let page = try await FlowTests.curl(host, "https://fine.example/", at: FlowTests.web4)
                #expect(page.isFine, "\(page)")
                let refused = try await FlowTests.curl(host, "http://\(FlowTests.other4)/")
                #expect(refused.status == 7, "\(refused)")
                let ping = try await host.run(["ping", "-n", "-c", "1", "-W", "2", FlowTests.other4])
                #expect(ping.text.contains("filtered"), "\(ping)")
                let blocked = try await FlowTests.curl(host, "http://x.blocked.example/", at: FlowTests.web4)
                #expect([52, 56].contains(blocked.status), "\(blocked)")
                let row = try await FlowTests.row(world, "client = '\(address)' AND name = 'fine.example'")
                #expect(row?["verdict"] as? String == "allow", "\(row ?? [:])")
            }
            #expect(!server.requests.contains { $0.contains("blocked") })
        }
    }

    @Test(arguments: ["link", "route"]) func connectionsSurviveTheEndOfWebtun(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, _ in
            let machine = world.machine
            let slow = try await machine.start(
                ["curl", "-sS", "--max-time", "60", "-o", "/dev/null", "http://\(FlowTests.web4)/slow"], log: "slow")
            try await Task.sleep(for: .milliseconds(500))
            world.daemon.signal(SIGKILL)
            // The kernel takes the programs off with the process; what takes time here is starting curl.
            let back = await eventually(within: 5, every: 20) {
                (try? await FlowTests.curl(
                    machine, "http://x.blocked.example/", at: FlowTests.web4, options: ["--max-time", "2"]
                ).isFine)
                    ?? false
            }
            #expect(back, "the network is back")
            #expect(slow.status == nil, "\(slow.errors)")
            #expect(await eventually(within: 5) { world.daemon.status != nil })
            _ = try await world.webtun.start(capture: capture, extra: ["--mode", "full"], log: "again")
            let blocked = try await FlowTests.curl(machine, "http://x.blocked.example/", at: FlowTests.web4)
            #expect([52, 56].contains(blocked.status), "\(blocked)")
            try await Task.sleep(for: .milliseconds(500))
            #expect(slow.status == nil, "\(slow.errors)")
        }
    }

    /// Queries to a port that is not that of DNS are datagrams like any others; from one port they are one flow.
    @Test(arguments: ["link", "route"]) func datagramsAreJudgedAndCut(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, _ in
            _ = try await NameServer.start(
                on: world.net.internet, name: "beside", addresses: [FlowTests.web4], port: 5300,
                zones: ["example": Internet.zone(a: "192.0.2.5", aaaa: "2001:db8::5")])
            func dig() async throws -> Output {
                try await world.machine.run([
                    "dig", "+tries=1", "+time=3", "+short", "-b", "\(Internet.machineV4)#41000", "@\(FlowTests.web4)",
                    "-p", "5300", "x.allowed.example",
                ])
            }
            for _ in 0..<3 { #expect(try await dig().lines == ["192.0.2.5"]) }
            try await world.webtun.must(["flow", "deny", FlowTests.web4, "--port", "5300", "--proto", "udp"])
            let start = monotonicMicroseconds()
            let cut = try await eventually(within: 2) { try await !dig().isFine }
            #expect(cut)
            #expect(monotonicMicroseconds() - start < 2_900_000, "dig heard of it, and did not wait")
            let row = try await FlowTests.row(world, "port = 5300 AND verdict = 'allow'")
            #expect(row?["proto"] as? String == "udp", "\(row ?? [:])")
            let dropped = try await FlowTests.row(world, "port = 5300 AND verdict = 'drop'")
            #expect(dropped?["rule"] as? String == "\(FlowTests.web4) --port 5300 --proto 17", "\(dropped ?? [:])")
            // All of the allowed flow's packets are counted when it is over: three queries, three answers.
            await world.daemon.stop()
            let over = try await FlowTests.row(world, "port = 5300 AND verdict = 'allow' AND packets >= 6")
            let rows = try await world.webtun.sql("SELECT * FROM flows")
            #expect(over != nil, "\(rows)")
        }
    }

    @Test(arguments: ["link", "route"]) func aPauseLetsFlowsPassAndResumingJudgesThem(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, _ in
            func status() async throws -> Int32 {
                try await FlowTests.curl(world.machine, "http://x.blocked.example/", at: FlowTests.web4).status
            }
            #expect([52, 56].contains(try await status()))
            try await world.webtun.must(["pause"])
            #expect(try await eventually(within: 1) { try await status() == 0 })
            try await world.webtun.must(["resume"])
            #expect(try await eventually(within: 1) { [52, 56].contains(try await status()) })
        }
    }

    /// Every packet passes the TUN, one by one.
    @Test(arguments: ["link", "route"]) func itWorksWithoutFastPathAndOffloads(capture: String) async throws {
        try await FlowTests.with(
            capture: capture,
            configuration: "[tunnel]\noffloads = false\n[flows]\nfast_path = false\ncapacity = 1024\n"
        ) { world, _ in
            let copy = world.net.lab.path("copy")
            let sent = try await world.machine.run([
                "curl", "-sS", "--max-time", "60", "-o", copy, "http://\(FlowTests.web4)/big",
            ])
            #expect(sent.isFine, "\(sent)")
            try await must(["cmp", copy, world.net.lab.path("nginx/big")])
            for number in 0..<20 {
                let page = try await FlowTests.curl(world.machine, "http://n\(number).example/", at: FlowTests.web6)
                #expect(page.isFine, "\(page)")
            }
            let blocked = try await FlowTests.curl(world.machine, "https://x.blocked.example/", at: FlowTests.web6)
            #expect(blocked.status == 35, "\(blocked)")
        }
    }

    @Test(arguments: ["link", "route"]) func aReloadBringsPrefixesAndTheDefaultIntoForce(capture: String) async throws {
        try await FlowTests.with(capture: capture, configuration: "[flows]\ndefault = \"allow\"\n") { world, _ in
            func curl(_ address: String) async throws -> Int32 {
                try await FlowTests.curl(world.machine, "http://\(address)/").status
            }
            #expect(try await curl(FlowTests.web4) == 0)
            func reload(_ text: String) async throws {
                try world.net.lab.write(text, to: "webtun-machine.toml")
                try await world.webtun.must(["reload"])
            }
            try await reload("[flows]\ndefault = \"deny\"\n[tunnel]\nexclude = [\"\(FlowTests.other4)\"]\n")
            // Names matter, so the default comes when there is none: reset.
            #expect(try await eventually(within: 1) { try await curl(FlowTests.web4) == 56 })
            #expect(try await curl(FlowTests.other4) == 0)
            try await reload("[flows]\ndefault = \"allow\"\n")
            #expect(try await eventually(within: 1) { try await curl(FlowTests.web4) == 0 })
            let wrong = try world.net.lab.write("[flows]\ndefault = \"maybe\"\n", to: "webtun-machine.toml")
            let refused = try await world.webtun(["reload"])
            #expect(refused.status == 1 && refused.errors.contains("\(wrong):2: flows.default"), "\(refused)")
            #expect(try await curl(FlowTests.web4) == 0)
        }
    }
}
