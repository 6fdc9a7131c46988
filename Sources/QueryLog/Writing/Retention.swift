/// Removes what is too old or too much, in steps of a few milliseconds that each are a transaction of their own.
///
/// Rows go span by span, by their ids. Names and answers that no row left refers to go afterwards, then free pages are
/// given back to the file system. One thread, between the writer's transactions.
final class Retention {
    private let connection: Connection
    private let limits: QueryLogLimits
    private let epochRows: Int64
    /// Names and answers below this epoch are gone; where the sweep stands, in ids of either table.
    private var sweptEpoch: Int64 = 0
    private var sweep: Int64?

    /// Rows, names or answers looked at in one step.
    private static let stepRows: Int64 = 4096
    /// Pages given back in one step.
    private static let stepPages: Int64 = 256

    init(_ connection: Connection, _ limits: QueryLogLimits, epochRows: Int64 = RowStore.epochRows) {
        self.connection = connection
        self.limits = limits
        self.epochRows = epochRows
    }

    /// Does one step.
    ///
    /// - Parameter now: microseconds since 1970.
    /// - Returns: whether there is more to do.
    func step(now: Int64) throws(QueryLogError) -> Bool {
        guard let newest = try connection.integer("SELECT max(first) FROM query_spans") else { return false }
        if let age = limits.maximumAge, try removeOlder(than: now - age - Schema.timeBase, newest: newest) {
            return true
        }
        let isTooBig = try isTooBig()
        if isTooBig.rows, try removeOldest(newest: newest) { return true }
        if try Rollup.renew(connection) { return true }
        if try sweepUnused() { return true }
        return try vacuum(eagerly: isTooBig.file)
    }

    // MARK: - Rows

    /// Removes rows of one span that are older than `cutoff` (microseconds since `Schema.timeBase`).
    private func removeOlder(than cutoff: Int64, newest: Int64) throws(QueryLogError) -> Bool {
        let find = try connection.prepare(
            "SELECT first, last, newest FROM query_spans WHERE oldest < ? ORDER BY first LIMIT 1")
        find.bind(1, cutoff)
        guard try find.step() else { return false }
        let (first, last, latest) = (find.integer(0), find.integer(1), find.integer(2))
        find.reset()
        if latest < cutoff && first != newest {
            try removeRows(first, last)
            return true
        }
        var removed = 0
        try transaction { () throws(QueryLogError) in
            try Rollup.rowsWillGo(connection, first: first, last: last, ids: first...last, before: cutoff)
            try connection.execute("DELETE FROM query_log WHERE id BETWEEN \(first) AND \(last) AND time < \(cutoff)")
            removed = connection.changes
            // The writer keeps the facts of the newest span itself.
            guard first != newest else { return }
            try connection.execute(
                """
                UPDATE query_spans SET oldest = coalesce(
                    (SELECT min(time) FROM query_log WHERE id BETWEEN \(first) AND \(last)), newest)
                WHERE first = \(first)
                """)
        }
        return removed > 0 || first != newest
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
            if upTo == last { try Rollup.spanIsGone(connection, last: last) }
            try connection.execute("DELETE FROM query_log WHERE id BETWEEN \(first) AND \(upTo)")
            try connection.execute(
                upTo == last
                    ? "DELETE FROM query_spans WHERE first = \(first)"
                    : "UPDATE query_spans SET first = \(upTo + 1) WHERE first = \(first)")
        }
    }

    // MARK: - Names, answers, pages

    /// Removes names and answers whose last use was by rows that are gone.
    private func sweepUnused() throws(QueryLogError) -> Bool {
        let firstRow = try connection.integer("SELECT min(first) FROM query_spans") ?? 0
        let epoch = firstRow / epochRows
        if sweep == nil {
            guard epoch > sweptEpoch else { return false }
            sweep = 0
        }
        guard let from = sweep else { return false }
        let last =
            try connection.integer(
                "SELECT max(coalesce((SELECT max(id) FROM names), 0), coalesce((SELECT max(id) FROM answers), 0))") ?? 0
        guard from <= last else {
            sweep = nil
            sweptEpoch = epoch
            return false
        }
        let upTo = from + Retention.stepRows - 1
        try transaction { () throws(QueryLogError) in
            for table in ["names", "answers"] {
                try connection.execute(
                    "DELETE FROM \(table) WHERE id BETWEEN \(from) AND \(upTo) AND seen < \(epoch)")
            }
        }
        sweep = upTo + 1
        return true
    }

    /// Whether the pages in use, and the file with its free pages, exceed the limit.
    private func isTooBig() throws(QueryLogError) -> (rows: Bool, file: Bool) {
        guard let limit = limits.maximumBytes else { return (false, false) }
        let size = try connection.integer("PRAGMA page_size") ?? 4096
        let pages = try connection.integer("PRAGMA page_count") ?? 0
        let free = try connection.integer("PRAGMA freelist_count") ?? 0
        return ((pages - free) * size > limit, pages * size > limit)
    }

    /// Gives free pages back when they are a sixteenth of the file, or at once when it is too big; few are kept, for the
    /// next rows will need them.
    private func vacuum(eagerly: Bool) throws(QueryLogError) -> Bool {
        let free = try connection.integer("PRAGMA freelist_count") ?? 0
        let pages = try connection.integer("PRAGMA page_count") ?? 0
        guard free > (eagerly ? 0 : max(Retention.stepPages, pages / 16)) else { return false }
        try connection.execute("PRAGMA incremental_vacuum(\(Retention.stepPages))")
        return try connection.integer("PRAGMA freelist_count") ?? 0 < free
    }

    private func transaction(_ body: () throws(QueryLogError) -> Void) throws(QueryLogError) {
        try connection.execute("BEGIN IMMEDIATE")
        do {
            try body()
            try connection.execute("COMMIT")
        } catch {
            try? connection.execute("ROLLBACK")
            throw error
        }
    }
}

/// How much of the past the log keeps; nil: without end.
public struct QueryLogLimits: Sendable, Equatable {
    /// Microseconds.
    public var maximumAge: Int64?
    /// Bytes of `querylog.db` without its `-wal`. Names are given up only with the rows of a run of 262,144, so below
    /// about 32 MiB many different names can exceed it.
    public var maximumBytes: Int64?

    public init(maximumAge: Int64? = 30 * 86_400_000_000, maximumBytes: Int64? = 1 << 30) {
        self.maximumAge = maximumAge
        self.maximumBytes = maximumBytes
    }
}
