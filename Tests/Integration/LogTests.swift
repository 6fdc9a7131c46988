import Foundation
import Testing

/// Every query becomes a row of the log with the right things in it.
@Suite(.serialized) struct LogTests {
    @Test func rowsSayWhoAskedWhatAndWhatBecameOfIt() async throws {
        try await World.with(serve: ["br0"]) { (world: World) async throws in
            let begun = Date()
            _ = try await world.ask("one.blocked.example")
            _ = try await world.ask("two.allowed.example", tcp: true)
            _ = try await world.ask("two.allowed.example")
            _ = try await world.ask("three.allowed.example", "AAAA", six: true)
            _ = try await Probe.ask(world.net.served, server: Internet.resolverV4, "four.blocked.example")
            _ = try await Probe.ask(world.net.masked, server: Internet.resolverV4, "five.allowed.example")
            _ = try await world.ask("gone.negative.example")
            var rows: [[String: any Sendable]] = []
            let complete = try await eventually(within: 5, every: 100) {
                rows = try await world.webtun.sql("SELECT * FROM queries ORDER BY id")
                return rows.count >= 7
            }
            #expect(complete, "\(rows.count) rows")
            func row(_ name: String, _ index: Int = 0) throws -> [String: any Sendable] {
                let found = rows.filter { $0["qname"] as? String == name }
                return try #require(found.count > index ? found[index] : nil, "no row of \(name) in \(rows)")
            }
            let columns: Set = [
                "id", "time", "client", "uid", "pid", "app", "link", "transport", "qname", "qtype", "verdict", "reason",
                "list",
                "rule", "rcode", "answer", "upstream", "cached", "dnssec", "latency_us",
            ]
            #expect(columns.isSubset(of: Set(rows[0].keys)), "\(rows[0].keys.sorted())")

            let one = try row("one.blocked.example")
            #expect(one["verdict"] as? String == "block")
            #expect(one["client"] as? String == Internet.machineV4)
            #expect(one["link"] as? String == "eth0")
            #expect((one["transport"] as? String)?.lowercased() == "udp")
            #expect(one["qtype"] as? String == "A")
            #expect(one["rule"] != nil)
            let two = try row("two.allowed.example")
            #expect((two["transport"] as? String)?.lowercased() == "tcp")
            #expect(two["verdict"] as? String == "allow")
            #expect(two["rcode"] as? String == "NOERROR")
            #expect((two["answer"] as? String)?.contains(Internet.forwardedV4) == true)
            #expect((two["upstream"] as? String)?.contains(Internet.upstreamV4) == true)
            #expect(two["cached"] as? Int == 0)
            #expect(try row("two.allowed.example", 1)["cached"] as? Int == 1)
            let three = try row("three.allowed.example")
            #expect(three["client"] as? String == Internet.machineV6)
            #expect(three["qtype"] as? String == "AAAA")
            // A served client keeps its own address; one behind masquerade is seen as the machine.
            let four = try row("four.blocked.example")
            #expect(four["client"] as? String == "10.77.2.2")
            #expect(four["link"] as? String == "br0")
            #expect(try row("five.allowed.example")["client"] as? String == Internet.machineV4)
            #expect(try row("gone.negative.example")["rcode"] as? String == "NXDOMAIN")

            // The same through the reading commands and through plain sqlite3, while webtun writes.
            let log = try await world.webtun.must(["log", "--json", "--blocked", "--since", "1h"]).lines
            #expect(log.count == 2, "\(log)")
            let glob = try await world.webtun.must(["log", "--json", "--name", "*.allowed.example", "--limit", "2"])
                .lines
            #expect(glob.count == 2)
            let plain = try await must(
                [
                    "sqlite3", "-readonly", world.webtun.state + "/querylog.db",
                    "SELECT count(*), max(time) FROM queries",
                ])
            #expect(plain.text.hasPrefix("7|"), "\(plain.text)")
            #expect(abs(begun.timeIntervalSinceNow) < 60)
            let written = try await world.webtun(["sql", "DELETE FROM queries"])
            #expect(written.status == 1, "sql is read-only")
            _ = try await world.webtun.must(["stats"])
        }
    }

    @Test func theLogFollowsLive() async throws {
        try await World.with { (world: World) async throws in
            let follower = try await world.machine.start(
                [Paths.webtun, "log", "-f", "--json", "--state", world.webtun.state], log: "follow")
            try await Task.sleep(for: .milliseconds(500))
            _ = try await world.ask("live.blocked.example")
            try await follower.waitFor("live.blocked.example", within: 5)
            follower.signal(SIGINT)
            #expect(await follower.waitForEnd(within: 3) != nil)
        }
    }

    @Test func rowsOfTheLastSecondSurviveAStop() async throws {
        try await World.with { (world: World) async throws in
            for i in 0..<50 { _ = try await world.ask("last\(i).blocked.example") }
            world.daemon.signal(SIGTERM)
            #expect(await world.daemon.waitForEnd(within: 5) == 0)
            let rows = try await world.webtun.sql("SELECT count(*) AS n FROM queries WHERE qname LIKE 'last%'")
            #expect(rows.first?["n"] as? Int == 50)
        }
    }

    @Test func aLogThatCannotBeWrittenNeverStopsDNS() async throws {
        try await World.with { (world: World) async throws in
            _ = try await world.ask("before.blocked.example")
            // Another program holds the database: queries go on, the rows come when it lets go.
            let holder = try await world.machine.start(
                [
                    "sh", "-c",
                    "(echo 'BEGIN EXCLUSIVE; SELECT 1;'; sleep 3; echo 'COMMIT;') | sqlite3 \(world.webtun.state)/querylog.db",
                ], log: "holder")
            try await Task.sleep(for: .milliseconds(300))
            for i in 0..<20 {
                let reply = try await world.ask("held\(i).blocked.example", timeout: 500)
                #expect(reply.answer == ["0.0.0.0"], "\(reply)")
            }
            #expect(try await world.ask("held.allowed.example").answer == [Internet.forwardedV4])
            _ = await holder.waitForEnd(within: 10)
            let all = try await eventually(within: 8, every: 200) {
                try await world.webtun.sql("SELECT count(*) AS n FROM queries WHERE qname LIKE 'held%'").first?["n"]
                    as? Int == 21
            }
            #expect(all, "the rows were written when the database was free")
        }
    }
}
