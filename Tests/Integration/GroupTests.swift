import Foundation
import Testing

/// What is blocked depends on who asks and when.
@Suite(.serialized) struct GroupTests {
    private static let play = "play.allowed.example"

    /// Whether a host gets the answer of a blocked name.
    private static func isBlocked(_ host: Host, _ name: String, six: Bool = false) async throws -> Bool {
        let server = six ? Internet.resolverV6 : Internet.resolverV4
        let reply = try await Probe.ask(host, server: server, name)
        #expect(reply.answer == ["0.0.0.0"] || reply.answer == [Internet.forwardedV4], "\(reply)")
        return reply.answer == ["0.0.0.0"]
    }

    /// The hardware address of a host's link.
    private static func mac(_ host: Host) async throws -> String {
        let link = try await host.must(["ip", "-j", "link", "show", "eth0"]).text
        return String(try #require(link.components(separatedBy: "\"address\":\"").dropFirst().first?.prefix(17)))
    }

    /// Two clients behind the machine, one known by its address, one by its device, and the machine itself.
    @Test func servedClientsHaveGroupsOfTheirOwn() async throws {
        try await World.with(serve: ["br0", "cont0"]) { (world: World) async throws in
            let (webtun, net) = (world.webtun, world.net)
            try await webtun.must(["group", "add", "kids"])
            try await webtun.must(["deny", GroupTests.play, "--group", "kids"])
            try await webtun.must(["client", "add", "10.77.1.0/24", "--group", "kids", "--group", "default"])
            try await webtun.must(["client", "add", GroupTests.mac(net.served), "--group", "kids"])

            let followed = try await eventually(within: 2, every: 50) {
                try await GroupTests.isBlocked(net.masked, GroupTests.play)
            }
            #expect(followed, "the prefix is in kids")
            #expect(try await GroupTests.isBlocked(net.masked, "x.blocked.example"), "and in default")
            // The device has two addresses.
            for six in [false, true] {
                let known = try await eventually(within: 2, every: 50) {
                    try await GroupTests.isBlocked(net.served, GroupTests.play, six: six)
                }
                #expect(known, "the device is in kids, IPv6: \(six)")
                #expect(
                    try await !GroupTests.isBlocked(net.served, "x.blocked.example", six: six), "and not in default")
            }
            #expect(try await !GroupTests.isBlocked(world.machine, GroupTests.play))
            #expect(try await GroupTests.isBlocked(world.machine, "x.blocked.example"))

            // Out of force within a second, and in force again.
            for (verb, isBlocked) in [("disable", false), ("enable", true)] {
                try await webtun.must(["group", verb, "kids"])
                let done = monotonicMicroseconds()
                let followed = try await eventually(within: 3, every: 20) {
                    try await GroupTests.isBlocked(net.served, GroupTests.play) == isBlocked
                }
                #expect(followed && monotonicMicroseconds() - done < 1_000_000, "\(verb)")
                #expect(try await GroupTests.isBlocked(net.masked, GroupTests.play) == isBlocked)
            }
        }
    }

    /// A name that all may ask for and whose CNAME leads to one that kids are denied: the upstream is asked once for all.
    @Test func oneAnswerInTheCacheServesEveryGroup() async throws {
        try await World.with(serve: ["br0", "cont0"]) { (world: World) async throws in
            let (webtun, net) = (world.webtun, world.net)
            // The rule speaks for all that the name leads to.
            try await webtun.must(["rule", "rm", "allowed.example"])
            func forwarded() async throws -> Int { try #require(try await webtun.status()["forwarded"] as? Int) }
            try await webtun.must(["group", "add", "kids"])
            try await webtun.must(["deny", GroupTests.play, "target.allowed.example", "--group", "kids"])
            try await webtun.must(["client", "add", "10.77.1.0/24", "--group", "kids"])
            let followed = try await eventually(within: 2, every: 50) {
                try await GroupTests.isBlocked(net.masked, GroupTests.play)
            }
            #expect(followed)
            let before = try await forwarded()
            for _ in 0..<2 {
                let reply = try await Probe.ask(world.machine, server: Internet.resolverV4, "alias.allowed.example")
                #expect(reply.answer.contains(Internet.forwardedV4), "\(reply)")
                #expect(try await GroupTests.isBlocked(net.masked, "alias.allowed.example"))
            }
            // A change of the rules changes what the same answer is worth.
            try await webtun.must(["rule", "rm", "target.allowed.example"])
            let passed = try await eventually(within: 2, every: 50) {
                let reply = try await Probe.ask(net.masked, server: Internet.resolverV4, "alias.allowed.example")
                return reply.answer.contains(Internet.forwardedV4)
            }
            #expect(passed)
            #expect(try await forwarded() == before + 1)
        }
    }

    @Test func usersAndProgramsHaveGroupsOfTheirOwn() async throws {
        let cgroup = try Cgroup()
        try await World.with(configuration: cgroup.configuration) { (world: World) async throws in
            let webtun = world.webtun
            try await webtun.must(["group", "add", "kids", "free"])
            try await webtun.must(["deny", GroupTests.play, "--group", "kids"])
            try await webtun.must(["client", "add", "--user", "33", "--group", "kids"])
            try await webtun.must(["client", "add", "--app", "host", "--group", "free"])
            func isBlocked(_ program: [String], _ name: String, uid: Int) async throws -> Bool {
                try await world.machine.run(cgroup.command(program + [name, Internet.resolverV4], uid: uid)).text
                    .contains("0.0.0.0")
            }
            let python = #"""
                import socket, sys
                q = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                for label in sys.argv[1].split("."): q += bytes([len(label)]) + label.encode()
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(3); s.sendto(q + b"\x00\x00\x01\x00\x01", (sys.argv[2], 53))
                print(".".join(str(b) for b in s.recv(512)[-4:]))
                """#
            let plain = ["/usr/bin/python3", "-c", python]
            let host = ["/usr/bin/host", "-t", "A"]
            let followed = try await eventually(within: 3, every: 50) {
                try await isBlocked(plain, GroupTests.play, uid: 33)
            }
            #expect(followed, "the user is in kids")
            #expect(try await !isBlocked(plain, "x.blocked.example", uid: 33), "and not in default")
            #expect(try await !isBlocked(plain, GroupTests.play, uid: 34))
            #expect(try await isBlocked(plain, "x.blocked.example", uid: 34))
            #expect(try await !isBlocked(host, "x.blocked.example", uid: 34), "the program is in free")
            #expect(try await !isBlocked(host, GroupTests.play, uid: 33), "the program comes before its user")
            // A pause of the program of a user, and its end.
            try await webtun.must(["pause", "--user", "33"])
            #expect(
                try await eventually(within: 2, every: 50) { try await !isBlocked(plain, GroupTests.play, uid: 33) })
            try await webtun.must(["resume", "--user", "33"])
            #expect(try await eventually(within: 2, every: 50) { try await isBlocked(plain, GroupTests.play, uid: 33) })
        }
        #expect(cgroup.remove())
    }

    /// Flows of full mode, and the address of a client.
    @Test func flowsOfClientsAreJudgedByTheirGroups() async throws {
        try await World.with(
            serve: ["br0", "cont0"], extra: ["--mode", "full"],
            prepare: { net, _ in
                try await net.internet.ip("addr add \(Internet.forwardedV4)/32 dev lo")
                let pages = net.lab.path("pages")
                try FileManager.default.createDirectory(atPath: pages, withIntermediateDirectories: true)
                try net.lab.write("a page", to: "pages/index.html")
                _ = try await net.internet.start(
                    ["busybox", "httpd", "-f", "-p", "\(Internet.forwardedV4):80", "-h", pages], log: "httpd")
            }
        ) { (world: World) async throws in
            func gets(_ host: Host) async throws -> Bool {
                try await host.run(["curl", "-sS", "--max-time", "5", "http://\(Internet.forwardedV4)/"]).text
                    == "a page"
            }
            try await world.webtun.must(["group", "add", "kids"])
            try await world.webtun.must(["client", "add", "10.77.2.2", "--group", "kids"])
            try await world.webtun.must(["flow", "deny", "--port", "80", "--group", "kids"])
            let cut = try await eventually(within: 3, every: 50) { try await !gets(world.net.served) }
            #expect(cut)
            #expect(try await gets(world.net.masked))
            #expect(try await gets(world.machine))
            try await world.webtun.must(["pause", "1h", "--client", "10.77.2.2"])
            #expect(try await eventually(within: 2, every: 50) { try await gets(world.net.served) })
            let paused = try await eventually(within: 5, every: 100) {
                try await !world.webtun.sql("SELECT id FROM flows WHERE reason = 'paused' AND port = 80").isEmpty
            }
            #expect(paused, "the log says so")
        }
    }

    /// The clock reaches the time at which a group comes into force.
    @Test func aScheduleBeginsWhenItsTimeComes() async throws {
        try await World.with { (world: World) async throws in
            let webtun = world.webtun
            try await webtun.must(["group", "add", "evening"])
            try await webtun.must(["deny", GroupTests.play, "--group", "evening"])
            try await webtun.must(["client", "add", Internet.machineV4, "--group", "evening", "--group", "default"])
            var now = Date().timeIntervalSince1970
            // Some seconds before a full minute are needed.
            if 60 - now.truncatingRemainder(dividingBy: 60) < 6 {
                try await Task.sleep(for: .seconds(8))
                now = Date().timeIntervalSince1970
            }
            let start = (now / 60).rounded(.up) * 60
            func clock(_ time: Double) -> String {
                let minutes = Int(time / 60) % 1440
                return String(format: "%02d:%02d", minutes / 60, minutes % 60)
            }
            try await webtun.must([
                "group", "schedule", "evening", "--from", clock(start), "--to", clock(start + 3600), "--zone", "UTC",
            ])
            let off = try await eventually(within: 2, every: 50) {
                try await !GroupTests.isBlocked(world.machine, GroupTests.play)
            }
            #expect(off, "not in force yet")
            try await Task.sleep(for: .seconds(max(0, start - Date().timeIntervalSince1970 - 0.4)))
            #expect(try await !GroupTests.isBlocked(world.machine, GroupTests.play))
            let on = try await eventually(within: 3, every: 20) {
                try await GroupTests.isBlocked(world.machine, GroupTests.play)
            }
            let late = Date().timeIntervalSince1970 - start
            #expect(on && late > -0.01 && late < 1, "\(late) s after its time")
            let groups = try await webtun.must(["group", "ls", "--json"]).lines.map(Webtun.object)
            #expect(groups[1]["state"] as? String == "on")
            // Without schedules it stays; a schedule of another time puts it out.
            try await webtun.must(["group", "unschedule", "evening"])
            try await webtun.must([
                "group", "schedule", "evening", "--from", clock(start + 7200), "--to", clock(start + 10_800), "--zone",
                "UTC",
            ])
            #expect(
                try await eventually(within: 2, every: 50) {
                    try await !GroupTests.isBlocked(world.machine, GroupTests.play)
                })
        }
    }

    @Test func aClientIsPausedAndTheLogSaysSo() async throws {
        try await World.with(serve: ["br0", "cont0"]) { (world: World) async throws in
            let net = world.net
            func served(_ name: String) async throws -> Bool { try await GroupTests.isBlocked(net.served, name) }
            #expect(try await served("a.blocked.example"))
            try await world.webtun.must(["pause", "3s", "--client", "10.77.2.0/24"])
            #expect(try await eventually(within: 1, every: 50) { try await !served("b.blocked.example") })
            #expect(try await GroupTests.isBlocked(net.masked, "b.blocked.example"))
            #expect(try await GroupTests.isBlocked(world.machine, "b.blocked.example"))
            let status = try await world.webtun.status()
            #expect(status["filtering"] as? Bool == true && status["paused"] as? Bool == false)
            let pause = try #require((status["pauses"] as? [[String: any Sendable]])?.first)
            #expect(pause["kind"] as? String == "address" && pause["subject"] as? String == "10.77.2.0/24")
            #expect(pause["until"] is String)
            let over = try await eventually(within: 5, every: 50) { try await served("c.blocked.example") }
            #expect(over, "it ends by itself")
            #expect((try await world.webtun.status()["pauses"] as? [Any])?.isEmpty == true)
            let told = try await eventually(within: 5, every: 100) {
                try await !world.webtun.sql(
                    "SELECT id FROM queries WHERE reason = 'paused' AND qname = 'b.blocked.example' "
                        + "AND client = '10.77.2.2'"
                ).isEmpty
            }
            #expect(told)
            // By the device.
            let address = try await GroupTests.mac(net.served)
            try await world.webtun.must(["pause", "--client", address])
            #expect(try await eventually(within: 2, every: 50) { try await !served("d.blocked.example") })
            #expect(try await GroupTests.isBlocked(net.masked, "d.blocked.example"))
            try await world.webtun.must(["resume", "--client", address])
            #expect(try await eventually(within: 2, every: 50) { try await served("d.blocked.example") })
        }
    }

    /// A pause outlives the daemon, whatever its end, and one can be made while none runs.
    @Test func pausesOutliveTheDaemon() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            try await webtun.must(["group", "add", "kids"])
            try await webtun.must(["deny", GroupTests.play, "--group", "kids"])
            try await webtun.must(["client", "add", Internet.machineV4, "--group", "kids", "--group", "default"])
            try await webtun.must(["pause", "1h", "--group", "kids"])
            func play() async throws -> Bool { try await GroupTests.isBlocked(net.machine, GroupTests.play) }
            func blocked() async throws -> Bool { try await GroupTests.isBlocked(net.machine, "x.blocked.example") }

            let first = try await webtun.start(capture: "link", log: "first")
            #expect(try await !play(), "made before it started")
            #expect(try await blocked())
            try await webtun.must(["pause", "1h"])
            #expect(try await !blocked())
            let until = try await webtun.status()["paused_until"] as? String
            #expect(until != nil)
            first.signal(SIGKILL)
            #expect(await first.waitForEnd(within: 5) == 128 + SIGKILL)

            // It says that it is not filtering, so the line of a start that filters does not come.
            let second = try await webtun.launch(capture: "link", log: "second")
            let paused = try await eventually(within: 20, every: 100) {
                try await webtun.status()["paused"] as? Bool == true
            }
            #expect(paused, "\(second.errors)")
            #expect(try await webtun.status()["paused_until"] as? String == until, "the same end")
            #expect(try await !blocked())
            try await webtun.must(["resume"])
            #expect(try await blocked())
            #expect(try await !play(), "the group's pause goes on")
            let pauses = try await webtun.status()["pauses"] as? [[String: any Sendable]]
            #expect(pauses?.count == 1 && pauses?.first?["subject"] as? String == "kids")
            second.signal(SIGTERM)
            #expect(await second.waitForEnd(within: 5) == 0)

            let third = try await webtun.start(capture: "link", log: "third")
            #expect(try await blocked(), "what was resumed stays so")
            #expect(try await !play())
            try await webtun.must(["resume", "--group", "kids"])
            #expect(try await eventually(within: 2, every: 50) { try await play() })
            #expect(third.status == nil)
        }
    }
}
