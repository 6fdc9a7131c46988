import Foundation
import Testing

/// A running webtun follows changes of lists and rules within a second, and no query is lost meanwhile.
@Suite(.serialized) struct LivePolicyTests {
    @Test func rulesAndListsAreFollowedUnderLoad() async throws {
        try await World.with { (world: World) async throws in
            let loop = try await Probe.loop(
                world.machine, server: Internet.resolverV4, "later.allowed.example", every: 1, milliseconds: 9000,
                log: "policy", options: ["--unique"])
            // What else the machine asks meanwhile.
            let other = try await Probe.loop(
                world.machine, server: Internet.resolverV4, "other.blocked.example", every: 1, milliseconds: 9000,
                log: "other", options: ["--unique"])
            var expected = [[Internet.forwardedV4]]
            var times: [Int] = []

            func change(_ answer: [String], _ arguments: [String]) async throws {
                try await Task.sleep(for: .milliseconds(300))
                try await world.webtun.must(arguments)
                let done = monotonicMicroseconds()
                expected.append(answer)
                let followed = await eventually(within: 3) { loop.changes.count >= expected.count }
                #expect(followed, "not followed: \(arguments)")
                if let last = loop.changes.last { times.append(last.sent - done) }
            }

            // The longer name wins over the rule that allows allowed.example.
            try await change(["0.0.0.0"], ["deny", "--suffix", "later.allowed.example"])
            // At the same length allow wins.
            try await change([Internet.forwardedV4], ["allow", "--suffix", "later.allowed.example"])
            #expect(times.allSatisfy { $0 < 1_000_000 }, "followed after \(times) µs")
            let tally = try await loop.finish(within: 30)
            #expect(loop.changes.map(\.reply.answer) == expected, "\(loop.changes)")
            #expect(tally.integer("lost") == 0, "\(tally)")
            let others = try await other.finish(within: 30)
            #expect(others.integer("lost") == 0, "\(others)")
            #expect(other.changes.map(\.reply.answer) == [["0.0.0.0"]], "\(other.changes)")
        }
    }

    @Test func aListThatComesAndGoesIsFollowedUnderLoad() async throws {
        try await World.with { (world: World) async throws in
            let names = (0..<20_000).map { "0.0.0.0 name\($0).listed.example" } + ["0.0.0.0 watched.listed.example"]
            let file = try world.net.lab.write(names.joined(separator: "\n") + "\n", to: "big.hosts")
            let loop = try await Probe.loop(
                world.machine, server: Internet.resolverV4, "watched.listed.example", every: 1, milliseconds: 14_000,
                log: "list", options: ["--unique"])
            func follows(_ count: Int, _ arguments: [String]) async throws -> Int {
                try await world.webtun.must(arguments)
                let done = monotonicMicroseconds()
                let followed = await eventually(within: 5) { loop.changes.count >= count }
                #expect(followed, "not followed: \(arguments)")
                return (loop.changes.last?.sent ?? .max) - done
            }
            try await Task.sleep(for: .milliseconds(300))
            let added = try await follows(2, ["list", "add", file, "--name", "big", "--format", "hosts"])
            #expect(added < 1_000_000, "followed after \(added) µs")
            let disabled = try await follows(3, ["list", "disable", "big"])
            #expect(disabled < 1_000_000, "followed after \(disabled) µs")
            let enabled = try await follows(4, ["list", "enable", "big"])
            #expect(enabled < 1_000_000, "followed after \(enabled) µs")
            let removed = try await follows(5, ["list", "rm", "big"])
            #expect(removed < 1_000_000, "followed after \(removed) µs")
            let tally = try await loop.finish(within: 30)
            #expect(tally.integer("lost") == 0, "\(tally)")
            #expect(
                loop.changes.map(\.reply.rcode) == ["NXDOMAIN", "NOERROR", "NXDOMAIN", "NOERROR", "NXDOMAIN"],
                "\(loop.changes)")
        }
    }

    @Test func whyAndTheAnswerAgree() async throws {
        try await World.with { (world: World) async throws in
            let file = try world.net.lab.write(
                "# a list\n0.0.0.0 one.listed.example\n0.0.0.0 two.listed.example\n", to: "small.hosts")
            try await world.webtun.must(["list", "add", file, "--name", "small", "--format", "hosts"])
            let blocked = try await world.webtun(["why", "--json", "a.two.listed.example"])
            #expect(blocked.status == 3)
            let why = try Webtun.object(blocked.text)
            #expect(why["verdict"] as? String == "block")
            #expect(why["list"] as? String == "small")
            #expect(why["line"] as? Int == 3)
            let allowed = try await world.webtun(["why", "--json", "x.allowed.example"])
            #expect(allowed.status == 0)
            #expect(try Webtun.object(allowed.text)["verdict"] as? String == "allow")
            let other = try await world.webtun(["why", "--json", "nothing.example"])
            #expect(other.status == 0)
            #expect(try Webtun.object(other.text)["verdict"] as? String == "forward")
            for (name, blocked) in [
                ("TWO.Listed.Example", true), ("two.listed.example", true), ("three.listed.example", false),
            ] {
                let followed = try await eventually(within: 1.5) {
                    (try await world.ask(name).answer == ["0.0.0.0"]) == blocked
                }
                #expect(followed, "\(name)")
            }
        }
    }

    @Test func commandsWorkWithoutADaemonToo() async throws {
        try await Lab.with { lab in
            let host = try await lab.host("alone")
            let webtun = try await Webtun.prepare(on: host)
            #expect(try await webtun(["why", "x.blocked.example"]).status == 3)
            #expect(try await webtun(["why", "x.allowed.example"]).status == 0)
            let rules = try await webtun.must(["rule", "ls", "--json"]).lines
            #expect(rules.count == 2, "\(rules)")
            let bad = try lab.write("0.0.0.0 fine.example\n0.0.0.0 b@d!.example\n", to: "bad.hosts")
            let output = try await webtun(["list", "add", bad, "--format", "hosts", "--name", "bad"])
            #expect(
                (output.text + output.errors).contains("2"), "the refused line is named: \(output.text)\(output.errors)"
            )
            #expect(try await webtun(["why", "fine.example"]).status == 3)
            let missing = try await webtun(["list", "add", lab.path("nowhere.txt")])
            #expect(missing.status == 1)
            #expect(missing.errors.contains("nowhere.txt"))
            #expect(try await webtun(["list", "rm", "no-such-list"]).status == 1)
            #expect([2, 64].contains(try await webtun(["deny"]).status))
            #expect([2, 64].contains(try await webtun(["no-such-command"]).status))
        }
    }
}
