import Foundation
import Testing

/// QUIC as a real client speaks it (ngtcp2's, from Debian), through full mode: named by its ClientHello, and judged by it.
@Suite(.serialized) struct QUICTests {
    /// A QUIC server (ngtcp2's, from Debian), with one page. What it says of each connection is its output.
    private static func serve(_ host: Host, at address: String) async throws -> Running {
        let lab = host.lab
        let folder = lab.path("quic")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try lab.write("a page over quic\n", to: "quic/index.html")
        if !FileManager.default.fileExists(atPath: "\(folder)/key.pem") {
            try await must([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", "/CN=quic.example", "-keyout", "\(folder)/key.pem", "-out",
                "\(folder)/certificate.pem",
            ])
        }
        let server = try await host.start(
            [
                "/usr/sbin/gtlsserver", "-d", folder, address, "443", "\(folder)/key.pem", "\(folder)/certificate.pem",
            ], log: "quic-\(address)")
        let up = try await eventually(within: 10) {
            try await host.must(["ss", "-Hlun", "sport = :443"]).text.contains(address)
        }
        guard up, server.status == nil else { throw LabError("no QUIC server on \(address): \(server.errors)") }
        return server
    }

    /// Gets the page over QUIC: what came of it, and what the client said.
    private static func get(
        _ host: Host, _ name: String, seconds: Double = 20
    ) async throws -> (page: String?, said: String) {
        let folder = host.lab.path("got-\(name)")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let output = try await host.run(
            [
                "gtlsclient", "--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close", "--download=\(folder)",
                name, "443", "https://\(name)/index.html",
            ], seconds: seconds)
        return (try? String(contentsOfFile: "\(folder)/index.html", encoding: .utf8), output.errors)
    }

    /// The names of the pages, by the address they have in the machine's hosts file: the client names a server only by a name
    /// that it looked up. No query tells webtun of them.
    private static func names(_ family: Int) -> (allowed: String, forbidden: [String]) {
        ("page\(family).allowed.example", ["no\(family).forbidden.example", "x\(family).blocked.example"])
    }

    /// Datagrams that a server has told of.
    private static func received(_ server: Running) -> Int {
        server.errors.components(separatedBy: " con recv packet ").count - 1
    }

    /// Datagrams to a QUIC server on the internet's side of the link, so far.
    private static func datagrams(_ world: World) async throws -> Int {
        try await world.net.internet.must(["tcpdump", "-nr", world.net.capture.path, "udp dst port 443"]).lines.count
    }

    /// ICMP errors that the machine was told, of both families.
    private static func refusals(_ host: Host) async throws -> Int {
        let text = try await host.must(["cat", "/proc/net/snmp", "/proc/net/snmp6"]).text
        let lines = text.split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace) }
        let four = lines.filter { $0[0] == "Icmp:" }
        let place = try #require(four.first?.firstIndex(of: "InDestUnreachs"))
        let six = lines.first { $0[0] == "Icmp6InDestUnreachs" }
        return (Int(four[1][place]) ?? 0) + (six.flatMap { Int($0[1]) } ?? 0)
    }

    private static let addresses = [4: FlowTests.web4, 6: FlowTests.web6]

    @Test(arguments: ["link", "route"]) func aHandshakeIsNamedAndJudged(capture: String) async throws {
        try await World.with(
            capture: capture, extra: ["--mode", "full"],
            prepare: { net, webtun in
                try await net.internet.ip(
                    "addr add \(FlowTests.web4)/32 dev lo\naddr add \(FlowTests.web6)/128 dev lo")
                var hosts = ""
                for (family, address) in Self.addresses {
                    for name in [Self.names(family).allowed] + Self.names(family).forbidden {
                        hosts += "\(address) \(name)\n"
                    }
                }
                try net.machine.etc("hosts", hosts)
                try await webtun.must(["flow", "deny", "--name", "forbidden.example"])
            }
        ) { (world: World) async throws in
            var servers: [Running] = []
            for address in Self.addresses.values {
                servers.append(try await Self.serve(world.net.internet, at: address))
            }
            for (family, address) in Self.addresses {
                try await Self.passes(world, Self.names(family).allowed, address)
            }
            // The connections' ends arrive.
            try await Task.sleep(for: .seconds(1))
            let before = try await Self.datagrams(world)
            #expect(before > 0)
            let told = servers.map(Self.received)
            #expect(told.allSatisfy { $0 > 0 })
            for (family, address) in Self.addresses {
                for name in Self.names(family).forbidden { try await Self.isRefused(world, name, address) }
            }
            try await Task.sleep(for: .milliseconds(300))
            let after = try await Self.datagrams(world)
            #expect(after == before, "no datagram of theirs has left")
            #expect(servers.map(Self.received) == told, "no server has heard of them")
            let status = try await world.webtun.status()
            #expect(status["flows_dropped"] as? Int == 4, "\(status)")
        }
    }

    private static func passes(_ world: World, _ name: String, _ address: String) async throws {
        let (page, said) = try await get(world.machine, name)
        #expect(page == "a page over quic\n", "\(said)")
        let row = try await FlowTests.row(world, "name = '\(name)'")
        let flows = try await world.webtun.sql("SELECT * FROM flows")
        #expect(row?["name_source"] as? String == "quic", "\(flows)")
        #expect(row?["verdict"] as? String == "allow", "\(flows)")
        #expect(row?["remote"] as? String == address && row?["port"] as? Int == 443, "\(flows)")
        #expect(row?["proto"] as? String == "udp", "\(flows)")
    }

    /// The machine is told of it by an ICMP error, and no page comes. This client does not listen to such errors: it is ended.
    private static func isRefused(_ world: World, _ name: String, _ address: String) async throws {
        let heard = try await refusals(world.machine)
        let client = Task { try await get(world.machine, name, seconds: 2.5) }
        let hears = try await eventually(within: 3, every: 20) { try await refusals(world.machine) > heard }
        #expect(hears, "no ICMP error told of it")
        let (page, said) = try await client.value
        #expect(page == nil, "\(said)")
        let row = try await FlowTests.row(world, "name = '\(name)'")
        #expect(row?["name_source"] as? String == "quic", "\(row ?? [:])")
        #expect(row?["verdict"] as? String == "drop" && row?["remote"] as? String == address, "\(row ?? [:])")
    }
}
