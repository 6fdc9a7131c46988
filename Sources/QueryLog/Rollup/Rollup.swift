/// Sums up rows that nobody adds to any more, run of ids by run of ids, on the writer's connection and thread.
///
/// It is done when the writer has time. Until then reports count the rows themselves, so being late costs them speed and
/// no truth. Each run is added to the hours exactly once, in the transaction that writes its summary.
enum Rollup {
    /// Sums up one closed run of ids, the oldest first.
    ///
    /// - Returns: whether there was one; then there may be more.
    static func step(_ connection: Connection) throws(QueryLogError) -> Bool {
        guard let run = try next(connection) else { return false }
        try connection.transaction { () throws(QueryLogError) in
            try write(try summary(connection, run.first, run.last, counting: true), connection, run.last, isExact: true)
        }
        return true
    }

    /// The first run that has no sums yet and is not written to any more. Runs are summed up in their order, so it is one
    /// behind all that are.
    private static func next(_ connection: Connection) throws(QueryLogError) -> (first: Int64, last: Int64)? {
        let find = try connection.prepare(
            """
            SELECT first, last FROM query_spans WHERE last > (SELECT coalesce(max(last), 0) FROM query_summaries)
            AND first < (SELECT max(first) FROM query_spans) ORDER BY first LIMIT 1
            """)
        return try find.step() ? (find.integer(0), find.integer(1)) : nil
    }

    /// Sums up anew one run of ids that has lost rows. Call it when no more of them are about to go.
    static func renew(_ connection: Connection) throws(QueryLogError) -> Bool {
        let find = try connection.prepare(
            """
            SELECT s.first, s.last FROM query_summaries AS m JOIN query_spans AS s ON s.last = m.last
            WHERE m.exact = 0 LIMIT 1
            """)
        guard try find.step() else { return false }
        let (first, last) = (find.integer(0), find.integer(1))
        find.reset()
        try connection.transaction { () throws(QueryLogError) in
            try write(try summary(connection, first, last, counting: false), connection, last, isExact: true)
        }
        return true
    }

    /// Makes sure that rows which are about to be removed stay counted. Inside the transaction that removes them.
    ///
    /// - Parameters:
    ///   - first: with `last`, the run of ids (`query_spans`) that they are in.
    ///   - ids: those that go at most.
    ///   - cutoff: of these, only the rows before it go; microseconds since `Schema.timeBase`.
    static func rowsWillGo(
        _ connection: Connection, first: Int64, last: Int64, ids: ClosedRange<Int64>, before cutoff: Int64? = nil
    ) throws(QueryLogError) {
        while let run = try next(connection), run.first <= first {
            try write(try summary(connection, run.first, run.last, counting: true), connection, run.last, isExact: true)
        }
        try connection.execute("UPDATE query_summaries SET exact = 0 WHERE last = \(last)")
        if connection.changes == 0 {
            // The run is still written to: it is counted, less these, when it is closed.
            let condition = cutoff.map { " AND time < \($0)" } ?? ""
            var hours = HourCounts()
            let outcomes = try OutcomeTable(connection)
            let rows = try connection.prepare(
                """
                SELECT outcome, time, latency, coalesce(count, 1) FROM query_log
                WHERE id BETWEEN \(ids.lowerBound) AND \(ids.upperBound)\(condition)
                """)
            while try rows.step() {
                hours.add(
                    time: rows.integer(1) + Schema.timeBase, outcome: rows.integer(0), latency: rows.optionalInteger(2),
                    isResolved: outcomes[rows.integer(0)].isResolved, queries: rows.integer(3))
            }
            try hours.write(connection)
        }
    }

    /// Forgets the sums of a run of ids whose rows are all gone; the hours stay.
    static func forgetIfGone(_ connection: Connection, last: Int64) throws(QueryLogError) {
        try connection.execute(
            """
            DELETE FROM query_summaries WHERE last = \(last)
            AND NOT EXISTS (SELECT * FROM query_spans WHERE query_spans.last = \(last))
            """)
    }

    /// Hours are kept so long: five years, in microseconds.
    static let hoursAge: Int64 = 5 * 366 * 86_400_000_000

    /// Removes hours that ended before `time` (microseconds since 1970).
    static func removeHours(_ connection: Connection, before time: Int64) throws(QueryLogError) {
        let hour = HourCounts.hour(time)
        try connection.transaction { () throws(QueryLogError) in
            try connection.execute("DELETE FROM query_hours WHERE hour < \(hour)")
            try connection.execute("DELETE FROM query_hour_latencies WHERE hour < \(hour)")
        }
    }

    // MARK: - One run

    /// The sums of the rows `first...last`, which with `counting` are added to their hours too.
    private static func summary(
        _ connection: Connection, _ first: Int64, _ last: Int64, counting: Bool
    ) throws(QueryLogError) -> SpanSummary {
        let table = try OutcomeTable(connection)
        var summary = SpanSummary()
        var hours = HourCounts()
        typealias Entries = [IDCounts.Entry]
        var (outcomes, sources, processes): (Entries, Entries, Entries) = ([], [], [])
        var (qtypes, names): (Entries, Entries) = ([], [])
        var latencySums: [Int64: Int64] = [:]
        let rows = try connection.prepare(
            """
            SELECT outcome, name, source, time, qtype, latency, process, coalesce(count, 1) FROM query_log
            WHERE id BETWEEN \(first) AND \(last)
            """)
        while try rows.step() {
            let outcome = table[rows.integer(0)]
            let queries = rows.integer(7)
            let entry = { (id: Int64) in IDCounts.Entry(id: id, queries: queries, isBlocked: outcome.isBlocked) }
            outcomes.append(entry(rows.integer(0)))
            names.append(entry(rows.integer(1)))
            sources.append(entry(rows.integer(2)))
            qtypes.append(entry(rows.integer(4)))
            if let process = rows.optionalInteger(6) { processes.append(entry(process)) }
            let latency = rows.optionalInteger(5)
            if let latency {
                latencySums[rows.integer(0), default: 0] += max(0, latency) * queries
                summary.answered.add(latency, times: Int(queries))
                if outcome.isResolved { summary.resolved.add(latency, times: Int(queries)) }
            }
            if counting {
                hours.add(
                    time: rows.integer(3) + Schema.timeBase, outcome: rows.integer(0), latency: latency,
                    isResolved: outcome.isResolved, queries: queries)
            }
        }
        summary.outcomes = IDCounts(&outcomes)
        summary.sources = IDCounts(&sources)
        summary.processes = IDCounts(&processes)
        summary.qtypes = IDCounts(&qtypes)
        summary.names = IDCounts(&names)
        summary.latencySums.counts = latencySums.sorted { $0.key < $1.key }
            .map { .init(id: $0.key, queries: $0.value, blocked: 0) }
        try hours.write(connection)
        return summary
    }

    private static func write(
        _ summary: SpanSummary, _ connection: Connection, _ last: Int64, isExact: Bool
    ) throws(QueryLogError) {
        var names: [UInt8] = []
        summary.names.append(to: &names)
        let insert = try connection.prepare("INSERT OR REPLACE INTO query_summaries VALUES (?, ?, ?, ?, ?)")
        insert.bind(1, last)
        insert.bind(2, isExact ? 1 : 0)
        insert.bind(3, bytes: summary.sets)
        insert.bind(4, bytes: summary.latencies)
        insert.bind(5, bytes: names)
        try insert.run()
    }
}
