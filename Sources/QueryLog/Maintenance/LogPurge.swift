internal import GRDBSQLite

/// Which queries and flows are to be removed. Everything that is set must hold; nothing set: all.
public struct PurgeSelection: Sendable, Equatable {
    /// Microseconds since 1970: those before.
    public var before: Int64?
    /// A pattern for the whole address, as SQLite's GLOB: `192.0.2.7`, `2001:db8:*`.
    public var client: String?
    /// A pattern for the whole name.
    public var name: String?
    /// Only what was not blocked or dropped.
    public var onlyAllowed = false

    public init(before: Int64? = nil, client: String? = nil, name: String? = nil, onlyAllowed: Bool = false) {
        self.before = before
        self.client = client
        self.name = name
        self.onlyAllowed = onlyAllowed
    }

    var isEverything: Bool { self == PurgeSelection() }

    /// What is removed of each table, the parameters ?1 and ?2 for the first and last id.
    var conditions: [(table: String, condition: LogConditions)] {
        [("query_log", condition("outcomes", "block")), ("flow_log", condition("flow_outcomes", "drop"))]
    }

    private func condition(_ outcomes: String, _ verdict: String) -> LogConditions {
        var conditions = LogConditions(reserved: 2)
        conditions.add("id BETWEEN ?1 AND ?2")
        if let before { conditions.add("time < ?", .integer(before - Schema.timeBase)) }
        if let client { conditions.add("source", among: .clients(client)) }
        if let name { conditions.add("name", among: .names(name)) }
        if onlyAllowed {
            conditions.add("outcome NOT IN (SELECT id FROM \(outcomes) WHERE verdict = ?)", .text(verdict))
        }
        return conditions
    }
}

extension LogDatabase {
    /// How many rows `purge` would remove.
    public func count(_ selection: PurgeSelection) throws -> Int64 {
        var count: Int64 = 0
        for (table, condition) in selection.conditions {
            let statement = try connection.prepare("SELECT count(*) FROM \(table) WHERE \(condition.sql)")
            statement.bind(1, 1)
            statement.bind(2, Int64.max)
            condition.bind(statement)
            if try statement.step() { count += statement.integer(0) }
        }
        return count
    }

    /// Removes rows, then the names, answers, clients and programs that no row is left of, and overwrites their bytes.
    ///
    /// - Returns: rows removed.
    public func purge(_ selection: PurgeSelection, _ progress: Progress = { _, _ in }) throws -> Int64 {
        let removed = try removeRows(selection, progress)
        if selection.isEverything { try Rollup.removeHours(connection, before: .max) }
        let sweep = NameSweep(connection, isThorough: true)
        var pace = Pace()
        while try sweep.step() {
            progress(sweep.progress.done, sweep.progress.total)
            pace.rest()
        }
        _ = try vacuum()
        return removed
    }

    private func removeRows(_ selection: PurgeSelection, _ progress: Progress) throws(QueryLogError) -> Int64 {
        try closeNewest()
        let spans = try self.spans(before: selection.before.map { $0 - Schema.timeBase })
        guard let lowest = spans.first?.lowerBound, let highest = spans.last?.upperBound else { return 0 }
        var removed: Int64 = 0
        var pace = Pace()
        for span in spans {
            var first = span.lowerBound
            while first <= span.upperBound {
                let ids = first...min(span.upperBound, first + 4095)
                removed += try remove(selection, ids, of: span)
                progress(ids.upperBound - lowest, highest - lowest + 1)
                first = ids.upperBound + 1
                pace.rest()
            }
        }
        while try Rollup.renew(connection) { pace.rest() }
        return removed
    }

    /// Begins a run of ids behind the newest, so that nobody adds to those before. A running webtun takes its next rows there.
    private func closeNewest() throws(QueryLogError) {
        try connection.execute(
            """
            INSERT INTO query_spans (first, last, oldest, newest, rows)
            SELECT last + 1, last + 1, newest, newest, 0 FROM query_spans WHERE rows IS NOT 0
            AND first = (SELECT max(first) FROM query_spans)
            """)
    }

    private func spans(before: Int64?) throws(QueryLogError) -> [ClosedRange<Int64>] {
        let find = try connection.prepare(
            "SELECT first, last FROM query_spans WHERE (?1 IS NULL OR oldest < ?1) AND rows IS NOT 0 ORDER BY first")
        find.bind(1, before)
        var spans: [ClosedRange<Int64>] = []
        while try find.step() { spans.append(find.integer(0)...max(find.integer(0), find.integer(1))) }
        return spans
    }

    /// One transaction.
    private func remove(
        _ selection: PurgeSelection, _ ids: ClosedRange<Int64>, of span: ClosedRange<Int64>
    ) throws(QueryLogError) -> Int64 {
        var removed: Int64 = 0
        try connection.transaction { () throws(QueryLogError) in
            try Rollup.rowsWillGo(connection, first: span.lowerBound, last: span.upperBound, ids: ids)
            for (table, condition) in selection.conditions {
                let statement = try connection.prepare("DELETE FROM \(table) WHERE \(condition.sql)")
                statement.bind(1, ids.lowerBound)
                statement.bind(2, ids.upperBound)
                condition.bind(statement)
                try statement.run()
                removed += Int64(connection.changes)
            }
            try connection.execute(
                """
                UPDATE query_spans SET rows = coalesce(rows, last - first + 1) - \(removed) WHERE first = \(span.lowerBound)
                """)
            try connection.execute("DELETE FROM query_spans WHERE first = \(span.lowerBound) AND rows <= 0")
            try Rollup.forgetIfGone(connection, last: span.upperBound)
        }
        return removed
    }
}
