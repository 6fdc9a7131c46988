import Foundation
import Testing

/// Names that flows tell themselves, in bytes that real clients sent, cut where it hurts.
@Suite(.serialized) struct NameTests {
    /// The messages of `Tests/ContentFilterTests/Golden/NAME.hex`, one file each in the lab.
    private func messages(_ name: String, in lab: Lab) throws -> [(path: String, bytes: Data)] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(
            contentsOf: folder.appending(path: "ContentFilterTests/Golden/\(name).hex"), encoding: .utf8)
        var messages = [Data()]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.isEmpty { messages.append(Data()) }
            var digits = line.prefix { $0 != "#" }.filter { !$0.isWhitespace }[...]
            while let byte = UInt8(digits.prefix(2), radix: 16) {
                messages[messages.count - 1].append(byte)
                digits = digits.dropFirst(2)
            }
        }
        return try messages.filter { !$0.isEmpty }.enumerated().map { index, bytes in
            let path = lab.path("\(name)-\(index)")
            try bytes.write(to: URL(fileURLWithPath: path))
            return (path, bytes)
        }
    }

    /// A post-quantum hello in two pieces, cut in the midst of its name, each sent by itself. The machine's own TCP sends
    /// them, and nginx answers the one that may pass.
    @Test(arguments: ["link", "route"]) func aHelloInPieces(capture: String) async throws {
        try await FlowTests.with(
            capture: capture, prepare: { try await $0.must(["deny", "chrome131.example.com"]) }
        ) { world, _ in
            func send(_ file: String, to address: String) async throws -> (Output, rest: Data) {
                let (path, bytes) = try messages(file, in: world.net.lab)[0]
                let name = try #require(bytes.range(of: Data("\(file).example.com".utf8)), "\(file) names itself")
                let cut = name.lowerBound + 9
                let output = try await world.machine.run([
                    "bash", "-c",
                    """
                    exec 3<>/dev/tcp/\(address)/443 || exit 9
                    head -c \(cut) \(path) >&3; sleep 0.2; tail -c +\(cut + 1) \(path) >&3
                    timeout 5 head -c 5 <&3 | od -An -tx1
                    exit ${PIPESTATUS[0]}
                    """,
                ])
                return (output, bytes[cut..<min(cut + 500, bytes.count)])
            }
            for address in [FlowTests.web4, FlowTests.web6] {
                let (blocked, kept) = try await send("chrome131", to: address)
                #expect(blocked.status == 1 && blocked.errors.contains("reset"), "\(address): \(blocked)")
                let (allowed, sent) = try await send("firefox135", to: address)
                #expect(allowed.isFine && allowed.text.hasPrefix(" 16 03"), "\(address): \(allowed)")
                let seen = world.net.capture.bytes()
                #expect(seen.range(of: sent) != nil && seen.range(of: kept) == nil, "\(address)")
            }
            let dropped = try await FlowTests.row(world, "name = 'chrome131.example.com'")
            #expect(dropped?["verdict"] as? String == "drop", "\(dropped ?? [:])")
            #expect(dropped?["name_source"] as? String == "sni", "\(dropped ?? [:])")
            let allowed = try await FlowTests.row(world, "name = 'firefox135.example.com'")
            #expect(allowed?["verdict"] as? String == "allow", "\(allowed ?? [:])")
        }
    }

    /// A hello over two QUIC datagrams: the second one, which completes the name, does not leave.
    @Test(arguments: ["link", "route"]) func initialsOfQUIC(capture: String) async throws {
        try await FlowTests.with(
            capture: capture,
            prepare: {
                try await $0.must(["deny", "h3.example.com"])
                try await $0.must(["deny", "aioquic2.example.com"])
            }
        ) { world, _ in
            // Nobody listens, and nobody says so.
            for family in ["ip", "ip6"] {
                try await world.net.internet.nft(
                    """
                    table \(family) quiet {
                        chain in {
                            type filter hook input priority 0
                            udp dport 443 drop
                        }
                    }
                    """)
            }
            func send(_ file: String, to address: String) async throws -> (Output, [Data]) {
                let messages = try messages(file, in: world.net.lab)
                let writes = messages.map { "dd if=\($0.path) bs=2048 status=none >&3 || exit 8; sleep 0.2; " }
                // The next call on the socket tells of an ICMP error.
                let output = try await world.machine.run([
                    "bash", "-c", "exec 3<>/dev/udp/\(address)/443; \(writes.joined())echo >&3 || exit 7",
                ])
                return (output, messages.map(\.bytes))
            }
            for address in [FlowTests.web4, FlowTests.web6] {
                for (file, name) in [("chrome146-h3", "h3.example.com"), ("aioquic-v2", "aioquic2.example.com")] {
                    let (output, datagrams) = try await send(file, to: address)
                    #expect(output.status == 7, "\(file) to \(address): \(output)")
                    let seen = world.net.capture.bytes()
                    #expect(seen.range(of: datagrams[datagrams.count - 1]) == nil, "\(file) left for \(address)")
                    let row = try await FlowTests.row(world, "name = '\(name)' AND remote = '\(address)'")
                    #expect(row?["verdict"] as? String == "drop", "\(row ?? [:])")
                    #expect(row?["name_source"] as? String == "quic" && row?["port"] as? Int == 443, "\(row ?? [:])")
                }
                let (output, datagrams) = try await send("aioquic-v1", to: address)
                #expect(output.isFine, "\(output)")
                #expect(world.net.capture.bytes().range(of: datagrams[0]) != nil, "\(address)")
                let row = try await FlowTests.row(world, "name = 'aioquic.example.com' AND remote = '\(address)'")
                #expect(row?["verdict"] as? String == "allow", "\(row ?? [:])")
            }
        }
    }
}
