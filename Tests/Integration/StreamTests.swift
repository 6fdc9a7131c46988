import Foundation
import Testing

/// DNS over TCP (RFC 7766) through the capture, whichever way the stream is cut.
@Suite(.serialized) struct StreamTests {
    private func lines(_ world: World, _ name: String, six: Bool = false, timeout: Int = 4000, options: [String])
        async throws -> [Probe.Reply]
    {
        try await Probe.lines(
            world.machine, server: six ? Internet.resolverV6 : Internet.resolverV4, name, tcp: true, timeout: timeout,
            options: options)
    }

    @Test(arguments: ["link", "route"])
    func everyCutOfTheStreamIsUnderstood(capture: String) async throws {
        try await World.with(capture: capture) { (world: World) async throws in
            for six in [false, true] {
                for (name, answer) in [("s.blocked.example", "0.0.0.0"), ("s.allowed.example", Internet.forwardedV4)] {
                    let together = try await lines(world, name, six: six, options: ["--together", "40"])
                    #expect(together.count == 40 && together.allSatisfy { $0.answer == [answer] }, "\(together)")
                    let split = try await lines(world, name, six: six, options: ["--split"])
                    #expect(split.map(\.answer) == [[answer]], "\(split)")
                    let pipelined = try await lines(world, name, six: six, options: ["--pipeline", "200"])
                    #expect(
                        pipelined.count == 200 && pipelined.allSatisfy { $0.answer == [answer] },
                        "\(pipelined.suffix(2))")
                }
            }
            #expect(!world.net.capture.holds(name: "s.blocked.example"))
        }
    }

    @Test func idleConnectionsAreClosedAndAConnectionMayBeReused() async throws {
        try await World.with(configuration: "[dns]\ntcp_idle_seconds = 1\n") { (world: World) async throws in
            let idle = try await lines(world, "idle.allowed.example", options: ["--idle", "5000"])
            #expect(idle.first?.answer == [Internet.forwardedV4], "\(idle)")
            let last = try #require(idle.last)
            #expect(last.line.hasPrefix("closed"), "\(last)")
            #expect((700...3500).contains(last.integer("ms")), "\(last)")
        }
    }

    @Test func moreConnectionsThanTheCapDoNotHurtTheOthers() async throws {
        try await World.with(configuration: "[dns]\ntcp_connections = 20\n") { (world: World) async throws in
            let within = try await lines(world, "c.allowed.example", options: ["--connections", "20", "--unique"])
            #expect(within.first?.integer("answered") == 20, "\(within)")
            let over = try await lines(
                world, "d.allowed.example", timeout: 3000, options: ["--connections", "60", "--unique"])
            #expect((over.first?.integer("answered") ?? 0) >= 20, "\(over)")
            // Afterwards, and over UDP all the time, everything works.
            #expect(try await world.ask("after.allowed.example").answer == [Internet.forwardedV4])
            let again = try await eventually(within: 5) {
                try await lines(world, "e.allowed.example", options: []).first?.answer == [Internet.forwardedV4]
            }
            #expect(again)
        }
    }

    @Test func aConnectionThatSaysNothingOrNonsenseIsNoHarm() async throws {
        try await World.with(configuration: "[dns]\ntcp_idle_seconds = 1\n") { (world: World) async throws in
            // busybox nc sends bytes that are no message and waits.
            let nonsense = try await world.machine.run(
                [
                    "sh", "-c",
                    "(printf '\\000\\005hello'; sleep 2) | timeout 6 busybox nc \(Internet.resolverV4) 53 | wc -c",
                ])
            #expect(nonsense.isFine)
            let half = try await world.machine.run(
                [
                    "sh", "-c",
                    "(printf '\\000\\100ab'; sleep 4) | timeout 6 busybox nc \(Internet.resolverV4) 53 | wc -c",
                ])
            #expect(half.text.trimmingCharacters(in: .whitespacesAndNewlines) == "0", "\(half)")
            #expect(try await world.ask("fine.allowed.example", tcp: true).answer == [Internet.forwardedV4])
        }
    }
}
