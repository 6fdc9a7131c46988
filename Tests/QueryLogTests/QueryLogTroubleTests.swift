import Foundation
import GRDBSQLite
import Testing
import Wire

@testable import QueryLog

/// Trouble with the database must not lose rows, and must end by itself.
@Suite struct QueryLogTroubleTests {
    let base: QueryLogWriterTests
    var scratch: Scratch { base.scratch }

    init() throws {
        base = try QueryLogWriterTests()
    }

    /// Waits until `condition` holds, at most ten seconds.
    func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<1000 {
            if condition() { return true }
            usleep(10_000)
        }
        return false
    }

    func count() throws -> Int {
        Int(try rows(scratch.database, "SELECT count(*) FROM queries")[0][0]!)!
    }

    @Test func rowsWaitWhileAnotherProgramHoldsTheLock() throws {
        let writer = try base.writer()
        base.push(row(time: 1), "a.example")
        #expect(writer.flush())
        let other = try Connection(scratch.database, .readWrite)
        try other.execute("BEGIN IMMEDIATE")
        for number in 0..<1000 { base.push(row(time: Int64(number)), "b.example") }
        #expect(!writer.flush(seconds: 1))
        guard case .waiting(let reason) = writer.state else {
            Issue.record("state is \(writer.state)")
            return
        }
        #expect(reason.contains("database is locked"))
        #expect(writer.status.waitingBytes > 100_000)
        try other.execute("COMMIT")
        #expect(writer.flush())
        #expect(writer.state == .writing)
        writer.stop()
        #expect(try count() == 1001)
        #expect(writer.status.droppedRows == 0)
    }

    @Test func whatNoLongerFitsIsDroppedAndCounted() throws {
        let writer = try base.writer()
        #expect(writer.flush())
        let other = try Connection(scratch.database, .readWrite)
        try other.execute("BEGIN IMMEDIATE")
        var pushed = 0
        for number in 0..<60_000 where base.push(row(time: Int64(number)), "b.example") { pushed += 1 }
        #expect(pushed < 60_000)
        #expect(writer.status.droppedRows == Int64(60_000 - pushed))
        try other.execute("COMMIT")
        writer.stop()
        #expect(writer.status.writtenRows == Int64(pushed))
        #expect(try count() == pushed)
    }

    @Test func stopCountsWhatItCannotWrite() throws {
        let writer = try base.writer()
        #expect(writer.flush())
        let other = try Connection(scratch.database, .readWrite)
        try other.execute("BEGIN IMMEDIATE")
        for number in 0..<10 { base.push(row(time: Int64(number)), "b.example") }
        writer.stop()
        try other.execute("COMMIT")
        #expect(writer.status.droppedRows == 10)
        #expect(writer.state == .stopped)
        #expect(try count() == 0)
    }

    @Test(arguments: ["this is no database, but long enough to be looked at as one ".data(using: .utf8)!, Data()])
    func aCorruptFileIsSetAside(_ contents: Data) throws {
        let bytes = contents.isEmpty ? try corruptDatabase() : contents
        try bytes.write(to: URL(fileURLWithPath: scratch.database))
        let writer = try base.writer()
        base.push(row(time: 1), "a.example")
        #expect(writer.flush())
        writer.stop()
        #expect(try count() == 1)
        let aside = try #require(writer.status.setAside.first)
        #expect(writer.status.setAside.count == 1)
        #expect(aside.hasPrefix(scratch.database + ".corrupt-2"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: aside)) == bytes)
    }

    /// A log whose schema is whole, but whose table of rows is not.
    func corruptDatabase() throws -> Data {
        let other = try QueryLogWriterTests()
        let writer = try other.writer()
        for number in 0..<5000 { other.push(row(time: Int64(number)), "n\(number).example") }
        writer.stop()
        let root = try #require(
            try rows(other.scratch.database, "SELECT rootpage FROM sqlite_schema WHERE name = 'query_log'")[0][0])
        var data = try Data(contentsOf: URL(fileURLWithPath: other.scratch.database))
        let start = (Int(root)! - 1) * 4096
        data.replaceSubrange(start..<start + 4096, with: Data(repeating: 0xa5, count: 4096))
        return data
    }

    @Test func aFileThatTurnsCorruptWhileOpenIsSetAside() throws {
        let writer = try base.writer()
        for number in 0..<3000 { base.push(row(time: Int64(number)), "n\(number).example") }
        #expect(writer.flush())
        // Everything into the main file, then a scribble over all but the first page.
        _ = try rows(scratch.database, "PRAGMA wal_checkpoint(TRUNCATE)")
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: scratch.database))
        let size = try file.seekToEnd()
        try file.seek(toOffset: 4096)
        file.write(Data(repeating: 0x5a, count: Int(size) - 4096))
        try file.close()
        // The writer's own cache hides the fault until pages are read again.
        let done = eventually {
            for number in 0..<500 { base.push(row(time: Int64(number)), "other\(number).example") }
            return writer.flush() && !writer.status.setAside.isEmpty
        }
        #expect(done)
        base.push(row(time: 5), "last.example")
        #expect(writer.flush())
        writer.stop()
        #expect(scratch.files.contains { $0.hasPrefix("querylog.db.corrupt-") })
        #expect(
            try rows(scratch.database, "SELECT qname FROM queries ORDER BY id DESC LIMIT 1") == [["last.example"]])
    }

    @Test func aFullDiskIsWaitedFor() throws {
        try onSmallDisk(bytes: 2 << 20) { directory in
            let ring = try QueryRing(capacity: 4 << 20)
            let writer = try QueryLogWriter(
                path: directory + "/querylog.db", rings: [ring], labels: testLabels, options: testOptions())
            #expect(writer.flush())
            let filler = directory + "/filler"
            _ = FileManager.default.createFile(atPath: filler, contents: nil)
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: filler))
            while (try? file.write(contentsOf: Data(repeating: 1, count: 4096))) != nil {}
            try file.close()
            for number in 0..<3000 {
                ring.push(
                    row(time: Int64(number)), qname: Name("name\(number).example")!.bytes, answer: RawSpan())
            }
            #expect(!writer.flush(seconds: 1))
            guard case .waiting(let reason) = writer.state else {
                Issue.record("state is \(writer.state)")
                return
            }
            #expect(reason.contains("full") || reason.contains("disk I/O error"))
            try FileManager.default.removeItem(atPath: filler)
            #expect(writer.flush())
            writer.stop()
            #expect(writer.status.droppedRows == 0)
            #expect(
                try rows(directory + "/querylog.db", "SELECT count(*), count(DISTINCT qname) FROM queries")
                    == [["3000", "3000"]])
        }
    }

    @Test func aReadOnlyFileSystemIsWaitedFor() throws {
        try onSmallDisk(bytes: 4 << 20) { directory in
            let ring = try QueryRing(capacity: 1 << 20)
            #expect(run("/bin/mount", "-o", "remount,ro", directory))
            let writer = try QueryLogWriter(
                path: directory + "/querylog.db", rings: [ring], labels: testLabels, options: testOptions())
            ring.push(row(time: 1), qname: Name("a.example")!.bytes, answer: RawSpan())
            #expect(!writer.flush(seconds: 0.5))
            guard case .waiting(let reason) = writer.state else {
                Issue.record("state is \(writer.state)")
                return
            }
            #expect(reason.contains(directory))
            #expect(run("/bin/mount", "-o", "remount,rw", directory))
            #expect(writer.flush())
            writer.stop()
            #expect(try rows(directory + "/querylog.db", "SELECT qname FROM queries") == [["a.example"]])
        }
    }

    @Test func aMissingDirectoryIsWaitedFor() throws {
        let directory = scratch.path + "/later"
        let ring = try QueryRing(capacity: 1 << 20)
        let writer = try QueryLogWriter(
            path: directory + "/querylog.db", rings: [ring], labels: testLabels, options: testOptions())
        ring.push(row(time: 1), qname: Name("a.example")!.bytes, answer: RawSpan())
        #expect(!writer.flush(seconds: 0.3))
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        #expect(writer.flush())
        writer.stop()
        #expect(try rows(directory + "/querylog.db", "SELECT qname FROM queries") == [["a.example"]])
    }

    @Test func aFileThatWasMovedAwayIsBegunAnew() throws {
        let writer = try base.writer()
        base.push(row(time: 1), "first.example")
        #expect(writer.flush())
        let old = scratch.path + "/old.db"
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.moveItem(atPath: scratch.database + suffix, toPath: old + suffix)
        }
        base.push(row(time: 2), "second.example")
        #expect(writer.flush())
        writer.stop()
        #expect(try rows(scratch.database, "SELECT qname FROM queries") == [["second.example"]])
        #expect(try rows(old, "SELECT qname FROM queries") == [["first.example"]])
    }

    @Test func aNewerFileIsRefusedUntouched() throws {
        try base.writer().stop()
        _ = try rows(scratch.database, "INSERT INTO grdb_migrations VALUES ('holograms')")
        let before = try Data(contentsOf: URL(fileURLWithPath: scratch.database))
        #expect(throws: QueryLogError.newer(path: scratch.database, migration: "holograms")) { try base.writer() }
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.database)) == before)
        #expect(scratch.files.filter { $0.contains("corrupt") }.isEmpty)
    }

    @Test func aForeignDatabaseIsRefusedUntouched() throws {
        _ = try rows(scratch.database, "CREATE TABLE recipes (id INTEGER PRIMARY KEY, text TEXT)")
        #expect(throws: QueryLogError.foreign(path: scratch.database)) { try base.writer() }
        #expect(
            try rows(scratch.database, "SELECT name FROM sqlite_schema WHERE type = 'table'") == [["recipes"]])
    }

    @Test func rowsOfAnotherHandDoNotStopTheWriter() throws {
        let writer = try base.writer()
        base.push(row(time: 1), "a.example")
        #expect(writer.flush())
        _ = try rows(
            scratch.database,
            "INSERT INTO query_log SELECT id + 1, outcome, name, source, time, qtype, NULL, NULL, 1, NULL, NULL FROM query_log"
        )
        base.push(row(time: 2), "b.example")
        #expect(writer.flush())
        writer.stop()
        #expect(
            try rows(scratch.database, "SELECT qname FROM queries ORDER BY id")
                == [["a.example"], ["a.example"], ["b.example"]])
    }

    // MARK: - Help

    func run(_ tool: String, _ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: tool)
        process.arguments = arguments
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    /// Runs `body` with a directory that is a file system of `bytes`; needs the right to mount.
    func onSmallDisk(bytes: Int, _ body: (String) throws -> Void) throws {
        let directory = scratch.path + "/disk"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        try #require(run("/bin/mount", "-t", "tmpfs", "-o", "size=\(bytes)", "tmpfs", directory))
        defer { _ = run("/bin/umount", "-l", directory) }
        try body(directory)
    }
}
