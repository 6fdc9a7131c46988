import Foundation
import Testing

/// The process runs, but its packet thread does not: what `--fail` is for, and what `status` says then.
@Suite(.serialized) struct FailTests {
    /// Stops the packet thread of a webtun for so long, from when this returns.
    private func hold(_ daemon: Running, _ host: Host, milliseconds: Int) async throws -> Running {
        let source = Paths.root + "/Tests/Integration/hold/hold.c"
        let program = host.lab.path("hold")
        try await must(
            [
                Paths.root + "/scripts/clang", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                "-o", program, source,
            ])
        let holding = try await Running.start(
            [program, "\(daemon.pid)", "packet path", "\(milliseconds)"], log: host.lab.path("hold-log"))
        try await holding.waitFor("held", within: 5)
        return holding
    }

    private func isFiltering(_ webtun: Webtun) async throws -> Bool {
        try await webtun.status()["filtering"] as? Bool == true
    }

    @Test(arguments: ["link", "route"])
    func openLetsQueriesPassUntilItWorksAgain(capture: String) async throws {
        try await World.with(capture: capture, extra: ["--fail", "open"]) { (world: World) async throws in
            #expect(try await world.ask("before.blocked.example").answer == ["0.0.0.0"])
            let holding = try await hold(world.daemon, world.machine, milliseconds: 9000)
            // At once, long before it is given up.
            #expect(try await !isFiltering(world.webtun))
            let passes = await eventually(within: 8) {
                (try? await world.ask("open.blocked.example", timeout: 300).answer) == [Internet.escapedV4]
            }
            #expect(passes)
            #expect(try await !isFiltering(world.webtun))
            #expect(await holding.waitForEnd(within: 15) == 0)
            let filters = await eventually(within: 5) { (try? await isFiltering(world.webtun)) == true }
            #expect(filters)
            #expect(try await world.ask("after.blocked.example").answer == ["0.0.0.0"])
        }
    }

    @Test func closedLetsNothingPass() async throws {
        try await World.with(extra: ["--fail", "closed"]) { (world: World) async throws in
            let holding = try await hold(world.daemon, world.machine, milliseconds: 6000)
            #expect(try await !isFiltering(world.webtun))
            for index in 0..<5 {
                #expect(try await world.ask("closed\(index).blocked.example", timeout: 1000).isTimeout)
                #expect(!world.net.capture.holds(name: "closed\(index).blocked.example"))
            }
            #expect(await holding.waitForEnd(within: 15) == 0)
            #expect(try await world.ask("after.blocked.example").answer == ["0.0.0.0"])
            #expect(try await isFiltering(world.webtun))
        }
    }
}
