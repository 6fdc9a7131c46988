import Foundation
import Testing

/// The database takes a list, and the index of it finds no room.
@Suite(.serialized) struct IndexTroubleTests {
    /// Bytes that can still be written below a path.
    private static func room(_ path: String) throws -> Int {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else { throw LabError("statvfs \(path): \(errno)") }
        return Int(facts.f_bavail) * Int(facts.f_frsize)
    }

    /// Leaves so many bytes below the state directory, by a file that is removed with `free`.
    private static func leave(_ bytes: Int, in state: String) async throws {
        let filler = try room(state) - bytes
        if filler > 0 { try await must(["fallocate", "-l", "\(filler)", "\(state)/filler-\(UUID())"]) }
    }

    private static func free(_ state: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: state) where name.hasPrefix("filler-") {
            try FileManager.default.removeItem(atPath: "\(state)/\(name)")
        }
    }

    private static func bytes(_ webtun: Webtun) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: webtun.state + "/blocklist.index"))
    }

    /// Adds the list where the database has room for it, since it was there before, and the index of it has not. Returns what
    /// the command said, and the index as it was before.
    private static func addWithoutRoomForTheIndex(_ webtun: Webtun, _ file: String) async throws -> (Output, Data) {
        try await webtun.must(["list", "add", file, "--name", "many"])
        try await webtun.must(["list", "rm", "many"])
        let index = try bytes(webtun)
        // The daemon lets go of the index it had, whose room counts as taken until then, some seconds later.
        for _ in 0..<12 {
            try await leave(128 << 10, in: webtun.state)
            try await Task.sleep(for: .milliseconds(500))
        }
        return (try await webtun(["list", "add", file, "--name", "many"]), index)
    }

    @Test func theOldIndexServesUntilThereIsRoom() async throws {
        let disk = LogTroubleTests.SmallDisk()
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            try await disk.mount(at: webtun.state, kilobytes: 49_152)
            do {
                try await Self.isServedByTheOldIndex(webtun, net)
            } catch {
                await disk.unmount(webtun.state)
                throw error
            }
            await disk.unmount(webtun.state)
        }
    }

    private static func isServedByTheOldIndex(_ webtun: Webtun, _ net: Internet) async throws {
        func isFiltered(_ name: String) async throws -> Bool { try await ListTroubleTests.isFiltered(net, name) }
        try await webtun.must(["list", "add", net.lab.write("old.listed.example\n", to: "old.txt")])
        let daemon = try await webtun.start()
        #expect(try await isFiltered("old.listed.example"))
        let many = (0..<60_000).map { "name-\($0 &* 2_654_435_761 % 99_991).of\($0).many.example\n" }.joined()
        let file = try net.lab.write(many, to: "many.txt")

        let (output, index) = try await addWithoutRoomForTheIndex(webtun, file)
        #expect(output.status == 1, "\(output)")
        #expect(output.errors.contains("blocklist.index.new: No space left on device"), "\(output.errors)")
        #expect(output.errors.contains("the change is kept, and comes into force when"), "\(output.errors)")
        func isAsBefore() async throws {
            #expect(try bytes(webtun) == index, "the index of before, byte for byte")
            #expect(try await isFiltered("old.listed.example"))
            #expect(try await isFiltered("x.blocked.example"))
            #expect(try await !isFiltered("name-0.of0.many.example"))
            #expect(try await webtun(["list", "ls", "--json"]).lines.count == 2, "the list is in the database")
            #expect(try await webtun.status()["filtering"] as? Bool == true)
            #expect(
                try await must(["sqlite3", "\(webtun.state)/blocklist.db", "PRAGMA integrity_check"]).text == "ok\n")
        }
        try await isAsBefore()
        // The daemon tries too, says why it cannot, and follows rules meanwhile.
        let told = try await eventually(within: 10, every: 200) {
            try await webtun(["status"]).text.contains("their index cannot be made")
        }
        let status = try await webtun(["status"])
        #expect(told, "\(status)\n\(daemon.errors)")
        try await webtun.must(["deny", "--suffix", "new.allowed.example"])
        #expect(try await eventually(within: 2, every: 50) { try await isFiltered("new.allowed.example") })
        try await isAsBefore()
        // One that starts now serves by it as well. SQLite gives room back when the last program closes the database.
        daemon.signal(SIGTERM)
        #expect(await daemon.waitForEnd(within: 10) == 0)
        try await leave(128 << 10, in: webtun.state)
        let second = try await webtun.start(log: "second")
        #expect(second.errors.contains("those of before"), "\(second.errors)")
        try await isAsBefore()
        let left = try FileManager.default.contentsOfDirectory(atPath: webtun.state)
        #expect(!left.contains { $0.hasPrefix("download-") }, "\(left)")

        // With room it comes into force by itself.
        try free(webtun.state)
        #expect(
            try await eventually(within: 45, every: 250) { try await isFiltered("name-0.of0.many.example") },
            "\(second.errors)")
        #expect(try await isFiltered("old.listed.example"))
        #expect(try await isFiltered("new.allowed.example"))
        let well = try await eventually(within: 3, every: 100) {
            try await !webtun(["status"]).text.contains("their index cannot be made")
        }
        #expect(well)
        // And so does the next list.
        try await webtun.must(["list", "add", net.lab.write("third.listed.example\n", to: "third.txt")])
        #expect(try await eventually(within: 3, every: 50) { try await isFiltered("third.listed.example") })
        second.signal(SIGTERM)
        #expect(await second.waitForEnd(within: 10) == 0)
    }
}
