import Foundation
import Testing

/// What a firewall of the machine does to webtun, and what webtun says of it.
@Suite(.serialized) struct FirewallTests {
    /// Lets in the loopback, what belongs to known connections, and nothing else.
    private static let closed = """
        table inet closed {
            chain input {
                type filter hook input priority 0; policy drop;
                iifname "lo" accept
                ct state established,related accept
                meta l4proto ipv6-icmp accept
            }
        }
        """

    private func problems(_ world: World) async throws -> [String] {
        try await world.webtun.status()["problems"] as? [String] ?? []
    }

    @Test(arguments: ["link", "route"])
    func aClosedInputChainIsSeenAndTold(capture: String) async throws {
        let closed: (Internet, Webtun) async throws -> Void = { net, _ in try await net.machine.nft(Self.closed) }
        try await World.with(capture: capture, prepare: closed) { (world: World) async throws in
            let told = try await eventually(within: 12) {
                try await problems(world).contains { $0.contains("DNS over TCP") && $0.contains("webtun0") }
            }
            let found = try await problems(world)
            #expect(told, "\(found)")
            #expect(try await world.webtun.status()["filtering"] as? Bool == true)
            #expect(try await world.ask("tcp.blocked.example", tcp: true, timeout: 1500).isTimeout)
            #expect(!world.net.capture.holds(name: "tcp.blocked.example"))
            // Answers over UDP are what a connection waits for, whichever link they come in by.
            #expect(try await world.ask("udp.blocked.example").answer == ["0.0.0.0"])
            #expect(try await world.ask("udp.allowed.example").answer == [Internet.forwardedV4])
            try await world.machine.must([
                "nft", "insert", "rule", "inet", "closed", "input", "iifname", "webtun0", "accept",
            ])
            #expect(try await world.ask("udp2.blocked.example").answer == ["0.0.0.0"])
            #expect(try await world.ask("tcp2.blocked.example", tcp: true).answer == ["0.0.0.0"])
        }
    }

    @Test(arguments: ["link", "route"])
    func withoutAFirewallNothingIsTold(capture: String) async throws {
        try await World.with(capture: capture) { (world: World) async throws in
            try await Task.sleep(for: .seconds(6))
            #expect(try await problems(world) == [])
        }
    }
}
