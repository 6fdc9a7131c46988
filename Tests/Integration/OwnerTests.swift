import Foundation
import Testing

/// The log and the rules know which user and program is behind a query and a flow.
@Suite(.serialized) struct OwnerTests {
    /// A world whose programs are run by `body` in a cgroup that webtun looks at.
    private func with(
        capture: String = "link", extra: [String] = [], configuration: String? = nil,
        prepare: @escaping (Internet) async throws -> Void = { _ in },
        _ body: @escaping (World, Cgroup) async throws -> Void
    ) async throws {
        let cgroup = try Cgroup()
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            var webtun = try await Webtun.prepare(on: net.machine)
            webtun.configuration = configuration ?? cgroup.configuration
            try await prepare(net)
            let daemon = try await webtun.start(capture: capture, extra: extra)
            try await body(World(net: net, webtun: webtun, daemon: daemon), cgroup)
            #expect(daemon.status == nil, "\(daemon.errors.suffix(4000))")
        }
        #expect(cgroup.remove(), "nothing stays in the cgroup")
    }

    /// The rows of a name, when there are at least `count`.
    private func rows(_ world: World, _ name: String, _ count: Int = 1) async throws -> [[String: any Sendable]] {
        var rows: [[String: any Sendable]] = []
        let query = "SELECT uid, pid, app, certainty, transport FROM queries WHERE qname = '\(name)' ORDER BY id"
        let complete = try await eventually(within: 5, every: 100) {
            rows = try await world.webtun.sql(query)
            return rows.count >= count
        }
        try #require(complete, "\(rows.count) rows of \(name)")
        return rows
    }

    private func path(_ name: String) async throws -> String {
        try await must(["sh", "-c", "readlink -f $(command -v \(name))"]).lines.first ?? ""
    }

    @Test(arguments: ["link", "route"])
    func programsThatAreGoneBeforeTheirRowIsWritten(capture: String) async throws {
        try await with(
            capture: capture,
            prepare: { net in
                try net.machine.resolvConf("nameserver \(Internet.resolverV4)\noptions timeout:2 attempts:2\n")
            }
        ) { world, cgroup in
            let python = #"""
                import socket, sys
                q = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                for label in sys.argv[1].split("."): q += bytes([len(label)]) + label.encode()
                s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                s.settimeout(3); s.sendto(q + b"\x00\x00\x01\x00\x01", (sys.argv[2], 53)); s.recv(512)
                """#
            let v6 = Internet.resolverV6
            for (name, program, uid, arguments, transport) in [
                ("a.blocked.example", "dig", 0, ["+tries=1", "a.blocked.example"], "udp"),
                ("b.allowed.example", "dig", 33, ["+tries=1", "b.allowed.example"], "udp"),
                ("c.blocked.example", "dig", 60_000, ["+tcp", "+tries=1", "c.blocked.example"], "tcp"),
                ("d.allowed.example", "dig", 1, ["+tcp", "+tries=1", "@\(v6)", "d.allowed.example"], "tcp"),
                ("e.blocked.example", "curl", 33, ["-sS", "--max-time", "5", "http://e.blocked.example/"], "udp"),
                ("f.blocked.example", "getent", 7, ["ahostsv4", "f.blocked.example"], "udp"),
                ("g.blocked.example", "/usr/bin/python3", 0, ["-c", python, "g.blocked.example", v6], "udp"),
            ] {
                // The shell tells its process, which the program then has.
                let output = try await world.machine.run(
                    cgroup.command(["sh", "-c", "echo $$ >&2; exec \"$@\"", "sh", program] + arguments, uid: uid))
                let pid = output.errors.split(separator: "\n").first.flatMap { Int($0) }
                let wanted = try await path(program)
                for row in try await rows(world, name) {
                    #expect(row["uid"] as? Int == uid, "\(name): \(row)")
                    #expect(row["pid"] as? Int == pid, "\(name): \(row)")
                    #expect(row["app"] as? String == wanted, "\(name): \(row)")
                    #expect(row["certainty"] as? String == "exact", "\(name): \(row)")
                    #expect(row["transport"] as? String == transport, "\(name): \(row)")
                }
            }
        }
    }

    @Test(arguments: ["link", "route"])
    func programsThatAreLookedUp(capture: String) async throws {
        try await with(capture: capture, configuration: "[owners]\ncgroup = \"none\"\n") { world, cgroup in
            // A program that stays for a while, as most do.
            let python = #"""
                import socket, sys, time
                q = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                for label in sys.argv[1].split("."): q += bytes([len(label)]) + label.encode()
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(3); s.sendto(q + b"\x00\x00\x01\x00\x01", (sys.argv[2], 53)); s.recv(512); time.sleep(1)
                """#
            let name = "looked-up.blocked.example"
            try await world.machine.must(
                cgroup.command(["/usr/bin/python3", "-c", python, name, Internet.resolverV4], uid: 33))
            let row = try await rows(world, name)[0]
            #expect(row["uid"] as? Int == 33 && row["certainty"] as? String == "probable", "\(row)")
            #expect(row["app"] as? String == (try await path("/usr/bin/python3")), "\(row)")
        }
    }

    @Test func aLocalResolverAsksForOthers() async throws {
        try await with { world, cgroup in
            let script = world.machine.lab.path("forwarder.conf")
            try world.machine.lab.write(
                "no-resolv\nno-hosts\nlisten-address=127.0.0.1\nbind-interfaces\nserver=\(Internet.resolverV4)\n"
                    + "user=nobody\npid-file=\ncache-size=0\n", to: "forwarder.conf")
            _ = try await world.machine.start(
                cgroup.command(["dnsmasq", "-k", "-C", script]), log: "forwarder")
            let up = try await eventually(within: 5) {
                try await world.machine.run(
                    cgroup.command(["dig", "+tries=1", "+time=1", "@127.0.0.1", "up.allowed.example"], uid: 33)
                ).isFine
            }
            #expect(up)
            // What the log can know is who sent the query over the link: the resolver, not the program behind it.
            let row = try await rows(world, "up.allowed.example")[0]
            #expect(row["app"] as? String == (try await path("dnsmasq")), "\(row)")
            #expect(row["uid"] as? Int == 65_534 && row["certainty"] as? String == "exact", "\(row)")
        }
    }

    @Test(arguments: ["link", "route"])
    func flowsOfFullMode(capture: String) async throws {
        try await with(
            capture: capture, extra: ["--mode", "full"],
            prepare: { net in
                try await net.internet.ip("addr add \(Internet.forwardedV4)/32 dev lo")
                let pages = net.lab.path("pages")
                try FileManager.default.createDirectory(atPath: pages, withIntermediateDirectories: true)
                try net.lab.write("a page", to: "pages/index.html")
                _ = try await net.internet.start(
                    ["busybox", "httpd", "-f", "-p", "\(Internet.forwardedV4):80", "-h", pages], log: "httpd")
            }
        ) { world, cgroup in
            #expect(try await world.webtun.status()["owners"] as? String == "kernel")
            let page = ["--max-time", "5", "http://\(Internet.forwardedV4)/"]
            let output = try await world.machine.run(
                cgroup.command(["sh", "-c", "echo $$ >&2; exec curl -s \"$@\"", "sh"] + page, uid: 33))
            #expect(output.text == "a page")
            var rows: [[String: any Sendable]] = []
            _ = try await eventually(within: 5, every: 100) {
                rows = try await world.webtun.sql(
                    "SELECT uid, pid, app, certainty FROM flows WHERE port = 80 ORDER BY id")
                return !rows.isEmpty
            }
            let row = try #require(rows.first)
            #expect(row["uid"] as? Int == 33 && row["certainty"] as? String == "exact", "\(row)")
            #expect(row["pid"] as? Int == output.errors.split(separator: "\n").first.flatMap { Int($0) }, "\(row)")
            #expect(row["app"] as? String == (try await path("curl")), "\(row)")
            // Another user's rule does not fit, this one's does.
            try await world.webtun.must(["flow", "deny", "\(Internet.forwardedV4)", "--user", "34"])
            try await world.webtun.must(["flow", "deny", "\(Internet.forwardedV4)", "--app", "curl", "--user", "35"])
            let denied = try await eventually(within: 5, every: 100) {
                let other = try await world.machine.run(cgroup.command(["curl", "-sS"] + page, uid: 34))
                let third = try await world.machine.run(cgroup.command(["curl", "-sS"] + page, uid: 35))
                return other.status == 7 && third.status == 7
            }
            #expect(denied)
            #expect(try await world.machine.run(cgroup.command(["curl", "-s"] + page, uid: 33)).text == "a page")
            let fetch = "import urllib.request as r; print(r.urlopen('\(page[2])', timeout=5).read().decode(), end='')"
            let other = try await world.machine.run(cgroup.command(["/usr/bin/python3", "-c", fetch], uid: 35))
            #expect(other.text == "a page", "\(other.errors)")
        }
    }

    @Test(arguments: ["link", "route"])
    func rulesForProgramsAndUsers(capture: String) async throws {
        try await with(capture: capture) { world, cgroup in
            try await world.webtun.must(["deny", "free.example", "--app", "dig"])
            try await world.webtun.must(["deny", "free.example", "--user", "33"])
            func answer(_ program: [String], uid: Int) async throws -> String {
                try await world.machine.run(cgroup.command(program, uid: uid)).text
            }
            let dig = ["dig", "+short", "+tries=1", "@\(Internet.resolverV4)", "some.free.example"]
            let other = ["/usr/bin/host", "-t", "A", "some.free.example", Internet.resolverV4]
            let followed = try await eventually(within: 5, every: 50) {
                let forProgram = try await answer(dig, uid: 0).contains("0.0.0.0")
                let forUser = try await answer(other, uid: 33).contains("0.0.0.0")
                return forProgram && forUser
            }
            #expect(followed, "the rules hold")
            #expect(try await !answer(other, uid: 0).contains("0.0.0.0"))
            #expect(try await !answer(other, uid: 34).contains("0.0.0.0"))
        }
    }
}
