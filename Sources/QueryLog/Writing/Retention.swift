/// Removes what is too old or too much, in steps of a few milliseconds that each are a transaction of their own.
///
/// Rows go span by span, by their ids; those of queries and flows together. Names and answers that no row left refers to go
/// afterwards, then free pages are given back to the file system. One thread, between the writer's transactions.
final class Retention {
    private let connection: Connection
    var limits: QueryLogLimits
    private let sweep: NameSweep
    /// Makes the writer begin a new span, so that the newest may be changed.
    private let closeSpan: () -> Void

    /// Rows looked at in one step.
    private static let stepRows: Int64 = 4096
    /// Pages given back in one step.
    static let stepPages: Int64 = 256

    init(
        _ connection: Connection, _ limits: QueryLogLimits, epochRows: Int64 = RowStore.epochRows,
        closeSpan: @escaping () -> Void = {}
    ) {
        self.connection = connection
        self.limits = limits
        self.closeSpan = closeSpan
        sweep = NameSweep(connection, epochRows: epochRows)
    }

    /// Of a writer's store.
    convenience init(_ store: RowStore, _ limits: QueryLogLimits) {
        self.init(store.connection, limits) { [weak store] in store?.closeSpan() }
    }

    /// Does one step.
    ///
    /// - Parameter now: microseconds since 1970.
    /// - Returns: whether there is more to do.
    func step(now: Int64) throws(QueryLogError) -> Bool {
        guard let newest = try connection.integer("SELECT max(first) FROM query_spans") else { return false }
        if try removeAged(now - Schema.timeBase, newest: newest) { return true }
        let isTooBig = try isTooBig()
        var isOver = isTooBig.rows
        if !isOver { isOver = try hasTooManyRows() }
        if isOver, try removeOldest(newest: newest) { return true }
        if try Rollup.renew(connection) { return true }
        try Rollup.removeHours(connection, before: now - Rollup.hoursAge)
        if try sweep.step() { return true }
        return try Retention.vacuum(connection, eagerly: isTooBig.file)
    }

    // MARK: - Rows

    /// - Parameter now: microseconds since `Schema.timeBase`.
    private func removeAged(_ now: Int64, newest: Int64) throws(QueryLogError) -> Bool {
        guard let age = limits.maximumAge else { return false }
        if let blockedAge = limits.blockedAge {
            if try removeOlder(than: now - blockedAge, newest: newest) { return true }
            return try thin(now - age, slack: age / 24, newest: newest)
        }
        return try removeOlder(than: now - age, newest: newest)
    }

    /// Removes rows of one span that are older than `cutoff` (microseconds since `Schema.timeBase`).
    private func removeOlder(than cutoff: Int64, newest: Int64) throws(QueryLogError) -> Bool {
        let find = try connection.prepare(
            """
            SELECT first, last, newest FROM query_spans WHERE oldest < ?1 AND (rows IS NOT 0 OR first <> ?2)
            ORDER BY first LIMIT 1
            """)
        find.bind(1, cutoff)
        find.bind(2, newest)
        guard try find.step() else { return false }
        let (first, last, latest) = (find.integer(0), find.integer(1), find.integer(2))
        find.reset()
        if latest < cutoff && first != newest {
            try removeRows(first, last)
            return true
        }
        if first == newest { closeSpan() }
        try transaction { () throws(QueryLogError) in
            try Rollup.rowsWillGo(connection, first: first, last: last, ids: first...last, before: cutoff)
            let removed = try delete("id BETWEEN \(first) AND \(last) AND time < \(cutoff)")
            let ids = try least("id", first, last) ?? last
            let oldest = try least("time", first, last).map { "\($0)" } ?? "newest"
            try connection.execute(
                """
                UPDATE query_spans SET first = \(ids), rows = coalesce(rows, last - first + 1) - \(removed),
                oldest = \(oldest) WHERE first = \(first)
                """)
        }
        return true
    }

    /// Removes the rows of one span that are older than `cutoff` and were not blocked. A span that is partly as old is taken up
    /// again only after `slack` microseconds.
    private func thin(_ cutoff: Int64, slack: Int64, newest: Int64) throws(QueryLogError) -> Bool {
        let find = try connection.prepare(
            """
            SELECT first, last FROM query_spans WHERE oldest < ?1 AND coalesce(thinned, oldest) <= newest AND first <> ?2
            AND (newest < ?1 OR coalesce(thinned, oldest) < ?1 - ?3) ORDER BY first LIMIT 1
            """)
        find.bind(1, cutoff)
        find.bind(2, newest)
        find.bind(3, slack)
        guard try find.step() else { return false }
        let (first, last) = (find.integer(0), find.integer(1))
        find.reset()
        try transaction { () throws(QueryLogError) in
            try Rollup.rowsWillGo(connection, first: first, last: last, ids: first...last)
            let removed = try delete(
                "id BETWEEN \(first) AND \(last) AND time < \(cutoff)",
                queries: " AND outcome NOT IN (SELECT id FROM outcomes WHERE verdict = 'block')",
                flows: " AND outcome NOT IN (SELECT id FROM flow_outcomes WHERE verdict = 'drop')")
            try connection.execute(
                """
                UPDATE query_spans SET rows = coalesce(rows, last - first + 1) - \(removed), thinned = \(cutoff)
                WHERE first = \(first)
                """)
            try connection.execute("DELETE FROM query_spans WHERE first = \(first) AND rows <= 0")
            try Rollup.forgetIfGone(connection, last: last)
        }
        return true
    }

    private func removeOldest(newest: Int64) throws(QueryLogError) -> Bool {
        let find = try connection.prepare("SELECT first, last FROM query_spans ORDER BY first LIMIT 1")
        guard try find.step() else { return false }
        let (first, last) = (find.integer(0), find.integer(1))
        find.reset()
        guard first != newest else { return false }
        try removeRows(first, last)
        return true
    }

    /// Removes the first rows of a span, and the span with its last.
    private func removeRows(_ first: Int64, _ last: Int64) throws(QueryLogError) {
        let upTo = min(last, first + Retention.stepRows - 1)
        try transaction { () throws(QueryLogError) in
            try Rollup.rowsWillGo(connection, first: first, last: last, ids: first...upTo)
            let removed = try delete("id BETWEEN \(first) AND \(upTo)")
            try connection.execute(
                upTo == last
                    ? "DELETE FROM query_spans WHERE first = \(first)"
                    : """
                    UPDATE query_spans SET first = \(upTo + 1), rows = coalesce(rows, last - first + 1) - \(removed)
                    WHERE first = \(first)
                    """)
            try Rollup.forgetIfGone(connection, last: last)
        }
    }

    /// The least value of a column in the rows of a span.
    private func least(_ column: String, _ first: Int64, _ last: Int64) throws(QueryLogError) -> Int64? {
        let query = try connection.integer("SELECT min(\(column)) FROM query_log WHERE id BETWEEN \(first) AND \(last)")
        let flow = try connection.integer("SELECT min(\(column)) FROM flow_log WHERE id BETWEEN \(first) AND \(last)")
        guard let query else { return flow }
        return flow.map { min(query, $0) } ?? query
    }

    /// Removes the rows of queries and flows that a condition holds for. Returns how many.
    private func delete(
        _ condition: String, queries: String = "", flows: String = ""
    ) throws(QueryLogError) -> Int {
        try connection.execute("DELETE FROM query_log WHERE \(condition)\(queries)")
        let removed = connection.changes
        try connection.execute("DELETE FROM flow_log WHERE \(condition)\(flows)")
        return removed + connection.changes
    }

    private func hasTooManyRows() throws(QueryLogError) -> Bool {
        guard let limit = limits.maximumRows else { return false }
        return try connection.integer("SELECT sum(coalesce(rows, last - first + 1)) FROM query_spans") ?? 0 > limit
    }

    // MARK: - Pages

    /// Whether the pages in use, and the file with its free pages, exceed the limit.
    private func isTooBig() throws(QueryLogError) -> (rows: Bool, file: Bool) {
        guard let limit = limits.maximumBytes else { return (false, false) }
        let size = try connection.integer("PRAGMA page_size") ?? 4096
        let pages = try connection.integer("PRAGMA page_count") ?? 0
        let free = try connection.integer("PRAGMA freelist_count") ?? 0
        return ((pages - free) * size > limit, pages * size > limit)
    }

    /// Gives some free pages back when they are a sixteenth of the file, or at once with `eagerly`; few are kept, for the
    /// next rows will need them.
    ///
    /// - Returns: whether there may be more.
    static func vacuum(_ connection: Connection, eagerly: Bool) throws(QueryLogError) -> Bool {
        let free = try connection.integer("PRAGMA freelist_count") ?? 0
        let pages = try connection.integer("PRAGMA page_count") ?? 0
        guard free > (eagerly ? 0 : max(Retention.stepPages, pages / 16)) else { return false }
        try connection.execute("PRAGMA incremental_vacuum(\(Retention.stepPages))")
        return try connection.integer("PRAGMA freelist_count") ?? 0 < free
    }

    private func transaction(_ body: () throws(QueryLogError) -> Void) throws(QueryLogError) {
        try connection.transaction(body)
    }
}
