import Foundation
import Testing
import Wire

@testable import QueryLog

@Suite struct RollupTests {
    let scratch = Scratch()
    static let now: Int64 = 1_767_300_000_000_000

    /// Opens the log, so that a run of ids begins, and writes a row a minute up to `now`.
    @discardableResult
    func write(_ count: Int, end: Int64 = RollupTests.now, blockedEvery: Int = 4) throws -> RowStore {
        let store = try RowStore(scratch.database, labels: testLabels)
        try store.begin()
        for number in 0..<count {
            let blocked = number % blockedEvery == 0
            try store.insert(
                row(time: end - Int64(count - 1 - number) * 60_000_000) {
                    $0.verdict = blocked ? .block : .forward
                    $0.list = blocked ? 2 : -1
                    $0.upstream = blocked ? IPAddress(v4: 0) : IPAddress("198.51.100.53")!
                    $0.latency = Int32(number)
                }, qname: Name("n\(number % 7).example")!.bytes, answer: RawSpan())
        }
        try store.commit()
        return store
    }

    func integer(_ store: RowStore, _ sql: String) throws -> Int64? { try store.connection.integer(sql) }

    @Test func aRunThatIsWrittenToIsLeftAlone() throws {
        let store = try write(100)
        #expect(try !Rollup.step(store.connection))
        #expect(try integer(store, "SELECT count(*) FROM query_summaries") == 0)
        // The view counts its rows all the same.
        #expect(try integer(store, "SELECT sum(queries) FROM hours") == 100)
    }

    @Test func theViewOfHoursCountsEveryRowOnce() throws {
        try write(1000, end: Self.now - 7_200_000_000)
        try write(500, end: Self.now - 3_600_000_000)
        let store = try write(100)
        let naive = """
            SELECT substr(time, 1, 13) || ':00:00Z', verdict, list, count(*), sum(latency_us) / count(*)
            FROM queries GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """
        let view = "SELECT hour, verdict, list, queries, mean_latency_us FROM hours ORDER BY 1, 2, 3"
        let expected = try rows(scratch.database, naive)
        #expect(expected.count > 30)
        #expect(try rows(scratch.database, view) == expected)
        for left in [true, true, false] {
            #expect(try Rollup.step(store.connection) == left)
            #expect(try rows(scratch.database, view) == expected)
        }
        #expect(try integer(store, "SELECT sum(queries) FROM query_hours") == 1500)
    }

    @Test func hoursOutliveTheirRows() throws {
        try write(3000, end: Self.now - 86_400_000_000)
        let store = try write(600)
        let view = "SELECT * FROM hours ORDER BY 1, 2"
        let before = try rows(scratch.database, view)
        let stats = try QueryLogReader(path: scratch.database).statistics(now: Self.now)
        // Everything but the last hour goes: a run as a whole, which was never summed up, and a part of the open one.
        let retention = Retention(
            store.connection, QueryLogLimits(maximumAge: 3_600_000_000, maximumBytes: nil))
        while try retention.step(now: Self.now) {}
        #expect(try integer(store, "SELECT count(*) FROM query_log") == 61)
        #expect(try integer(store, "SELECT count(*) FROM query_summaries") == 0)
        #expect(try rows(scratch.database, view) == before)
        let after = try QueryLogReader(path: scratch.database).statistics(now: Self.now)
        #expect(after.queries == 3600 && after.blocked == stats.blocked && after.hours == stats.hours)
        #expect(after.latency == stats.latency && after.upstreamLatency == stats.upstreamLatency)
        #expect(
            try QueryLogReader(path: scratch.database).top(.lists) == [
                TopEntry(text: "list2", queries: 900, blocked: 900)
            ])
        // Names are counted from rows alone.
        #expect(try QueryLogReader(path: scratch.database).top(.names, limit: 100).map(\.queries).reduce(0, +) == 61)
        // The open run, when it is closed at last, adds what is left of it and no more.
        let next = try write(1)
        #expect(try Rollup.step(next.connection))
        #expect(try integer(next, "SELECT sum(queries) FROM hours") == 3601)
        try Rollup.removeHours(next.connection, before: Self.now - 3_600_000_000)
        #expect(try integer(next, "SELECT sum(queries) FROM hours") ?? 0 < 200)
    }

    @Test func aRunThatLostRowsIsCountedFromThoseThatAreLeft() throws {
        try write(1000)
        let store = try write(10)
        #expect(try Rollup.step(store.connection))
        try store.connection.execute("BEGIN")
        try Rollup.rowsWillGo(store.connection, first: 1, last: 1000, ids: 1...1000)
        try store.connection.execute("DELETE FROM query_log WHERE id <= 1000 AND id % 2 = 1")
        try store.connection.execute("COMMIT")
        func names() throws -> Int {
            try QueryLogReader(path: scratch.database).top(.names).map(\.queries).reduce(0, +)
        }
        #expect(try names() == 510)
        #expect(try Rollup.renew(store.connection))
        #expect(try !Rollup.renew(store.connection))
        #expect(try names() == 510)
        #expect(try integer(store, "SELECT sum(queries) FROM hours") == 1010)
    }

    /// A summary that is damaged costs time, not truth, for searches; and never the process.
    @Test func damagedSumsAreSurvived() throws {
        try write(1000)
        let store = try write(10)
        #expect(try Rollup.step(store.connection))
        let seed = UInt64.random(in: 1 ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<100 {
            let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                String(format: "%02x", Int.random(in: 0..<256, using: &random))
            }.joined()
            try store.connection.execute(
                "UPDATE query_summaries SET sets = x'\(bytes)', names = x'\(bytes)', latencies = x'\(bytes)'")
            let reader = try QueryLogReader(path: scratch.database)
            _ = try reader.top(.names)
            _ = try reader.top(.clients)
            _ = try reader.statistics(since: Self.now - 100_000_000, now: Self.now)
        }
        try store.connection.execute("UPDATE query_summaries SET sets = x'', names = x'ff'")
        var found = 0
        try QueryLogReader(path: scratch.database).rows(LogFilter(name: "n3.*")) { _ in found += 1 }
        #expect(found == 144)
    }

    @Test func countsAreReadAsTheyWereWritten() throws {
        let seed = UInt64.random(in: 1 ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<200 {
            var entries = (0..<Int.random(in: 0..<300, using: &random)).map { _ in
                IDCounts.Entry(
                    id: Int64.random(in: 0..<1 << Int64.random(in: 1...40, using: &random), using: &random),
                    queries: Int.random(in: 0..<5, using: &random) == 0 ? 900 : 1,
                    isBlocked: Bool.random(using: &random))
            }
            var naive: [Int64: (Int64, Int64)] = [:]
            for entry in entries {
                naive[entry.id, default: (0, 0)].0 += entry.queries
                if entry.isBlocked { naive[entry.id]!.1 += entry.queries }
            }
            var bytes: [UInt8] = []
            IDCounts(&entries).append(to: &bytes)
            var found: [IDCounts.Count] = []
            var offset = 0
            #expect(
                IDCounts.read(bytes.span.bytes, &offset) {
                    found.append($0); return true
                } == true)
            #expect(offset == bytes.count)
            #expect(
                found
                    == naive.sorted { $0.key < $1.key }.map {
                        .init(id: $0.key, queries: $0.value.0, blocked: $0.value.1)
                    }, "seed \(seed)")
        }
    }

    @Test func histogramsAreReadAsTheyWereWritten() {
        let seed = UInt64.random(in: 1 ... .max)
        var random = SeededGenerator(seed)
        var all = LatencyHistogram()
        var merged = LatencyHistogram()
        for _ in 0..<20 {
            var part = LatencyHistogram()
            for _ in 0..<Int.random(in: 0..<200, using: &random) {
                let value = Int64.random(in: 0..<1 << Int64.random(in: 1...40, using: &random), using: &random)
                part.add(value)
                all.add(value)
            }
            merged.merge(part.bytes.span.bytes)
        }
        #expect(merged == all, "seed \(seed)")
        var added = LatencyHistogram()
        added.merge(all)
        #expect(added == all)
    }
}

@Suite struct ClientMatchTests {
    @Test(arguments: [
        ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false), ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false), ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "2001:db8::1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::4/126", "2001:db8::7", true), ("2001:db8::4/126", "2001:db8::8", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/64", "2001:db8:0:0:1::", true), ("2001:db8::/64", "2001:db8:0:1::", false),
    ])
    func matches(_ text: String, _ address: String, _ isMatch: Bool) throws {
        #expect(try #require(ClientMatch(text)).matches(IPAddress(address)!) == isMatch)
    }

    @Test(arguments: [
        "", "x", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "/24", "192.0.2.0/-1", "192.0.2.0/+8", "2001:db8::/129",
        "192.0.2.0/24/8",
    ])
    func refuses(_ text: String) {
        #expect(ClientMatch(text) == nil)
    }
}
