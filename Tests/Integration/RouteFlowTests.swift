import Foundation
import Testing

/// Full mode by `route`: long transfers of real programs, which the kernel carries once they are allowed.
@Suite(.serialized) struct RouteFlowTests {
    /// Packets that have passed the TUN on their way out.
    private func passed(_ world: World) async throws -> Int {
        try await Int(world.machine.must(["cat", "/sys/class/net/webtun0/statistics/tx_packets"]).lines[0]) ?? 0
    }

    /// Runs `body` in a world whose internet has an iperf3 server.
    private func with(_ body: (World) async throws -> Void) async throws {
        try await FlowTests.with(capture: "route") { world, _ in
            _ = try await world.net.internet.start(["iperf3", "-s"], log: "iperf3")
            #expect(
                try await eventually(within: 5) {
                    try await !world.net.internet.must(["ss", "-Hltn", "sport = :5201"]).lines.isEmpty
                })
            try await body(world)
        }
    }

    @Test(arguments: [FlowTests.web4, FlowTests.web6], [false, true])
    func aLongTransferPassesInTheKernelAndIsCounted(address: String, down: Bool) async throws {
        try await with { world in
            let arguments = ["iperf3", "-c", address, "-t", "8", "-b", "20M", "--json"] + (down ? ["-R"] : [])
            let client = try await world.machine.start(arguments, log: "client")
            try await Task.sleep(for: .milliseconds(1500))
            let before = try await passed(world)
            #expect(client.status == nil)
            #expect(await client.waitForEnd(within: 40) == 0, "\(client.output)")
            let after = try await passed(world)
            // The control connection and neighbour discovery say little.
            #expect(after - before < 20, "\(before) to \(after)")
            let end = try Webtun.object(client.output)["end"] as? [String: any Sendable]
            // Of what was sent to the client the last part may lie unread when its time is over.
            let moved = try #require((end?["sum_received"] as? [String: any Sendable])?["bytes"] as? Int)
            let sent = try #require((end?["sum_sent"] as? [String: any Sendable])?["bytes"] as? Int)
            #expect(moved > 15_000_000)
            // The larger of iperf3's two connections. Super-packets count once, and answers of 52 or 72 bytes come on top.
            var rows: [[String: any Sendable]] = []
            let isOver = try await eventually(within: 6, every: 200) {
                rows = try await world.webtun.must(["flows", "--port", "5201", "--json", "--limit", "0"]).lines
                    .map(Webtun.object)
                return rows.contains { $0["bytes"] as? Int ?? 0 > moved }
            }
            let bytes = rows.compactMap { $0["bytes"] as? Int }.max() ?? 0
            let packets = rows.compactMap { $0["packets"] as? Int }.max() ?? 0
            #expect(isOver && rows.count == 2, "\(rows) \(moved)")
            let headers = packets * (address.contains(":") ? 72 : 52)
            let slack = moved / 100
            #expect(
                (moved + headers - slack...sent + headers + slack).contains(bytes),
                "\(bytes) of \(packets) packets for \(moved) of \(sent)")
            #expect(try await world.webtun.status()["problems"] as? [String] == [])
        }
    }

    /// Answers to clients stay part of their connections, which a closed forward chain lets pass.
    @Test func clientsBehindAClosedFirewallAreAnswered() async throws {
        let closed = """
            table inet closed {
                chain forward {
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    iifname "cont0" accept
                    iifname "webtun0" oifname "eth0" accept
                }
            }
            """
        try await World.with(
            capture: "route", extra: ["--mode", "full"], prepare: { net, _ in try await net.machine.nft(closed) }
        ) { (world: World) async throws in
            for tcp in [false, true] {
                let reply = try await Probe.ask(
                    world.net.masked, server: Internet.resolverV4, "client\(tcp).blocked.example", tcp: tcp)
                #expect(reply.answer == ["0.0.0.0"], "\(reply)")
            }
            #expect(try await world.webtun.status()["problems"] as? [String] == [])
        }
    }

    @Test func anEndThatNobodyOrderedLeavesTransfersRunning() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            try await net.internet.ip("addr add \(FlowTests.web4)/32 dev lo")
            _ = try await WebServer.start(on: net.internet, addresses: [FlowTests.web4])
            let webtun = try await Webtun.prepare(on: net.machine)
            let before = try await net.machine.networkState()
            for signal in [SIGKILL, SIGTERM] {
                let daemon = try await webtun.start(capture: "route", extra: ["--mode", "full"], log: "run\(signal)")
                #expect(try await net.machine.must(["nft", "list", "tables"]).text.contains("webtun_flows"))
                let slow = try await net.machine.start(
                    ["curl", "-sS", "--max-time", "60", "-o", "/dev/null", "http://\(FlowTests.web4)/slow"],
                    log: "slow\(signal)")
                try await Task.sleep(for: .milliseconds(500))
                daemon.signal(signal)
                #expect(await eventually(within: 5) { daemon.status != nil })
                let page = try await FlowTests.curl(
                    net.machine, "http://x.blocked.example/", at: FlowTests.web4, options: ["--max-time", "2"])
                #expect(page.isFine, "the network is back: \(page)")
                let read = try await received(net)
                try await Task.sleep(for: .seconds(1))
                #expect(try await received(net) > read, "it goes on")
                #expect(slow.status == nil, "\(slow.errors)")
                await slow.stop()
                if signal == SIGKILL { try await webtun.must(["cleanup"]) }
                #expect(try await net.machine.networkState() == before)
            }
        }
    }

    private func received(_ net: Internet) async throws -> Int {
        try await Int(net.machine.must(["cat", "/sys/class/net/eth0/statistics/rx_bytes"]).lines[0]) ?? 0
    }
}
