import Foundation
import Testing

/// A query log that cannot be written: DNS goes on, `status` says so, and the rows come when it can.
@Suite(.serialized) struct LogTroubleTests {
    /// A file system of its own for the state directory, so small that it fills up.
    final class SmallDisk: Sendable {
        /// Puts the directory's contents on the small disk.
        func mount(at path: String, kilobytes: Int) async throws {
            _ = try await must([
                "sh", "-c",
                "cp -a '\(path)' '\(path).was' && mount -t tmpfs -o size=\(kilobytes)k tmpfs '\(path)' && cp -a '\(path).was/.' '\(path)'",
            ])
        }

        func remount(_ path: String, _ options: String) async throws {
            _ = try await must(["mount", "-o", "remount,\(options)", path])
        }

        func unmount(_ path: String) async {
            _ = try? await must(["umount", "-l", path])
        }
    }

    /// Runs `body` in a world whose state directory is on a small disk.
    func onSmallDisk(_ body: (World, SmallDisk) async throws -> Void) async throws {
        let disk = SmallDisk()
        try await World.with(
            prepare: { _, webtun in try await disk.mount(at: webtun.state, kilobytes: 8192) }
        ) { world in
            do {
                try await body(world, disk)
            } catch {
                await disk.unmount(world.webtun.state)
                throw error
            }
            world.daemon.signal(SIGTERM)
            #expect(await world.daemon.waitForEnd(within: 10) == 0)
            await disk.unmount(world.webtun.state)
        }
    }

    /// `log` of `status --json`.
    func log(_ world: World) async throws -> [String: any Sendable] {
        try #require(try await world.webtun.status()["log"] as? [String: any Sendable])
    }

    func waits(_ world: World, for reason: String) async throws -> Bool {
        try await eventually(within: 8, every: 200) {
            let log = try await self.log(world)
            return log["state"] as? String == "waiting" && (log["reason"] as? String ?? "").contains(reason)
        }
    }

    func count(_ world: World, _ pattern: String) async throws -> Int {
        let rows = try await world.webtun.sql("SELECT count(*) AS n FROM queries WHERE qname LIKE '\(pattern)'")
        return rows.first?["n"] as? Int ?? -1
    }

    @Test func aFullDisk() async throws {
        try await onSmallDisk { world, _ in
            let filler = world.webtun.state + "/filler"
            _ = try await world.ask("before.blocked.example")
            #expect(try await eventually(within: 5, every: 200) { try await count(world, "before%") == 1 })
            // dd ends with an error when the disk is full.
            _ = try? await must(["sh", "-c", "dd if=/dev/zero of='\(filler)' bs=4k 2>/dev/null || true"])
            for number in 0..<40 {
                let reply = try await world.ask("full\(number).blocked.example", timeout: 500)
                #expect(reply.answer == ["0.0.0.0"], "\(reply)")
            }
            #expect(try await world.ask("full.allowed.example").answer == [Internet.forwardedV4])
            #expect(try await waits(world, for: "full"))
            #expect(try await world.webtun.status()["filtering"] as? Bool == true)
            try FileManager.default.removeItem(atPath: filler)
            #expect(try await eventually(within: 8, every: 200) { try await count(world, "full%") == 41 })
            #expect(try await log(world)["state"] as? String == "writing")
            #expect(try await log(world)["dropped_rows"] as? Int == 0)
        }
    }

    /// The log lies on a file system that is mounted read-only, and is made writable later.
    @Test func aReadOnlyFileSystem() async throws {
        let disk = SmallDisk()
        try await World.with(
            prepare: { net, webtun in
                let folder = net.machine.lab.path("readonly")
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
                try await disk.mount(at: folder, kilobytes: 8192)
                try await disk.remount(folder, "ro")
                try FileManager.default.createSymbolicLink(
                    atPath: webtun.state + "/querylog.db", withDestinationPath: folder + "/querylog.db")
            }
        ) { world in
            let folder = world.machine.lab.path("readonly")
            do {
                for number in 0..<20 {
                    let reply = try await world.ask("held\(number).blocked.example", timeout: 500)
                    #expect(reply.answer == ["0.0.0.0"], "\(reply)")
                }
                #expect(try await waits(world, for: "querylog.db"))
                #expect(try await world.webtun.status()["filtering"] as? Bool == true)
                try await disk.remount(folder, "rw")
                // The daemon has mounts of its own since it was started in its namespace.
                let pid = try #require(try await world.webtun.status()["pid"] as? Int)
                _ = try await must(["nsenter", "-t", "\(pid)", "-m", "mount", "-o", "remount,rw", folder])
                #expect(
                    try await eventually(within: 8, every: 200) { try await log(world)["written_rows"] as? Int == 20 })
                #expect(try await count(world, "held%") == 20)
            } catch {
                await disk.unmount(folder)
                throw error
            }
            world.daemon.signal(SIGTERM)
            #expect(await world.daemon.waitForEnd(within: 10) == 0)
            await disk.unmount(folder)
        }
    }

    @Test func aFileOfGarbage() async throws {
        try await World.with { (world: World) async throws in
            _ = try await world.ask("first.blocked.example")
            world.daemon.signal(SIGTERM)
            #expect(await world.daemon.waitForEnd(within: 10) == 0)
            let path = world.webtun.state + "/querylog.db"
            let garbage = Data((0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7919) })
            try garbage.write(to: URL(filePath: path))
            let again = try await world.webtun.start(log: "again")
            #expect(try await world.ask("second.blocked.example").answer == ["0.0.0.0"])
            // The tables are there only when the writer has made them.
            let isKept = await eventually(within: 5, every: 200) { (try? await count(world, "second%")) == 1 }
            #expect(isKept)
            let aside = try #require(try await log(world)["set_aside"] as? [any Sendable])
            let kept = try #require(aside.first as? String)
            #expect(aside.count == 1 && kept.hasPrefix(path + ".corrupt-"))
            #expect(try Data(contentsOf: URL(filePath: kept)) == garbage)
            again.signal(SIGTERM)
            #expect(await again.waitForEnd(within: 10) == 0)
        }
    }

    @Test func anotherProgramThatHoldsTheLock() async throws {
        try await World.with { (world: World) async throws in
            _ = try await world.ask("before.blocked.example")
            #expect(try await eventually(within: 5, every: 200) { try await count(world, "before%") == 1 })
            let path = world.webtun.state + "/querylog.db"
            let holder = try await world.machine.start(
                ["sh", "-c", "(echo 'BEGIN IMMEDIATE; SELECT 1;'; sleep 4; echo 'COMMIT;') | sqlite3 '\(path)'"],
                log: "holder")
            try await Task.sleep(for: .milliseconds(500))
            for number in 0..<50 {
                let reply = try await world.ask("held\(number).blocked.example", timeout: 500)
                #expect(reply.answer == ["0.0.0.0"], "\(reply)")
            }
            #expect(try await waits(world, for: "locked"))
            _ = await holder.waitForEnd(within: 10)
            #expect(try await eventually(within: 8, every: 200) { try await count(world, "held%") == 50 })
            #expect(try await log(world)["dropped_rows"] as? Int == 0)
        }
    }
}
