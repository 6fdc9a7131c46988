import Foundation
import GRDBSQLite
import Kernel
import Synchronization
import Testing
import Wire

@testable import QueryLog

/// What an administrator does with the file, beside a writer that goes on.
@Suite struct LogDatabaseTests {
    let base: QueryLogWriterTests
    var scratch: Scratch { base.scratch }
    static let start: Int64 = 1_767_225_600_000_000

    init() throws {
        base = try QueryLogWriterTests()
    }

    /// `count` queries a second apart by two clients, each tenth blocked, and as many flows as a tenth of that.
    func fill(_ count: Int) {
        for number in 0..<count {
            let made = row(time: Self.start + Int64(number) * 1_000_000) {
                $0.client = IPAddress(number % 4 == 0 ? "2001:db8::77" : "192.0.2.10")!
                $0.verdict = number % 10 == 0 ? .block : .forward
                $0.owner = Owner(uid: 1000, pid: Int32(number % 3), path: UInt64(number % 3 + 1), certainty: .exact)
            }
            while !base.push(made, "n\(number % 100).\(number % 2 == 0 ? "even" : "odd").example", "203.0.113.5") {
                usleep(1000)
            }
            guard number % 10 == 0 else { continue }
            var flow = FlowRow()
            flow.flow = UInt64(number + 1)
            flow.time = made.time
            flow.client = made.client
            flow.remote = IPAddress("198.51.100.9")!
            flow.proto = 6
            base.ring.push(flow, name: Name("flow.example")!.bytes)
        }
    }

    @Test func purgesWhatIsNamedWhileTheWriterGoesOn() throws {
        let writer = try base.writer()
        fill(20_000)
        #expect(writer.flush())
        // A writer that never rests meanwhile.
        let isDone = Atomic(false)
        let ring = base.ring
        let pushed = Atomic(0)
        let thread = Thread {
            while !isDone.load(ordering: .relaxed) {
                let name = Name("n\(pushed.load(ordering: .relaxed) % 100).even.example")!
                if ring.push(
                    row(time: Self.start + 3_600_000_000_000), qname: name.bytes, answer: AnswerDigest().bytes)
                {
                    pushed.add(1, ordering: .relaxed)
                }
                usleep(100)
            }
        }
        thread.start()
        let log = try LogDatabase(path: scratch.database)
        var selection = PurgeSelection(before: Self.start + 10_000_000_000, name: "*.EVEN.example")
        #expect(try log.count(selection) == 5000)
        #expect(try log.purge(selection) == 5000)
        #expect(try log.count(selection) == 0)
        selection = PurgeSelection(client: "2001:db8:*")
        // Of 20,000 queries a quarter is this client's, half of the first half of these was removed; flows: half of 2000.
        #expect(try log.purge(selection) == 2500 + 1000)
        isDone.store(true, ordering: .relaxed)
        usleep(10_000)
        #expect(writer.flush())
        writer.stop()
        #expect(writer.status.droppedRows == 0)
        let extra = pushed.load(ordering: .relaxed)
        #expect(extra > 10)
        #expect(
            try rows(
                scratch.database,
                """
                SELECT count(*), sum(qname IS NULL), sum(answer IS NULL), sum(client IS NULL) FROM queries
                WHERE time < '2026-01-03'
                """)
                == [["12500", "0", "0", "0"]])
        // What the writer wrote meanwhile has its names, though they were being swept.
        #expect(
            try rows(scratch.database, "SELECT count(*), sum(qname IS NULL) FROM queries WHERE time > '2026-01-03'")
                == [["\(extra)", "0"]])
        #expect(try rows(scratch.database, "SELECT count(*) FROM flows") == [["1000"]])
        #expect(try rows(scratch.database, "SELECT count(*) FROM sources WHERE client GLOB '2001*'") == [["0"]])
        #expect(try LogDatabase.check(scratch.database) == [])
        // The hours still count them.
        let now = Self.start + 20_000_000_000
        let statistics = try QueryLogReader(path: scratch.database).statistics(
            until: Self.start + 86_400_000_000, now: now)
        #expect(statistics.queries == 20_000)
    }

    @Test func afterAPurgeOfEverythingNothingIsLeftInTheFile() throws {
        let writer = try base.writer()
        fill(3000)
        #expect(writer.flush())
        #expect(try LogDatabase(path: scratch.database).purge(PurgeSelection()) == 3300)
        let bytes =
            try Data(contentsOf: URL(fileURLWithPath: scratch.database))
            + ((try? Data(contentsOf: URL(fileURLWithPath: scratch.database + "-wal"))) ?? Data())
        for text in ["example", "192.0.2.10", "2001:db8::77", "203.0.113.5", "/usr/bin/app"] {
            #expect(bytes.range(of: Data(text.utf8)) == nil, "\(text) is still there")
        }
        base.push(row(time: Self.start), "n1.odd.example")
        #expect(writer.flush())
        writer.stop()
        #expect(try rows(scratch.database, "SELECT qname, client FROM queries") == [["n1.odd.example", "192.0.2.10"]])
        // No id is given twice.
        #expect(Int(try rows(scratch.database, "SELECT id FROM queries")[0][0]!)! > 3300)
        let statistics = try QueryLogReader(path: scratch.database).statistics(now: Self.start)
        #expect(statistics.queries == 1)
    }

    @Test func vacuumGivesBackWhatIsFree() throws {
        let writer = try base.writer()
        fill(20_000)
        #expect(writer.flush())
        _ = try rows(scratch.database, "DELETE FROM query_log WHERE id < 15000")
        _ = try rows(scratch.database, "PRAGMA wal_checkpoint(TRUNCATE)")
        let before = LogSize.bytes(scratch.database)
        var told: [Int64] = []
        let log = try LogDatabase(path: scratch.database)
        let freed = try log.vacuum { done, total in told.append(done * 100 / total) }
        #expect(freed > 300_000)
        #expect(try LogSize(of: scratch.database).freeBytes == 0)
        #expect(LogSize.bytes(scratch.database) <= before - freed)
        #expect(told.last == 100)
        #expect(told == told.sorted())
        _ = try log.rewrite()
        base.push(row(time: Self.start), "after.example")
        #expect(writer.flush())
        writer.stop()
        #expect(
            try rows(scratch.database, "SELECT qname FROM queries ORDER BY id DESC LIMIT 1") == [["after.example"]])
        #expect(try rows(scratch.database, "PRAGMA auto_vacuum") == [["2"]])
    }

    @Test func sizeTellsWhatIsThere() throws {
        let writer = try base.writer()
        fill(1000)
        writer.stop()
        let size = try LogSize(of: scratch.database, tables: true)
        #expect(size.queries == 1000)
        #expect(size.flows == 100)
        #expect(size.oldest == Self.start)
        #expect(size.newest == Self.start + 999_000_000)
        #expect(size.fileBytes == LogSize.bytes(scratch.database))
        #expect(size.tables.first?.name == "query_log")
        #expect(size.tables.first?.rows == 1000)
        #expect(size.tables.map(\.bytes).reduce(0, +) <= size.fileBytes)
        #expect(try #require(size.bytesPerRow) < 200)
    }

    @Test func aBackupIsWholeWhileTheWriterGoesOn() throws {
        let writer = try base.writer()
        fill(20_000)
        #expect(writer.flush())
        let ring = base.ring
        let target = scratch.path + "/copy.db"
        var steps = 0
        let bytes = try LogDatabase.backup(scratch.database, to: target) { _, _ in
            steps += 1
            ring.push(row(time: 1), qname: Name("late.example")!.bytes, answer: RawSpan())
            #expect(writer.flush())
        }
        writer.stop()
        #expect(steps > 0)
        #expect(bytes == LogSize.bytes(target))
        #expect(try LogDatabase.check(target) == [])
        #expect(try rows(target, "SELECT count(*), sum(qname = 'late.example') FROM queries") == [["20000", "0"]])
        #expect(scratch.files.filter { $0.hasPrefix("copy") } == ["copy.db"])
        // Never over another file unless told so.
        #expect(throws: QueryLogError.self) { try LogDatabase.backup(scratch.database, to: target) }
        #expect(try LogDatabase.backup(scratch.database, to: target, replaces: true) > bytes / 2)
        #expect(throws: QueryLogError.self) {
            try LogDatabase.backup(scratch.database, to: scratch.path + "/none/copy.db")
        }
        #expect(throws: QueryLogError.missing(path: scratch.path + "/no.db")) {
            try LogDatabase.backup(scratch.path + "/no.db", to: scratch.path + "/other.db")
        }
        // A copy is a log like any other.
        let again = try QueryLogWriter(path: target, rings: [ring], labels: testLabels, options: testOptions())
        ring.push(row(time: 1), qname: Name("more.example")!.bytes, answer: RawSpan())
        again.stop()
        #expect(try rows(target, "SELECT qname FROM queries ORDER BY id DESC LIMIT 1") == [["more.example"]])
    }

    @Test func checkFindsDamage() throws {
        let writer = try base.writer()
        fill(3000)
        writer.stop()
        #expect(try LogDatabase.check(scratch.database) == [])
        let copy = scratch.path + "/broken.db"
        _ = try LogDatabase.backup(scratch.database, to: copy)
        _ = try rows(copy, "DELETE FROM names WHERE text = 'n4.even.example'")
        #expect(try LogDatabase.check(copy) == ["30 queries point to names that are not there"])
        #expect(try LogDatabase.check(copy, isQuick: true) == [])
        let root = Int(try rows(copy, "SELECT rootpage FROM sqlite_schema WHERE name = 'query_log'")[0][0]!)!
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: copy))
        try file.seek(toOffset: UInt64(root - 1) * 4096)
        file.write(Data(repeating: 0xa5, count: 4096))
        try file.close()
        let before = try Data(contentsOf: URL(fileURLWithPath: copy))
        #expect(!(try LogDatabase.check(copy)).isEmpty)
        #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == before)
        try Data("no database at all, whatever its name".utf8).write(to: URL(fileURLWithPath: copy))
        #expect(!(try LogDatabase.check(copy)).isEmpty)
    }
}
