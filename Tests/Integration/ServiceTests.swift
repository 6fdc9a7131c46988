import Foundation
import Testing

/// webtun as people run it: installed, and started by systemd with the unit of `etc`, which takes away all rights but those
/// that it names.
@Suite(.serialized) struct ServiceTests {
    @Test(arguments: ["link", "route"])
    func unitOfSystemd(capture: String) async throws {
        let cgroup = try Cgroup()
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let web = "203.0.113.90"
            try await net.internet.ip("addr add \(web)/32 dev lo")
            try lab.write("listed.example\n", to: "list")
            _ = try await net.internet.start(
                ["busybox", "httpd", "-f", "-p", "\(web):80", "-h", lab.folder], log: "httpd")
            let systemd = try await Systemd.boot(
                on: net.machine, in: cgroup,
                configuration: """
                    [capture]
                    mode = "full"
                    backend = "\(capture)"
                    links = ["eth0"]
                    [dns]
                    upstream = ["\(Internet.upstreamV4)"]

                    """,
                dropIn: "[Service]\nWatchdogSec=2s\n")
            let before = try await net.machine.networkState()
            let complaints = try await systemd.run(["systemd-analyze", "verify", "webtun.service"])
            #expect(complaints.isFine && complaints.errors.isEmpty, "\(complaints.errors)")

            // `start` returns when webtun filters, with the lists that were installed with it.
            try await systemd.must(["systemctl", "start", "webtun"])
            #expect(try await systemd.must(["webtun", "list", "ls", "--json"]).lines.count >= 3)
            try await systemd.must(["webtun", "deny", "--suffix", "blocked.example"])
            let ask = ["dig", "+short", "+tries=1", "+time=2", "@\(Internet.resolverV4)"]
            let isBlocked = try await eventually(within: 5) {
                try await systemd.must(ask + ["www.blocked.example"]).lines == ["0.0.0.0"]
            }
            #expect(isBlocked)
            #expect(try await systemd.must(ask + ["www.allowed.example"]).lines == [Internet.forwardedV4])
            #expect(!net.capture.holds(name: "www.blocked.example"))

            // The rights that are left suffice to find who asks, and for flows.
            #expect(try await systemd.program(ask + ["who.allowed.example"]).lines == [Internet.forwardedV4])
            #expect(try await systemd.program(["curl", "-sS", "--max-time", "5", "http://\(web)/list"]).isFine)
            for table in ["queries", "flows"] {
                let app = table == "queries" ? "dig" : "curl"
                let question =
                    "SELECT count(*) AS n FROM \(table) WHERE app = '/usr/bin/\(app)' AND certainty = 'exact'"
                let isKnown = try await eventually(within: 5) {
                    let rows = try await systemd.must(["webtun", "sql", "--json", question]).lines.map(Webtun.object)
                    return (rows.first?["n"] as? Int ?? 0) > 0
                }
                let rows = try await systemd.run(["webtun", "sql", "--json", "SELECT * FROM \(table)"]).text
                #expect(isKnown, "\(table) do not tell of \(app):\n\(rows)")
            }
            // And for a list of the web.
            try await systemd.must(["webtun", "list", "add", "http://\(web)/list", "--name", "web"])
            try await systemd.must(["webtun", "list", "update", "web"])
            let isListed = try await eventually(within: 5) {
                try await systemd.must(ask + ["listed.example"]).lines == ["0.0.0.0"]
            }
            #expect(isListed)

            // A reload reads the configuration again.
            try await systemd.must(["systemctl", "reload", "webtun"])
            #expect(try await systemd.property("ActiveState") == "active")

            // Killed, or hanging: another one takes its place, and nothing is left twice.
            for signal in ["KILL", "STOP"] {
                let pid = try await systemd.property("MainPID")
                try await systemd.must(["kill", "-\(signal)", pid])
                let isBack = try await eventually(within: 20) {
                    let state = try await systemd.property("ActiveState")
                    let now = try await systemd.property("MainPID")
                    return state == "active" && now != pid && now != "0"
                }
                let status = try await systemd.run(["systemctl", "status", "webtun"]).text
                #expect(isBack, "after SIG\(signal): \(status)")
                #expect(try await systemd.must(ask + ["after\(signal).blocked.example"]).lines == ["0.0.0.0"])
            }

            // Stopped, the network is as it was.
            try await systemd.must(["systemctl", "stop", "webtun"])
            #expect(try await systemd.property("Result") == "success")
            #expect(try await net.machine.networkState() == before)
            #expect(try await systemd.must(ask + ["www.blocked.example"]).lines == [Internet.escapedV4])
        }
        #expect(cgroup.remove())
    }
    @Test func installedAndRemoved() async throws {
        try await Lab.with { lab in
            let tree = lab.path("tree")
            func install(_ argument: String) async throws -> Output {
                try await run([
                    "env", "DESTDIR=\(tree)", "PREFIX=/opt/webtun", Paths.root + "/scripts/install", argument,
                ])
            }
            func text(_ path: String) throws -> String { try String(contentsOfFile: tree + path, encoding: .utf8) }
            #expect(try await install("/nonexistent/webtun").errors.contains("/nonexistent/webtun is not a program"))
            #expect(try await install("--delete").status == 1)
            #expect(!FileManager.default.fileExists(atPath: tree))

            #expect(try await install(Paths.webtun).isFine)
            // Everything points to where it was put.
            let unit = try text("/opt/webtun/lib/systemd/system/webtun.service")
            #expect(unit.contains("ExecStart=/opt/webtun/bin/webtun run"))
            #expect(!unit.contains("/usr/bin/webtun") && !unit.contains("/usr/share"))
            let configuration = try text("/etc/webtun/webtun.toml")
            #expect(configuration.contains("starter = \"/opt/webtun/share/webtun/blocklists\""))
            // It finds what was installed with it.
            let program = "\(tree)/opt/webtun/bin/webtun"
            let bypass = try await run([program, "bypass", "on", "--state", lab.path("state")])
            #expect(bypass.isFine, "\(bypass.errors)")

            // A configuration that was changed stays, with the new one beside it, until it is removed by hand.
            try lab.write(configuration + "# changed\n", to: "tree/etc/webtun/webtun.toml")
            #expect(try await install(Paths.webtun).text.contains("webtun.toml.new"))
            #expect(try text("/etc/webtun/webtun.toml").hasSuffix("# changed\n"))
            #expect(try text("/etc/webtun/webtun.toml.new") == configuration)

            #expect(try await install("--remove").isFine)
            let left = try await must(["find", tree, "-type", "f"]).lines
            #expect(left == ["\(tree)/etc/webtun/webtun.toml"])
            #expect(try await install("--remove").isFine)
        }
    }
}
