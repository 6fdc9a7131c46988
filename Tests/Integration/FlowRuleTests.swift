import Foundation
import Testing

/// Flow rules for programs and users, and lists of addresses, followed by a webtun that runs in full mode.
@Suite(.serialized) struct FlowRuleTests {
    @Test func programsAndUsers() async throws {
        try await Lab.with { lab in
            let cgroup = try Cgroup()
            let net = try await Internet.open(in: lab)
            try await net.internet.ip("addr add \(FlowTests.web4)/32 dev lo\naddr add \(FlowTests.web6)/128 dev lo")
            _ = try await WebServer.start(on: net.internet, addresses: [FlowTests.web4, FlowTests.web6])
            var webtun = try await Webtun.prepare(on: net.machine)
            webtun.configuration = cgroup.configuration
            let daemon = try await webtun.start(capture: "link", extra: ["--mode", "full"])
            let url = "http://\(FlowTests.web4)/"
            let curl = ["curl", "-sS", "--max-time", "5", url]
            let python = [
                "/usr/bin/python3", "-c",
                "import urllib.request; print(urllib.request.urlopen('\(url)', timeout=5).read().decode())",
            ]
            func get(_ program: [String], uid: Int) async throws -> Bool {
                try await net.machine.run(cgroup.command(program, uid: uid)).isFine
            }
            #expect(try await get(curl, uid: 33))
            #expect(try await get(python, uid: 33))
            try await webtun.must(["flow", "deny", "--app", "curl"])
            try await webtun.must(["flow", "deny", "--user", "34", "--proto", "tcp"])
            let isFollowed = try await eventually(within: 3, every: 50) { try await !get(curl, uid: 33) }
            #expect(isFollowed, "the rule for the program holds")
            #expect(try await get(python, uid: 33), "of another program it does not speak")
            #expect(try await !get(python, uid: 34), "the rule for the user holds")
            let ping = try await net.machine.run(
                cgroup.command(["ping", "-n", "-c", "1", "-W", "2", FlowTests.web4], uid: 34))
            #expect(ping.isFine, "the rule is for TCP: \(ping)")
            // A program's path says more than its name.
            let path = try await must(["sh", "-c", "readlink -f $(command -v curl)"]).lines[0]
            try await webtun.must(["flow", "allow", "--app", path, "--user", "33"])
            let isAllowed = try await eventually(within: 3, every: 50) { try await get(curl, uid: 33) }
            #expect(isAllowed)
            #expect(try await !get(curl, uid: 35))
            var rows: [[String: any Sendable]] = []
            _ = try await eventually(within: 5, every: 100) {
                rows = try await webtun.sql(
                    "SELECT uid, app, rule, reason FROM flows WHERE verdict = 'drop' AND uid = 35")
                return !rows.isEmpty
            }
            #expect(rows.first?["app"] as? String == path, "\(rows)")
            #expect(rows.first?["reason"] as? String == "rule", "\(rows)")
            #expect(daemon.status == nil, "\(daemon.errors.suffix(4000))")
        }
    }

    @Test(arguments: ["link", "route"]) func listsOfAddresses(capture: String) async throws {
        try await FlowTests.with(capture: capture) { world, _ in
            let (machine, webtun) = (world.machine, world.webtun)
            func isReached(_ address: String) async throws -> Bool {
                try await FlowTests.curl(machine, "http://\(address.contains(":") ? "[\(address)]" : address)/").isFine
            }
            for address in [FlowTests.web4, FlowTests.other4, FlowTests.web6] {
                #expect(try await isReached(address), "\(address)")
            }
            // A connection that is alive when its address is listed.
            let slow = try await machine.start(
                ["curl", "-sS", "--max-time", "30", "-o", "/dev/null", "http://\(FlowTests.other4)/slow"], log: "slow")
            try await Task.sleep(for: .milliseconds(500))
            #expect(slow.status == nil)
            let file = try world.net.lab.write(
                "# addresses\n\(FlowTests.other4)\n2001:db8:113::/64\n198.18.0.0/15\n", to: "bad.ip.txt")
            let added = try await webtun.must(["list", "add", file])
            #expect(added.text.contains("(ip): 3 addresses and prefixes"), "\(added.text)")
            let isCut = try await eventually(within: 3, every: 50) { try await !isReached(FlowTests.other4) }
            #expect(isCut)
            #expect(try await !isReached(FlowTests.web6), "by its prefix")
            #expect(try await isReached(FlowTests.web4))
            let status = await slow.waitForEnd(within: 5)
            #expect(status == 56 || status == 18, "the live connection is cut: \(String(describing: status))")
            let row = try await FlowTests.row(world, "remote = '\(FlowTests.other4)' AND verdict = 'drop'")
            #expect(row?["list"] as? String == "bad" && row?["reason"] as? String == "list", "\(row ?? [:])")
            #expect(try await webtun(["why", FlowTests.other4]).status == 3)
            // An allow list repairs it, and so does the removal.
            let good = try world.net.lab.write("\(FlowTests.other4)/32\n", to: "good.ip.txt")
            try await webtun.must(["list", "add", good, "--allow", "--format", "ip"])
            let isRepaired = try await eventually(within: 3, every: 50) { try await isReached(FlowTests.other4) }
            #expect(isRepaired)
            try await webtun.must(["list", "rm", "bad"])
            let isGone = try await eventually(within: 3, every: 50) { try await isReached(FlowTests.web6) }
            #expect(isGone)
        }
    }
}
