import Foundation
import Kernel
import Testing
import Wire

@testable import QueryLog

@Suite struct RetentionTests {
    let scratch = Scratch()
    static let now: Int64 = 1_767_300_000_000_000

    /// A store with `count` rows, a second apart, the last one now; 100 names, then 100 others.
    func filled(_ count: Int, epochRows: Int64 = 1000) throws -> RowStore {
        let store = try RowStore(scratch.database, labels: testLabels, epochRows: epochRows)
        for start in stride(from: 0, to: count, by: 5000) {
            try store.begin()
            for number in start..<min(count, start + 5000) {
                let name = Name("n\(number % 100 + (number >= count / 2 ? 100 : 0)).example")!
                var digest = AnswerDigest()
                digest.append(IPAddress(v4: UInt32(number / 1000)))
                try store.insert(
                    row(time: Self.now - Int64(count - 1 - number) * 1_000_000), qname: name.bytes,
                    answer: digest.bytes)
            }
            try store.commit()
        }
        return store
    }

    func integer(_ store: RowStore, _ sql: String) throws -> Int64 {
        try store.connection.integer(sql) ?? -1
    }

    @Test func aRunningWriterTakesOtherLimits() throws {
        let ring = try QueryRing(capacity: 1 << 20)
        var options = QueryLogWriter.Options()
        options.interval = 20
        let writer = try QueryLogWriter(path: scratch.database, rings: [ring], labels: testLabels, options: options)
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        for number in 0..<20 {
            ring.push(
                row(time: now - Int64(number) * 3_600_000_000), qname: Name("n.example")!.bytes, answer: RawSpan())
        }
        #expect(writer.flush())
        func rows() throws -> Int64 {
            try Connection(scratch.database, .readOnly).integer("SELECT count(*) FROM query_log") ?? -1
        }
        #expect(try rows() == 20)
        writer.setLimits(QueryLogLimits(maximumAge: 9 * 3_600_000_000 + 60_000_000, maximumBytes: nil))
        let end = Date(timeIntervalSinceNow: 5)
        while try rows() != 10, Date() < end { usleep(10_000) }
        #expect(try rows() == 10)
        writer.stop()
    }

    @Test func removesWhatIsTooOldAndWhatOnlyThatUsed() throws {
        let store = try filled(40_000)
        let limits = QueryLogLimits(maximumAge: 10_000_000_000, maximumBytes: nil)
        let retention = Retention(store.connection, limits, epochRows: 1000)
        var steps = 0
        while try retention.step(now: Self.now) { steps += 1 }
        #expect(steps > 5 && steps < 200)
        // 10,000 seconds ago and younger.
        #expect(try integer(store, "SELECT count(*) FROM query_log") == 10_001)
        #expect(try integer(store, "SELECT min(id) FROM query_log") == 30_000)
        #expect(try integer(store, "SELECT count(*) FROM names WHERE text = 'n5.example'") == 0)
        #expect(try integer(store, "SELECT count(*) FROM names WHERE text = 'n105.example'") == 1)
        #expect(try integer(store, "SELECT count(*) FROM queries WHERE qname IS NULL OR answer IS NULL") == 0)
        #expect(try integer(store, "SELECT count(*) FROM answers") < 22)
        let free = try integer(store, "PRAGMA freelist_count")
        let pages = try integer(store, "PRAGMA page_count")
        #expect(free <= max(256, pages / 16))
        // Every row is in a span that holds its time.
        #expect(
            try integer(
                store,
                """
                SELECT count(*) FROM query_log AS l WHERE NOT EXISTS (SELECT * FROM query_spans
                WHERE l.id BETWEEN first AND last AND l.time BETWEEN oldest AND newest)
                """) == 0)
        // A name that was removed while the writer remembered it gets a row again.
        try store.begin()
        try store.insert(row(time: Self.now), qname: Name("n5.example")!.bytes, answer: RawSpan())
        try store.commit()
        #expect(try integer(store, "SELECT count(*) FROM queries WHERE qname = 'n5.example'") == 1)
        #expect(try integer(store, "SELECT max(id) FROM query_log") == 40_001)
    }

    @Test func keepsTheFileBelowItsSize() throws {
        let store = try filled(60_000)
        let limit: Int64 = 1 << 20
        let retention = Retention(
            store.connection, QueryLogLimits(maximumAge: nil, maximumBytes: limit), epochRows: 1000)
        while try retention.step(now: Self.now) {}
        #expect(try integer(store, "PRAGMA page_count") * 4096 <= limit)
        let left = try integer(store, "SELECT count(*) FROM query_log")
        #expect(left > 8000 && left < 40_000)
        #expect(try integer(store, "SELECT max(id) FROM query_log") == 60_000)
    }

    @Test func idsAreNeverUsedTwice() throws {
        var store: RowStore? = try filled(100)
        let limits = QueryLogLimits(maximumAge: 1_000_000, maximumBytes: nil)
        let retention = Retention(store!.connection, limits)
        while try retention.step(now: Self.now + 86_400_000_000) {}
        #expect(try integer(store!, "SELECT count(*) FROM query_log") == 0)
        store = nil
        let again = try RowStore(scratch.database, labels: testLabels)
        try again.begin()
        try again.insert(row(time: Self.now), qname: Name("a.example")!.bytes, answer: RawSpan())
        try again.commit()
        #expect(try integer(again, "SELECT max(id) FROM query_log") == 101)
    }

    @Test func namesKeepTheirIdsOverARestart() throws {
        var store: RowStore? = try filled(200)
        let id = try integer(store!, "SELECT id FROM names WHERE text = 'n150.example'")
        store = nil
        let again = try RowStore(scratch.database, labels: testLabels)
        try again.begin()
        try again.insert(row(time: Self.now), qname: Name("n150.example")!.bytes, answer: RawSpan())
        try again.commit()
        #expect(try integer(again, "SELECT name FROM query_log ORDER BY id DESC LIMIT 1") == id)
        #expect(try integer(again, "SELECT count(*) FROM names") == 200)
        #expect(try integer(again, "SELECT count(*) FROM sources") == 1)
        #expect(try integer(again, "SELECT count(*) FROM outcomes") == 1)
    }

    @Test func aRollbackLeavesNoTrace() throws {
        let store = try filled(10)
        try store.begin()
        try store.insert(row(time: Self.now), qname: Name("gone.example")!.bytes, answer: RawSpan())
        store.rollback()
        try store.begin()
        try store.insert(row(time: Self.now), qname: Name("gone.example")!.bytes, answer: RawSpan())
        try store.commit()
        #expect(try integer(store, "SELECT max(id) FROM query_log") == 11)
        #expect(try integer(store, "SELECT count(*) FROM queries WHERE qname = 'gone.example'") == 1)
    }

    @Test func keepsSoManyRows() throws {
        let store = try filled(60_000)
        let retention = Retention(
            store.connection, QueryLogLimits(maximumAge: nil, maximumBytes: nil, maximumRows: 20_000), epochRows: 1000,
            closeSpan: { store.closeSpan() })
        while try retention.step(now: Self.now) {}
        let left = try integer(store, "SELECT count(*) FROM query_log")
        #expect(left <= 20_000 && left > 20_000 - 2 * 8192)
        #expect(try integer(store, "SELECT max(id) FROM query_log") == 60_000)
        #expect(try integer(store, "SELECT sum(rows) FROM query_spans") == left)
    }

    @Test func blockedRowsStayLonger() throws {
        let store = try RowStore(scratch.database, labels: testLabels, epochRows: 1000)
        try store.begin()
        for number in 0..<40_000 {
            let isBlocked = number % 10 == 0
            let made = row(time: Self.now - Int64(40_000 - number) * 1_000_000) {
                $0.verdict = isBlocked ? .block : .forward
            }
            let name = Name("\(isBlocked ? "bad" : "good")\(number).example")!
            try store.insert(made, qname: name.bytes, answer: RawSpan())
        }
        try store.commit()
        let limits = QueryLogLimits(
            maximumAge: 10_000_000_000, maximumBytes: nil, maximumBlockedAge: 30_000_000_000)
        let retention = Retention(store.connection, limits, epochRows: 1000, closeSpan: { store.closeSpan() })
        while try retention.step(now: Self.now) {}
        func count(_ verdict: String, _ from: Int64, _ upTo: Int64) throws -> Int64 {
            try integer(
                store,
                """
                SELECT count(*) FROM query_log AS l JOIN outcomes AS o ON o.id = l.outcome WHERE verdict = '\(verdict)'
                AND l.time + \(Schema.timeBase) BETWEEN \(Self.now - upTo * 1_000_000) AND \(Self.now - from * 1_000_000)
                """)
        }
        // All of the last 10,000 seconds; of what is older only the blocked, but for what a span of rows hides.
        #expect(try count("forward", 0, 10_000) == 9000)
        #expect(try count("forward", 10_001, 40_000) <= 500)
        #expect(try count("block", 0, 30_000) == 3000)
        #expect(try count("block", 30_001, 40_000) == 0)
        #expect(try integer(store, "SELECT count(*) FROM queries WHERE qname IS NULL") == 0)
        #expect(try integer(store, "SELECT count(*) FROM names WHERE text GLOB 'good2*'") < 600)
        #expect(try integer(store, "SELECT count(*) FROM names WHERE text GLOB 'bad2*'") == 1000)
        let left = try integer(store, "SELECT count(*) FROM query_log")
        #expect(try integer(store, "SELECT sum(rows) FROM query_spans") == left)
        // There is nothing more to do until time goes on.
        #expect(try !retention.step(now: Self.now))
    }

    @Test func changesOfOthersAreNoticed() throws {
        let store = try filled(200)
        try store.begin()
        try store.insert(row(time: Self.now), qname: Name("n150.example")!.bytes, answer: RawSpan())
        try store.commit()
        // Another program empties the log, the names included.
        for table in ["query_log", "names", "answers", "sources", "outcomes", "query_spans", "qtypes"] {
            _ = try rows(scratch.database, "DELETE FROM \(table)")
        }
        try store.begin()
        try store.insert(row(time: Self.now), qname: Name("n150.example")!.bytes, answer: RawSpan())
        try store.commit()
        #expect(
            try rows(scratch.database, "SELECT id, qname, client, qtype FROM queries")
                == [["202", "n150.example", "192.0.2.10", "A"]])
        #expect(try rows(scratch.database, "SELECT first, last, rows FROM query_spans") == [["202", "202", "1"]])
    }

    /// A writer that is slow, or kept from the processor, still gets on with what is too old.
    @Test func theWriterRemovesWhatIsTooOldWhileRowsComeIn() throws {
        _ = try filled(30_000)
        let ring = try QueryRing(capacity: 1 << 20)
        var options = testOptions()
        options.limits = QueryLogLimits(maximumAge: 86_400_000_000, maximumBytes: nil)
        let writer = try QueryLogWriter(path: scratch.database, rings: [ring], labels: testLabels, options: options)
        let now = Clock.unixMicroseconds()
        var left: Int64 = -1
        for _ in 0..<400 where left != 0 {
            ring.push(row(time: now), qname: Name("new.example")!.bytes, answer: RawSpan())
            usleep(25_000)
            let old = "SELECT count(*) FROM query_log WHERE time < \(now - Schema.timeBase)"
            left = Int64(try rows(scratch.database, old)[0][0]!)!
        }
        writer.stop()
        #expect(left == 0)
        #expect(writer.status.droppedRows == 0)
    }

    @Test func aRowTakesFewBytes() throws {
        let store = try filled(50_000)
        let bytes = try integer(store, "PRAGMA page_count") * 4096
        #expect(bytes < 50_000 * 45, "\(Double(bytes) / 50_000) bytes a row")
    }
}

@Suite struct InternCacheTests {
    @Test func neverForgetsWhatIsUsedAndNeverMistakes() {
        let seed = UInt64.random(in: 1 ... .max)
        var random = SeededGenerator(seed)
        var cache = InternCache(capacity: 64)
        var reference: [[UInt8]: Int64] = [:]
        var hits = 0
        for step in 0..<20_000 {
            let key = [UInt8](
                repeating: UInt8.random(in: 0..<4, using: &random), count: Int.random(in: 0..<40, using: &random))
            if let found = cache.find(key.span.bytes) {
                hits += 1
                #expect(found.id == reference[key], "seed \(seed), step \(step)")
            } else {
                reference[key] = Int64(step)
                cache.insert(key.span.bytes, .init(id: Int64(step), seen: 0))
            }
            // What is looked at in every step stays.
            let kept: [UInt8] = [255]
            if step == 0 { cache.insert(kept.span.bytes, .init(id: 7_777_777, seen: 0)) }
            let found = cache.find(kept.span.bytes)
            #expect(found?.id == 7_777_777, "seed \(seed), step \(step)")
        }
        #expect(hits > 5000)
    }
}
