import Foundation
import Testing
import Wire

@testable import QueryLog

/// A generator whose seed is printed with a failure.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) {
        state = seed | 1
    }

    mutating func next() -> UInt64 {
        // xorshift64* (Vigna 2016)
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
}

@Suite struct QueryLogReaderTests {
    let base: QueryLogWriterTests
    let seed = UInt64.random(in: 1 ... .max)
    /// What was pushed, in order: the naive log.
    let reference: [(row: QueryRow, name: String)]

    static let now: Int64 = 1_767_300_000_000_000

    init() throws {
        base = try QueryLogWriterTests()
        var random = SeededGenerator(seed)
        let names = (0..<40).map { "\(["ads", "cdn", "www"][$0 % 3])\($0).\(["example", "example.net"][$0 % 2])" }
        var reference: [(QueryRow, String)] = []
        for _ in 0..<3000 {
            let time = Self.now - Int64.random(in: 0..<100_000_000_000, using: &random)
            let blocked = Int.random(in: 0..<4, using: &random) == 0
            let row = row(time: time) {
                $0.verdict = blocked ? .block : Bool.random(using: &random) ? .allow : .forward
                $0.reason = blocked ? .list : .none
                $0.list = blocked ? Int32.random(in: 1...3, using: &random) : -1
                $0.client = IPAddress(v4: 0xc000_0200 + UInt32.random(in: 0..<5, using: &random))
                $0.cached = !blocked && Bool.random(using: &random)
                $0.upstream = blocked ? IPAddress(v4: 0) : IPAddress("198.51.100.53")!
                $0.latency = Int32.random(in: 0..<200_000, using: &random)
            }
            reference.append((row, names.randomElement(using: &random)!))
        }
        self.reference = reference
        let writer = try base.writer()
        for (row, name) in reference { base.push(row, name) }
        writer.stop()
    }

    func ids(_ filter: LogFilter) throws -> [Int64] {
        var ids: [Int64] = []
        try QueryLogReader(path: base.scratch.database).rows(filter) { ids.append($0.id) }
        return ids
    }

    @Test func filtersFindWhatANaiveSearchFinds() throws {
        var random = SeededGenerator(seed &+ 1)
        for round in 0..<60 {
            var filter = LogFilter()
            filter.verdicts = [nil, .blocked, .allowed].randomElement(using: &random)!
            filter.name = [nil, "*.example", "ads*", "WWW?.example", "cdn1[0-9].example.net", "absent"]
                .randomElement(using: &random)!
            if Bool.random(using: &random) {
                filter.since = Self.now - Int64.random(in: -10..<100_000_000_000, using: &random)
            }
            filter.limit = [nil, 1, 7, 5000].randomElement(using: &random)!
            filter.after = [nil, 0, 1500, 2999].randomElement(using: &random)!
            var expected: [Int64] = []
            for (index, entry) in reference.enumerated() {
                let id = Int64(index + 1)
                if let after = filter.after, id <= after { continue }
                if let since = filter.since, entry.row.time < since { continue }
                if filter.verdicts == .blocked, entry.row.verdict != .block { continue }
                if filter.verdicts == .allowed, entry.row.verdict == .block { continue }
                if let name = filter.name, fnmatch(name.lowercased(), entry.name, 0) != 0 { continue }
                expected.append(id)
            }
            if let limit = filter.limit { expected = expected.suffix(limit) }
            #expect(try ids(filter) == expected, "seed \(seed), round \(round), \(filter)")
        }
    }

    @Test func rankingsCountWhatANaiveCountCounts() throws {
        let reader = try QueryLogReader(path: base.scratch.database)
        let since = Self.now - 40_000_000_000
        func naive(_ key: (QueryRow, String) -> String?) -> [TopEntry] {
            var counts: [String: TopEntry] = [:]
            for (row, name) in reference where row.time >= since {
                guard let text = key(row, name) else { continue }
                counts[text, default: TopEntry(text: text, queries: 0, blocked: 0)].queries += 1
                if row.verdict == .block { counts[text]!.blocked += 1 }
            }
            return Array(
                counts.values.sorted { $0.queries != $1.queries ? $0.queries > $1.queries : $0.text < $1.text }
                    .prefix(10))
        }
        #expect(try reader.top(.names, since: since) == naive { $1 }, "seed \(seed)")
        #expect(try reader.top(.blocked, since: since) == naive { $0.verdict == .block ? $1 : nil }, "seed \(seed)")
        #expect(try reader.top(.clients, since: since) == naive { row, _ in row.client.description }, "seed \(seed)")
        #expect(try reader.top(.lists, since: since) == naive { row, _ in row.list > 0 ? "list\(row.list)" : nil })
        #expect(try reader.top(.apps, since: since).isEmpty)
    }

    @Test func statisticsSumUpTheRows() throws {
        let statistics = try QueryLogReader(path: base.scratch.database).statistics(now: Self.now)
        let rows = reference.map(\.row)
        #expect(statistics.queries == 3000)
        #expect(statistics.blocked == rows.count { $0.verdict == .block })
        #expect(statistics.allowed == rows.count { $0.verdict == .allow })
        #expect(statistics.cached == rows.count { $0.cached })
        #expect(statistics.resolved == rows.count { $0.verdict != .block && !$0.cached })
        #expect(statistics.failed == 0)
        #expect(statistics.oldest == rows.map(\.time).min() && statistics.newest == rows.map(\.time).max())
        #expect(statistics.lists.map(\.queries).reduce(0, +) == statistics.blocked)
        let hour: Int64 = 3_600_000_000
        for slot in statistics.hours {
            let inside = rows.filter { $0.time >= slot.start && $0.time < slot.start + hour }
            #expect(slot.queries == inside.count && slot.blocked == inside.count { $0.verdict == .block })
        }
        #expect(statistics.hours.count == 24 && statistics.hours[23].start + hour > Self.now)
        let sorted = rows.map { Int64($0.latency) }.sorted()
        for share in [0.01, 0.5, 0.9, 0.99, 1] {
            let exact = Double(sorted[max(0, Int((share * 3000).rounded(.up)) - 1)])
            let found = Double(try #require(statistics.latency.percentile(share)))
            #expect(abs(found - exact) <= exact / 32 + 1, "seed \(seed), \(share): \(found), not \(exact)")
        }
    }

    @Test func theClockMayBeSetBack() throws {
        let other = try QueryLogWriterTests()
        let writer = try other.writer()
        for hour in [5, 6, 1, 2, 7] as [Int64] {
            other.push(row(time: Self.now + hour * 3_600_000_000), "h\(hour).example")
            #expect(writer.flush())
        }
        writer.stop()
        var names: [String] = []
        let reader = try QueryLogReader(path: other.scratch.database)
        try reader.rows(LogFilter(since: Self.now + 2 * 3_600_000_000)) { names.append($0.qname) }
        #expect(names == ["h5.example", "h6.example", "h2.example", "h7.example"])
    }

    /// Another program asks all the time while rows come in, and sees whole transactions only.
    @Test func otherProgramsReadWhileTheWriterWrites() throws {
        let other = try QueryLogWriterTests()
        let writer = try other.writer { $0.interval = 5 }
        #expect(writer.flush())
        func ask() throws -> [Int] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
            process.arguments = [
                "-separator", " ", other.scratch.database,
                "SELECT count(*), coalesce(max(id), 0), count(DISTINCT qname) FROM queries",
            ]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            return text.split { $0.isWhitespace }.compactMap { Int($0) }
        }
        var pushed = 0
        var last = 0
        for _ in 0..<20 {
            for _ in 0..<500 {
                other.push(row(time: Self.now), "n\(pushed % 50).example")
                pushed += 1
            }
            let answer = try ask()
            try #require(answer.count == 3)
            #expect(answer[0] == answer[1] && answer[0] >= last && answer[0] <= pushed && answer[2] <= 50)
            last = answer[0]
        }
        #expect(writer.flush())
        #expect(try ask() == [10_000, 10_000, 50])
        #expect(writer.state == .writing && writer.status.droppedRows == 0)
        writer.stop()
        #expect(try ask() == [10_000, 10_000, 50])
    }

    @Test func aLogThatIsNoneIsSaidSo() throws {
        let scratch = Scratch()
        #expect(throws: QueryLogError.missing(path: scratch.database)) {
            try QueryLogReader(path: scratch.database)
        }
        _ = try rows(scratch.database, "CREATE TABLE recipes (id INTEGER)")
        #expect(throws: QueryLogError.foreign(path: scratch.database)) {
            try QueryLogReader(path: scratch.database)
        }
    }
}

@Suite struct ReadOnlySQLTests {
    let base: QueryLogWriterTests

    init() throws {
        base = try QueryLogWriterTests()
        let writer = try base.writer()
        base.push(row(time: 1_767_225_600_000_000), "a.example")
        writer.stop()
    }

    func run(_ sql: String) throws -> [[LogValue]] {
        var found: [[LogValue]] = []
        try ReadOnlySQL(path: base.scratch.database).run(sql) { _ in
        } row: {
            found.append($0)
        }
        return found
    }

    @Test func reads() throws {
        #expect(
            try run("SELECT qname, cached, NULL, 1.5, x'00ff' FROM queries; -- end") == [
                [.text("a.example"), .integer(0), .null, .real(1.5), .blob([0, 255])]
            ])
        #expect(
            try run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) FROM n")
                == [[.integer(3)]])
        #expect(try !run("PRAGMA table_info(queries)").isEmpty)
        #expect(try !run("EXPLAIN QUERY PLAN SELECT * FROM queries").isEmpty)
    }

    @Test(arguments: [
        "DELETE FROM query_log", "INSERT INTO names VALUES (9, 'x', 0)", "UPDATE names SET text = 'x'",
        "DROP TABLE query_log", "CREATE TABLE t (a)", "CREATE TEMP TABLE t (a)", "ATTACH '/tmp/webtun-evil.db' AS e",
        "VACUUM", "VACUUM INTO '/tmp/webtun-evil.db'", "PRAGMA query_only = OFF", "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 3", "PRAGMA wal_checkpoint", "BEGIN IMMEDIATE", "SELECT load_extension('x')",
        "REINDEX", "ANALYZE", "SELECT 1; DELETE FROM query_log", "SELECT 1; SELECT 2", "", "-- nothing",
        "SELECT wings FROM queries", "SELEC", "SELECT 1; SELEC",
        "WITH x AS (SELECT 1) DELETE FROM query_log",
    ])
    func refuses(_ sql: String) throws {
        let before = try rows(base.scratch.database, "SELECT * FROM queries")
        let files = base.scratch.files
        #expect(throws: QueryLogError.self) { try run(sql) }
        #expect(try rows(base.scratch.database, "SELECT * FROM queries") == before)
        #expect(base.scratch.files.filter { !$0.contains("-") } == files.filter { !$0.contains("-") })
        #expect(!FileManager.default.fileExists(atPath: "/tmp/webtun-evil.db"))
    }

    @Test func errorsCarrySQLitesMessage() {
        do {
            _ = try run("SELECT wings FROM queries")
            Issue.record("no error")
        } catch {
            #expect("\(error)".contains("no such column: wings"))
        }
    }
}
