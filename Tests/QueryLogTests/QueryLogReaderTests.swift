import Foundation
import Kernel
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
        let qtypes: [UInt16] = [1, 28, 65, 16]
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
                $0.upstreamPort = [53, 5353].randomElement(using: &random)!
                $0.rcode = [0, 0, 0, 2, 3, -1].randomElement(using: &random)!
                $0.latency = $0.rcode < 0 ? -1 : Int32.random(in: 0..<200_000, using: &random)
                $0.qtype = qtypes.randomElement(using: &random)!
                $0.owner.pid = Int32.random(in: -1...3, using: &random)
            }
            reference.append((row, names.randomElement(using: &random)!))
        }
        self.reference = reference
        // Ten runs of ids, some of them summed up: every start of the writer begins a run.
        let store = base.scratch.database
        for start in stride(from: 0, to: 3000, by: 300) {
            let part = try RowStore(store, labels: testLabels)
            try part.begin()
            for (row, name) in reference[start..<start + 300] {
                try part.insert(row, qname: Name(name)!.bytes, answer: RawSpan())
            }
            try part.commit()
            if start == 1500 { while try Rollup.step(part.connection) {} }
        }
        _ = try rows(
            store,
            "UPDATE processes SET app = CASE pid WHEN 1 THEN '/usr/bin/curl' WHEN 2 THEN '/opt/firefox' WHEN 3 THEN '/usr/bin/curl' END"
        )
        #expect(try rows(store, "SELECT count(*) FROM query_spans") == [["10"]])
        #expect(try rows(store, "SELECT count(*) FROM query_summaries") == [["5"]])
    }

    static func app(_ row: QueryRow) -> String? {
        [1: "/usr/bin/curl", 2: "/opt/firefox", 3: "/usr/bin/curl"][row.owner.pid]
    }

    func ids(_ filter: LogFilter) throws -> [Int64] {
        var ids: [Int64] = []
        try QueryLogReader(path: base.scratch.database).rows(filter) { ids.append($0.id) }
        return ids
    }

    @Test func filtersFindWhatANaiveSearchFinds() throws {
        var random = SeededGenerator(seed &+ 1)
        for round in 0..<200 {
            var filter = LogFilter()
            // One to three things at a time.
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                switch Int.random(in: 0..<10, using: &random) {
                case 0: filter.verdicts = [.blocked, .allowed, .passed, .forwarded].randomElement(using: &random)!
                case 1:
                    filter.name = [
                        "*.example", "ads*", "WWW?.example", "cdn1[0-9].example.net", "absent", "ads9.example.net",
                    ]
                    .randomElement(using: &random)!
                case 2: filter.since = Self.now - Int64.random(in: -10..<100_000_000_000, using: &random)
                case 3: filter.until = Self.now - Int64.random(in: -10..<100_000_000_000, using: &random)
                case 4:
                    filter.client = ClientMatch(
                        ["192.0.2.3", "192.0.2.9", "192.0.2.0/31", "192.0.2.0/24", "2001:db8::/32"]
                            .randomElement(using: &random)!)!
                case 5:
                    filter.app = ["curl", "*", "fire*", "Curl", "/usr/*", "/opt/firefox", "usr"].randomElement(
                        using: &random)!
                case 6: filter.qtype = RecordType([1, 28, 65, 16, 2].randomElement(using: &random)!)
                case 7: filter.list = ["list1", "list3", "list4"].randomElement(using: &random)!
                case 8:
                    filter.rcode = ["NOERROR", "SERVFAIL", "NXDOMAIN", "none", "NOTIMP"].randomElement(using: &random)!
                default:
                    filter.upstream = ["198.51.100.53", "198.51.100.53:5353", "198.51.100.54"]
                        .randomElement(using: &random)!
                }
            }
            filter.limit = [nil, 0, 1, 7, 5000].randomElement(using: &random)!
            filter.after = [nil, 0, 1500, 2999].randomElement(using: &random)!
            var expected: [Int64] = []
            for (index, entry) in reference.enumerated() {
                let id = Int64(index + 1)
                let row = entry.row
                if let after = filter.after, id <= after { continue }
                if let since = filter.since, row.time < since { continue }
                if let until = filter.until, row.time >= until { continue }
                switch filter.verdicts {
                case .blocked where row.verdict != .block: continue
                case .allowed where row.verdict == .block: continue
                case .passed where row.verdict != .allow: continue
                case .forwarded where row.verdict != .forward: continue
                default: break
                }
                if let name = filter.name, fnmatch(name.lowercased(), entry.name, 0) != 0 { continue }
                if let client = filter.client {
                    let mask: UInt64 = client.bits == 32 ? 0xffff_ffff : client.bits == 31 ? 0xffff_fffe : 0xffff_ff00
                    if client.address.isIPv6 || row.client.low & mask != client.address.low { continue }
                }
                if let app = filter.app {
                    guard let path = Self.app(row),
                        fnmatch(app, app.contains("/") ? path : String(path.split(separator: "/").last!), 0) == 0
                    else { continue }
                }
                if let qtype = filter.qtype, row.qtype != qtype.code { continue }
                if let list = filter.list, row.list <= 0 || "list\(row.list)" != list { continue }
                if let rcode = filter.rcode {
                    if (row.rcode < 0 ? "none" : RCode(UInt16(row.rcode)).description) != rcode { continue }
                }
                if let upstream = filter.upstream {
                    let port = row.upstreamPort == 53 ? "" : ":\(row.upstreamPort)"
                    if row.upstream.isUnspecified || "\(row.upstream)\(port)" != upstream { continue }
                }
                expected.append(id)
            }
            if let limit = filter.limit { expected = expected.suffix(limit) }
            #expect(try ids(filter) == expected, "seed \(seed), round \(round), \(filter)")
        }
    }

    @Test func rankingsCountWhatANaiveCountCounts() throws {
        let reader = try QueryLogReader(path: base.scratch.database)
        var random = SeededGenerator(seed &+ 2)
        for round in 0..<12 {
            let since = round < 2 ? nil : Self.now - Int64.random(in: 0..<100_000_000_000, using: &random)
            let until = round % 2 == 0 ? nil : Self.now - Int64.random(in: 0..<100_000_000_000, using: &random)
            let limit = [1, 5, 10, 1000].randomElement(using: &random)!
            func naive(_ key: (QueryRow, String) -> String?) -> [TopEntry] {
                var counts: [String: TopEntry] = [:]
                for (row, name) in reference where row.time >= since ?? .min && row.time < until ?? .max {
                    guard let text = key(row, name) else { continue }
                    counts[text, default: TopEntry(text: text, queries: 0, blocked: 0)].queries += 1
                    if row.verdict == .block { counts[text]!.blocked += 1 }
                }
                return Array(
                    counts.values.sorted { $0.queries != $1.queries ? $0.queries > $1.queries : $0.text < $1.text }
                        .prefix(limit))
            }
            func top(_ kind: TopKind) throws -> [TopEntry] {
                try reader.top(kind, since: since, until: until, limit: limit).map {
                    TopEntry(text: $0.text, queries: $0.queries, blocked: $0.blocked)
                }
            }
            let place: Comment = "seed \(seed), round \(round)"
            #expect(try top(.names) == naive { $1 }, place)
            #expect(try top(.blocked) == naive { $0.verdict == .block ? $1 : nil }, place)
            #expect(try top(.clients) == naive { row, _ in row.client.description }, place)
            #expect(try top(.lists) == naive { row, _ in row.list > 0 ? "list\(row.list)" : nil }, place)
            #expect(try top(.apps) == naive { row, _ in Self.app(row) }, place)
            #expect(
                try top(.upstreams)
                    == naive { row, _ in
                        row.verdict == .block || row.cached
                            ? nil : "\(row.upstream)" + (row.upstreamPort == 53 ? "" : ":\(row.upstreamPort)")
                    }, place)
        }
        for entry in try reader.top(.upstreams) {
            let own = reference.map(\.row).filter {
                $0.verdict != .block && !$0.cached
                    && ($0.upstreamPort == 53 ? "198.51.100.53" : "198.51.100.53:5353") == entry.text
            }
            let sum = own.reduce(Int64(0)) { $0 + Int64(max(0, $1.latency)) }
            #expect(entry.meanLatency == sum / Int64(own.count), "seed \(seed)")
        }
    }

    @Test func replayFindsWhatANaiveSearchFinds() throws {
        let reader = try QueryLogReader(path: base.scratch.database)
        var random = SeededGenerator(seed &+ 3)
        for round in 0..<6 {
            let since = round < 2 ? nil : Self.now - Int64.random(in: 0..<100_000_000_000, using: &random)
            let until = round % 2 == 0 ? nil : Self.now - Int64.random(in: 0..<50_000_000_000, using: &random)
            var judged: [String: Int] = [:]
            let (found, total) = try reader.replay(since: since, until: until) { name in
                judged[name, default: 0] += 1
                return name.hasPrefix("ads")
            }
            var counts: [String: Int] = [:]
            var all = 0
            for (row, name) in reference where row.time >= since ?? .min && row.time < until ?? .max {
                all += 1
                guard name.hasPrefix("ads") else { continue }
                counts[
                    "\(name) \(Self.app(row) ?? "-") \(row.verdict == .block ? "block list" : "\(row.verdict)")",
                    default: 0] += 1
            }
            let told = Dictionary(
                found.map {
                    (
                        "\($0.name) \($0.app ?? "-") \([$0.verdict, $0.reason].compactMap(\.self).joined(separator: " "))",
                        $0.queries
                    )
                },
                uniquingKeysWith: +)
            #expect(told == counts, "seed \(seed), round \(round)")
            #expect(found.map(\.queries) == found.map(\.queries).sorted(by: >))
            #expect(total == all, "seed \(seed), round \(round)")
            // Ten runs each have names of their own.
            #expect(judged.count == 40 && judged.values.max() ?? 0 <= 10)
        }
    }

    @Test func statisticsSumUpTheRows() throws {
        let reader = try QueryLogReader(path: base.scratch.database)
        var random = SeededGenerator(seed &+ 3)
        let hour: Int64 = 3_600_000_000
        for round in 0..<20 {
            let since = round == 0 ? nil : Self.now - Int64.random(in: 0..<100_000_000_000, using: &random)
            // Short ranges too, over the end of an hour and inside one.
            let until =
                round % 3 == 0
                ? nil : (since ?? Self.now) + Int64.random(in: 1..<(round % 3 == 1 ? 2 : 30) * hour, using: &random)
            let statistics = try reader.statistics(since: since, until: until, now: Self.now)
            let rows = reference.map(\.row).filter { $0.time >= since ?? .min && $0.time < until ?? .max }
            let place: Comment = "seed \(seed), round \(round)"
            #expect(statistics.queries == rows.count, place)
            #expect(statistics.blocked == rows.count { $0.verdict == .block }, place)
            #expect(statistics.allowed == rows.count { $0.verdict == .allow }, place)
            #expect(statistics.cached == rows.count { $0.cached }, place)
            #expect(statistics.resolved == rows.count { $0.verdict != .block && !$0.cached }, place)
            #expect(statistics.failed == rows.count { $0.rcode < 0 || $0.rcode == 2 }, place)
            #expect(statistics.lists.map(\.queries).reduce(0, +) == statistics.blocked, place)
            for slot in statistics.hours {
                let inside = rows.filter { $0.time >= slot.start && $0.time < slot.start + hour }
                #expect(slot.queries == inside.count && slot.blocked == inside.count { $0.verdict == .block }, place)
            }
            #expect(statistics.hours.count == 24 && statistics.hours[23].start + hour > Self.now)
            let sorted = rows.filter { $0.latency >= 0 }.map { Int64($0.latency) }.sorted()
            #expect(statistics.latency.count == sorted.count, place)
            for share in [0.01, 0.5, 0.9, 0.99, 1] where !sorted.isEmpty {
                let exact = Double(sorted[max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1)])
                let found = Double(try #require(statistics.latency.percentile(share)))
                #expect(abs(found - exact) <= exact / 32 + 1, "seed \(seed), \(share): \(found), not \(exact)")
            }
            if round == 0 {
                #expect(statistics.oldest == rows.map(\.time).min() && statistics.newest == rows.map(\.time).max())
            }
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
