import Foundation
import Testing

/// The wall clock is set while webtun runs: by hand, or by NTP after a start with a wrong one.
@Suite(.serialized) struct ClockTests {
    private static let name = "play.allowed.example"

    /// The wall clock of the programs that are given `environment`: the machine's, and so many seconds more.
    private struct WallClock {
        let environment: [String: String]
        private let path: String

        init(_ lab: Lab) async throws {
            path = lab.path("clock")
            let library = lab.path("clock.so")
            try await must(
                [
                    Paths.root + "/scripts/clang", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC",
                    "-shared",
                    "-o", library, Paths.root + "/Tests/Integration/clock/clock.c", "-ldl",
                ])
            try Data(count: 8).write(to: URL(fileURLWithPath: path))
            environment = ["LD_PRELOAD": library, "LAB_CLOCK": path]
        }

        /// Written in place: the programs have it in their memory.
        func set(_ seconds: Int) throws {
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            var value = Int64(seconds)
            try file.write(contentsOf: Data(bytes: &value, count: 8))
            try file.close()
        }
    }

    private static func isBlocked(_ net: Internet, _ name: String) async throws -> Bool {
        let reply = try await Probe.ask(net.machine, server: Internet.resolverV4, name)
        #expect(reply.answer == ["0.0.0.0"] || reply.answer == [Internet.forwardedV4], "\(reply)")
        return reply.answer == ["0.0.0.0"]
    }

    /// Whether it is, or is not, blocked within four seconds.
    private static func becomes(_ net: Internet, _ name: String, blocked: Bool) async throws -> Bool {
        try await eventually(within: 4, every: 50) { try await isBlocked(net, name) == blocked }
    }

    /// A daemon with a clock of its own.
    private static func start(_ webtun: Webtun, _ clock: WallClock) async throws -> Running {
        let daemon = try await webtun.launch(environment: clock.environment)
        try await daemon.waitFor("webtun: filtering", within: 20)
        return daemon
    }

    private static func end(_ daemon: Running) async {
        daemon.signal(SIGTERM)
        #expect(await daemon.waitForEnd(within: 10) == 0)
    }

    /// Schedules follow the clock that people read, within a second or so, forward and back.
    @Test func schedulesFollowTheClock() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            let clock = try await WallClock(lab)
            let daemon = try await Self.start(webtun, clock)
            try await Self.schedules(webtun, net, clock)
            await Self.end(daemon)
        }
    }

    private static func schedules(_ webtun: Webtun, _ net: Internet, _ clock: WallClock) async throws {
        // In force from six hours on for an hour.
        let begin = Int(Date().timeIntervalSince1970) + 6 * 3600
        let times = [begin, begin + 3600].map { String(format: "%02d:%02d", $0 / 3600 % 24, $0 / 60 % 60) }
        try await webtun.must(["group", "add", "evening"])
        try await webtun.must(["deny", name, "--group", "evening"])
        try await webtun.must(["client", "add", Internet.machineV4, "--group", "evening", "--group", "default"])
        try await webtun.must([
            "group", "schedule", "evening", "--from", times[0], "--to", times[1], "--zone", "UTC",
        ])
        let isOut = try await becomes(net, name, blocked: false)
        #expect(isOut)
        for (hours, blocked) in [(6, true), (0, false), (6 + 24 * 400, true), (9, false), (6, true)] {
            try clock.set(hours * 3600 + 1800)
            let followed = try await becomes(net, name, blocked: blocked)
            #expect(followed, "\(hours) hours on")
            let filters = try await isBlocked(net, "x.blocked.example")
            #expect(filters)
        }
    }

    /// A pause ends when the clock says so.
    @Test func pausesFollowTheClock() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            let clock = try await WallClock(lab)
            let daemon = try await Self.start(webtun, clock)
            try await Self.pauses(webtun, net, clock)
            await Self.end(daemon)
        }
    }

    private static func pauses(_ webtun: Webtun, _ net: Internet, _ clock: WallClock) async throws {
        let blocked = "x.blocked.example"
        try await webtun.must(["group", "add", "evening"])
        try await webtun.must(["deny", name, "--group", "evening"])
        try await webtun.must(["client", "add", Internet.machineV4, "--group", "evening", "--group", "default"])
        let isIn = try await becomes(net, name, blocked: true)
        #expect(isIn)
        try await webtun.must(["pause", "2h", "--group", "evening"])
        try await webtun.must(["pause", "1h"])
        let isPaused = try await becomes(net, blocked, blocked: false)
        #expect(isPaused)
        // Half of it, and back, leaves an hour and a half.
        for seconds in [1800, -1800] {
            try clock.set(seconds)
            try await Task.sleep(for: .milliseconds(2500))
            let still = try await !isBlocked(net, blocked)
            #expect(still, "\(seconds) s on")
        }
        try clock.set(3700)
        let isOver = try await becomes(net, blocked, blocked: true)
        #expect(isOver)
        let status = try await webtun.status()
        #expect(status["paused"] as? Bool == false && status["filtering"] as? Bool == true, "\(status)")
        let groupsGoesOn = try await !isBlocked(net, name)
        #expect(groupsGoesOn, "the group's pause lasts an hour more")
        try clock.set(7300)
        let isAllOver = try await becomes(net, name, blocked: true)
        #expect(isAllOver)
    }

    /// Answers in the cache live as long as they are told to, whatever the clock says; the log keeps its rows through a clock
    /// that was wrong for a while, and is in order afterwards.
    @Test func theCacheAndTheLogOutliveAWrongClock() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            var webtun = try await Webtun.prepare(on: net.machine)
            webtun.configuration = "[log]\nmax_age = \"7d\"\n"
            let clock = try await WallClock(lab)
            let daemon = try await Self.start(webtun, clock)
            try await Self.cacheAndLog(webtun, net, clock)
            await Self.end(daemon)
        }
    }

    private static func count(_ webtun: Webtun, _ pattern: String) async throws -> Int {
        let rows = try await webtun.sql("SELECT count(*) AS n FROM queries WHERE qname LIKE '\(pattern)'")
        return rows.first?["n"] as? Int ?? -1
    }

    private static func isCounted(_ webtun: Webtun, _ pattern: String, _ count: Int) async throws -> Bool {
        try await eventually(within: 5, every: 200) { try await self.count(webtun, pattern) == count }
    }

    private static func cacheAndLog(_ webtun: Webtun, _ net: Internet, _ clock: WallClock) async throws {
        func ask(_ name: String) async throws -> Probe.Reply {
            try await Probe.ask(net.machine, server: Internet.resolverV4, name)
        }
        let kept = "kept.allowed.example"
        let first = try await ask(kept)
        #expect(first.answer == [Internet.forwardedV4] && first.integer("ttl") > 290, "\(first)")
        for number in 0..<20 { _ = try await ask("early\(number).blocked.example") }
        let isWritten = try await isCounted(webtun, "early%", 20)
        #expect(isWritten)

        var left = first.integer("ttl")
        let asked = net.capture.count(name: kept)
        #expect(asked > 0)
        for (index, days) in [3650, -3650, 3650, 0].enumerated() {
            try clock.set(days * 86_400)
            try await Task.sleep(for: .milliseconds(1500))
            let again = try await ask(kept)
            #expect(again.answer == [Internet.forwardedV4], "\(again)")
            #expect((left - 30...left).contains(again.integer("ttl")), "\(again), \(left) s before")
            left = again.integer("ttl")
            _ = try await ask("jump\(index).blocked.example")
            // The limits are looked at again at once after they were read.
            try await webtun.must(["reload"])
            try await Task.sleep(for: .milliseconds(2500))
            let early = try await count(webtun, "early%")
            #expect(early == 20, "\(days) days on")
            let told = try await isCounted(webtun, "jump\(index)%", 1)
            #expect(told)
            let status = try await webtun.status()
            #expect(status["filtering"] as? Bool == true, "\(status)")
        }
        #expect(net.capture.count(name: kept) == asked, "the upstream was asked once")
        let log = try #require(try await webtun.status()["log"] as? [String: any Sendable])
        #expect(log["state"] as? String == "writing" && log["dropped_rows"] as? Int == 0, "\(log)")
        // What the wrong clock wrote bears its time, and questions over all of it are answered.
        let years = try await webtun.sql(
            "SELECT DISTINCT substr(time, 1, 4) AS year FROM queries WHERE qname LIKE 'jump%' ORDER BY year")
        #expect(years.count == 3, "\(years)")
        for command in [["top", "names"], ["stats"], ["log", "--limit", "5"], ["db", "check"]] {
            let output = try await webtun(command)
            #expect(output.isFine, "\(command): \(output)")
        }
    }
}
