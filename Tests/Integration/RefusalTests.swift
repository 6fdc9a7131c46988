import Foundation
import Testing

/// What cannot work is refused with a sentence that says why and what to do, and changes nothing.
@Suite(.serialized) struct RefusalTests {
    private func refused(
        _ host: Host, _ arguments: [String], status: ClosedRange<Int32> = 1...1, says words: [String]
    ) async throws {
        let before = try await host.networkState()
        let output = try await host.run(arguments, environment: ["NO_COLOR": "1"], seconds: 20)
        #expect(status.contains(output.status), "status \(output.status): \(output.errors)")
        for word in words { #expect(output.errors.contains(word), "no \"\(word)\" in: \(output.errors)") }
        #expect(!output.text.contains("webtun: filtering"))
        #expect(!output.errors.contains("Fatal error"), "\(output.errors)")
        #expect(try await host.networkState() == before)
    }

    private func withMachine(_ body: (Internet, Webtun) async throws -> Void) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            try await body(net, try await Webtun.prepare(on: net.machine))
        }
    }

    @Test func noTUNDevice() async throws {
        try await withMachine { net, webtun in
            let run = try webtun.arguments(capture: "link")
            try await refused(
                net.machine,
                ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/net && exec \"$@\"", "sh"] + run,
                says: ["/dev/net/tun"])
        }
    }

    @Test func noRights() async throws {
        try await withMachine { net, webtun in
            // A program in a folder that nobody else may enter could not even be started.
            let program = net.lab.path("webtun-copy")
            try await must(["cp", Paths.webtun, program])
            try await must(["chmod", "755", net.lab.folder, program])
            try await must(["chown", "-R", "nobody", webtun.state])
            var run = try webtun.arguments(capture: "link")
            run[0] = program
            try await refused(
                net.machine,
                ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all"] + run,
                says: ["root"])
        }
    }

    @Test func theRoutingTableIsInUse() async throws {
        try await withMachine { net, webtun in
            try await net.machine.ip("route add 192.0.2.128/25 dev eth0 table 7774")
            try await refused(net.machine, try webtun.arguments(capture: "route"), says: ["7774"])
        }
    }

    @Test func theListenersPortIsInUse() async throws {
        try await withMachine { net, webtun in
            let zone = ["example": Internet.zone(a: "192.0.2.1", aaaa: "2001:db8::1")]
            _ = try await NameServer.start(
                on: net.machine, name: "squatter", addresses: ["0.0.0.0"], port: 53535, zones: zone)
            try await refused(net.machine, try webtun.arguments(capture: "link"), says: ["53535"])
        }
    }

    @Test func anUnknownKeyNamesItsLine() async throws {
        try await withMachine { net, webtun in
            var webtun = webtun
            webtun.configuration = "[dns]\nblocking_mode = \"null\"\nblokcing_ttl = 5\n"
            try await refused(net.machine, try webtun.arguments(capture: "link"), says: ["blokcing_ttl", "3"])
            webtun.configuration = "[dns]\nblocking_ttl = \"soon\"\n"
            try await refused(net.machine, try webtun.arguments(capture: "link"), says: ["blocking_ttl", "2"])
            webtun.configuration = "[dns\n"
            try await refused(net.machine, try webtun.arguments(capture: "link"), says: ["1"])
        }
    }

    @Test func wrongArguments() async throws {
        try await withMachine { net, webtun in
            let program = [Paths.webtun, "run", "--state", webtun.state]
            try await refused(net.machine, program + ["--capture", "magic"], status: 2...64, says: ["magic"])
            try await refused(
                net.machine, program + ["--link", "eth0", "--upstream", "not-an-address"], status: 1...64,
                says: ["not-an-address"])
            try await refused(net.machine, program + ["--no-such-option"], status: 2...64, says: ["no-such-option"])
            // Asking itself would loop.
            try await refused(
                net.machine, program + ["--link", "eth0", "--upstream", "10.1.0.1"], status: 1...64, says: ["10.1.0.1"])
        }
    }

    /// A resolver on the machine itself asks through webtun, and webtun would have nobody to ask.
    @Test func onlyAStubAndNobodyBehindIt() async throws {
        try await withMachine { net, webtun in
            var webtun = webtun
            webtun.upstreams = []
            try net.machine.resolvConf("nameserver 127.0.0.1\nnameserver \(Internet.machineV4)\n")
            try await refused(
                net.machine, try webtun.arguments(capture: "link"),
                says: ["127.0.0.1, 192.0.2.10 in /etc/resolv.conf", "--upstream"])
            // No server at all may mean that the network comes up later.
            try net.machine.resolvConf("# nothing yet\n")
            let daemon = try await webtun.start()
            #expect(try await webtun.status()["problems"] as? [String] != [])
            try net.machine.resolvConf("nameserver \(Internet.upstreamV4)\n")
            let found = try await eventually(within: 4) {
                try await Probe.ask(net.machine, server: Internet.resolverV4, "late.allowed.example", timeout: 300)
                    .answer == [Internet.forwardedV4]
            }
            #expect(found, "\(daemon.errors)")
        }
    }

    @Test func aStateDirectoryThatCannotBeUsed() async throws {
        try await withMachine { net, webtun in
            let file = try net.lab.write("", to: "a-file")
            try await refused(
                net.machine,
                [Paths.webtun, "run", "--state", file + "/sub", "--link", "eth0", "--upstream", Internet.upstreamV4],
                says: ["a-file"])
            try net.lab.write(
                "this is no database, this is no database, this is no database", to: "state-machine-webtun/blocklist.db"
            )
            try? FileManager.default.removeItem(atPath: webtun.state + "/blocklist.db-wal")
            try? FileManager.default.removeItem(atPath: webtun.state + "/blocklist.db-shm")
            try? FileManager.default.removeItem(atPath: webtun.state + "/blocklist.index")
            try await refused(net.machine, try webtun.arguments(capture: "link"), says: ["blocklist.db"])
        }
    }

    @Test func theDryRunPrintsThePlanAndDoesNothing() async throws {
        try await withMachine { net, webtun in
            let before = try await net.machine.networkState()
            for capture in ["link", "route"] {
                let output = try await net.machine.run(try webtun.arguments(capture: capture, extra: ["--dry-run"]))
                #expect(output.isFine, "\(output.errors)")
                #expect(output.text.contains("webtun0"), "\(output.text)")
                if capture == "route" { #expect(output.text.contains("7774"), "\(output.text)") }
                #expect(!output.text.contains("webtun: filtering"))
            }
            #expect(try await net.machine.networkState() == before)
            let reply = try await Probe.ask(net.machine, server: Internet.resolverV4, "dry.blocked.example")
            #expect(reply.answer == [Internet.escapedV4])
        }
    }
}
