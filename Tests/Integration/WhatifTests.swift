import Foundation
import Testing

/// `list whatif` over the log of a machine that really asked.
@Suite(.serialized) struct WhatifTests {
    @Test func whatAListWouldHaveChanged() async throws {
        try await World.with { (world: World) async throws in
            for _ in 0..<3 { _ = try await world.ask("www.new.example") }
            for name in ["new.example", "other.example", "www.blocked.example", "www.allowed.example"] {
                _ = try await world.ask(name)
            }
            let logged = try await eventually(within: 6, every: 200) {
                (try await world.webtun.sql("SELECT sum(count) AS n FROM queries").first?["n"] as? Int ?? 0) >= 7
            }
            #expect(logged)
            let file = world.machine.lab.path("new.txt")
            try Data("new.example\nblocked.example\nallowed.example\nnever.example\n".utf8).write(
                to: URL(fileURLWithPath: file))
            let told = try Webtun.object(
                try await world.webtun.must(["list", "whatif", file, "--since", "1h", "--json"]).text)
            #expect(told["changed"] as? Int == 4 && told["names"] as? Int == 2, "\(told)")
            #expect(
                told["already"] as? Int == 1 && told["kept"] as? Int == 1 && told["logged"] as? Int ?? 0 >= 7, "\(told)"
            )
            let names = try #require(told["by_name"] as? [[String: any Sendable]])
            #expect(names.map { $0["qname"] as? String } == ["www.new.example", "new.example"])
            #expect(names.map { $0["queries"] as? Int } == [3, 1])
            let apps = try #require(told["by_app"] as? [[String: any Sendable]])
            #expect(apps.reduce(0) { $0 + ($1["queries"] as? Int ?? 0) } == 4)
            // Nothing was added.
            #expect(try await world.webtun(["list", "ls", "--json"]).text.isEmpty)
            #expect(try await world.webtun(["why", "new.example"]).status == 0)
            let text = try await world.webtun.must(["list", "whatif", file]).text
            #expect(text.contains("would have blocked 4 queries of "), "\(text)")
            #expect(
                text.contains("1 query more were blocked already") || text.contains("were blocked already"), "\(text)")
            // A list that allows changes nothing of what a rule blocks.
            let allow = try Webtun.object(
                try await world.webtun.must(["list", "whatif", file, "--allow", "--json"]).text)
            #expect(allow["changed"] as? Int == 0 && allow["kept"] as? Int == 1, "\(allow)")
        }
    }
}
