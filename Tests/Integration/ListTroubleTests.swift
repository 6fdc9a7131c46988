import Foundation
import Testing

/// Lists that cannot be read, fetched or written: each says why, and the machine is filtered by the last good state.
@Suite(.serialized) struct ListTroubleTests {
    static let web = SubscriptionTests.web

    /// A machine that is filtered by the list `web`, with the names of `SubscriptionTests.list`.
    static func with(_ body: (Webtun, SubscriptionTests.Site, Internet, Running) async throws -> Void) async throws {
        try await SubscriptionTests.with { webtun, site, net in
            let daemon = try await webtun.start()
            try await webtun.must(["list", "add", "http://\(web)/list", "--name", "web", "--every", "1m"])
            #expect(await eventually(within: 5) { (try? await isFiltered(net)) ?? false })
            try await body(webtun, site, net, daemon)
            daemon.signal(SIGTERM)
            #expect(await daemon.waitForEnd(within: 10) == 0)
        }
    }

    /// Whether a query of the machine is answered by the list.
    static func isFiltered(_ net: Internet, _ name: String = "two.listed.example") async throws -> Bool {
        try await net.machine.must(["dig", "+short", "+time=2", "+tries=1", "@\(Internet.resolverV4)", name]).text
            == "0.0.0.0\n"
    }

    /// `list update` fails with the reason, and everything is as before.
    static func refused(_ webtun: Webtun, _ net: Internet, _ reason: String, seconds: Double = 120) async throws {
        let output = try await webtun(["list", "update", "web", "--force"], seconds: seconds)
        #expect(output.status == 1, "\(output.text)")
        #expect(output.errors.contains(reason), "\(output.errors)")
        #expect(try await isFiltered(net))
        #expect(try await webtun(["list", "ls", "--json"]).text.contains("\"names\":3"))
        #expect(try await webtun.status()["filtering"] as? Bool == true)
        // The daemon may be at a try of its own.
        var left: [String] = []
        let isTidy = try await eventually(within: 10, every: 100) {
            left = try FileManager.default.contentsOfDirectory(atPath: webtun.state)
            return !left.contains { $0.hasPrefix("download-") || $0.hasSuffix(".new") }
        }
        #expect(isTidy, "\(left)")
    }

    /// The download itself is the trouble, while the daemon filters.
    @Test func downloadsThatAreNone() async throws {
        try await ListTroubleTests.with { webtun, site, net, daemon in
            let packed = try await net.machine.must([
                "sh", "-c", "seq 1 20000 | sed 's/.*/0.0.0.0 n&.example/' | gzip -c | head -c 20000 | base64",
            ])
            let cut = try #require(Data(base64Encoded: packed.text, options: .ignoreUnknownCharacters))
            try site.write(cut, to: "list")
            try await ListTroubleTests.refused(webtun, net, "packed with gzip, and cut or damaged")

            // A sparse file; nginx says how long it is, so not a byte of it is taken.
            try FileManager.default.removeItem(atPath: "\(site.folder)/list")
            try await net.machine.must(["truncate", "-s", "10G", "\(site.folder)/list"])
            try await ListTroubleTests.refused(webtun, net, "larger than 536870912 bytes")
            try FileManager.default.removeItem(atPath: "\(site.folder)/list")
            try await ListTroubleTests.refused(webtun, net, "the server answered 404")

            // The daemon's own try fails in the same way, and says so.
            try await must([
                "sqlite3", "\(webtun.state)/blocklist.db",
                "PRAGMA busy_timeout=5000; UPDATE list SET error = NULL, due = 0",
            ])
            let told = await eventually(within: 25, every: 250) {
                (try? await webtun(["list", "ls", "--json"]).text.contains("the server answered 404")) ?? false
            }
            #expect(told, "\(daemon.errors)")
            #expect(try await ListTroubleTests.isFiltered(net))

            try site.write(SubscriptionTests.list + "0.0.0.0 late.listed.example\n", to: "list")
            try await webtun.must(["list", "update", "web"])
            #expect(
                await eventually(within: 5) {
                    (try? await ListTroubleTests.isFiltered(net, "late.listed.example")) ?? false
                })
        }
    }

    /// A server that never says how much it sends, and never stops.
    @Test func aDownloadWithoutEnd() async throws {
        try await ListTroubleTests.with { webtun, _, net, _ in
            let server = try await net.internet.start(
                [
                    "sh", "-c",
                    "{ printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n'; yes endless.example; } | busybox nc -l -p 8082",
                ], log: "endless")
            try await Task.sleep(for: .milliseconds(300))
            let output = try await webtun(
                ["list", "add", "http://\(ListTroubleTests.web):8082/list", "--name", "endless"], seconds: 120)
            #expect(output.status == 1 && output.errors.contains("larger than 536870912 bytes"), "\(output.errors)")
            #expect(try await ListTroubleTests.isFiltered(net))
            #expect(try await webtun(["list", "ls", "--json"]).lines.count == 1)
            let left = try FileManager.default.contentsOfDirectory(atPath: webtun.state)
            #expect(!left.contains { $0.hasPrefix("download-") }, "\(left)")
            server.signal(SIGTERM)
            _ = await server.waitForEnd(within: 5)
        }
    }

    /// One line of a gigabyte is refused as a line; the names around it count.
    @Test func aLineOfAGigabyte() async throws {
        try await ListTroubleTests.with { webtun, _, net, _ in
            let file = net.lab.path("huge.txt")
            try await net.machine.must([
                "sh", "-c",
                "printf 'first.example\\n' > '\(file)' && truncate -s 1G '\(file)' && printf '\\nlast.example\\n' >> '\(file)'",
            ])
            let output = try await webtun(["list", "add", file, "--format", "domains"], seconds: 120)
            #expect(output.isFine && output.text == "added 'huge' (domains): 2 names, 1 refused\n", "\(output.errors)")
            #expect(output.errors.contains("huge.txt:2: longer than 65536 bytes"), "\(output.errors.prefix(300))")
            #expect(
                await eventually(within: 5) { (try? await ListTroubleTests.isFiltered(net, "last.example")) ?? false })
            #expect(try await ListTroubleTests.isFiltered(net))
        }
    }

    /// Another program holds the database: changes fail with the reason after five seconds, queries are answered all along,
    /// and afterwards the same commands work.
    @Test func aLockedDatabase() async throws {
        try await ListTroubleTests.with { webtun, site, net, _ in
            let database = "\(webtun.state)/blocklist.db"
            let added = net.lab.path("more.txt")
            try Data("more.example\n".utf8).write(to: URL(fileURLWithPath: added))
            try site.write(SubscriptionTests.list + "0.0.0.0 late.listed.example\n", to: "list")
            let holder = try await net.machine.start(
                ["sh", "-c", "(echo 'BEGIN EXCLUSIVE;'; sleep 9; echo 'COMMIT;') | sqlite3 '\(database)'"],
                log: "holder")
            try await Task.sleep(for: .milliseconds(700))
            let commands = [
                ["list", "add", added], ["list", "update", "web"], ["allow", "www.example"], ["rule", "undo"],
                ["list", "disable", "web"],
            ]
            let outputs = try await withThrowingTaskGroup(of: Output.self) { group in
                for command in commands { group.addTask { try await webtun(command, seconds: 60) } }
                for _ in 0..<12 {
                    #expect(try await ListTroubleTests.isFiltered(net))
                    try await Task.sleep(for: .milliseconds(300))
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for output in outputs {
                #expect(output.status == 1, "\(output.text)")
                #expect(
                    output.errors.contains("\(database) is locked by another program; try again when it has finished"),
                    "\(output.errors)")
            }
            // Reading goes on: the verdict is that of the last good state.
            #expect(try await webtun(["why", "two.listed.example"]).status == 3)
            #expect(try await webtun(["list", "ls", "--json"]).lines.count == 1)
            _ = await holder.waitForEnd(within: 20)
            for command in commands.prefix(3) { try await webtun.must(command) }
            #expect(
                await eventually(within: 5) { (try? await ListTroubleTests.isFiltered(net, "more.example")) ?? false })
            #expect(
                await eventually(within: 5) {
                    (try? await ListTroubleTests.isFiltered(net, "late.listed.example")) ?? false
                })
        }
    }

    /// The disk fills up in the middle of an update, and in the middle of building the index.
    @Test func aFullDisk() async throws {
        let disk = LogTroubleTests.SmallDisk()
        try await SubscriptionTests.with { webtun, site, net in
            try await disk.mount(at: webtun.state, kilobytes: 6144)
            do {
                let daemon = try await webtun.start()
                try await webtun.must(["list", "add", "http://\(ListTroubleTests.web)/list", "--name", "web"])
                #expect(await eventually(within: 5) { (try? await ListTroubleTests.isFiltered(net)) ?? false })

                // The download fits, the database does not.
                let many = (0..<130_000).map { "0.0.0.0 n\($0).many.example\n" }.joined()
                try site.write(many, to: "list")
                try await ListTroubleTests.refused(webtun, net, "is full")

                // The download does not fit.
                let more = (0..<300_000).map { "0.0.0.0 n\($0).many.example\n" }.joined()
                try site.write(more, to: "list")
                try await ListTroubleTests.refused(webtun, net, "No space left on device")

                // A rule, with the disk full to the last byte.
                let filler = webtun.state + "/filler"
                _ = try? await must(["sh", "-c", "dd if=/dev/zero of='\(filler)' bs=4k 2>/dev/null || true"])
                let rule = try await webtun(["deny", "new.example"])
                #expect(rule.status == 0 || rule.errors.contains("is full"), "\(rule.errors)")
                #expect(try await ListTroubleTests.isFiltered(net))
                #expect(try await webtun.status()["filtering"] as? Bool == true)
                try FileManager.default.removeItem(atPath: filler)

                // With room again, the same works.
                try site.write(SubscriptionTests.list + "0.0.0.0 late.listed.example\n", to: "list")
                try await webtun.must(["list", "update", "web"])
                #expect(
                    await eventually(within: 5) {
                        (try? await ListTroubleTests.isFiltered(net, "late.listed.example")) ?? false
                    })
                daemon.signal(SIGTERM)
                #expect(await daemon.waitForEnd(within: 10) == 0)
            } catch {
                await disk.unmount(webtun.state)
                throw error
            }
            await disk.unmount(webtun.state)
        }
    }
}
