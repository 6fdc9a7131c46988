/// Finds rows run by run (`query_spans`), leaving out every run whose times or summary say that none can pass.
extension QueryLogReader {
    /// Gives every row that passes the filter to `body`, in the order of ids; with a limit, the last so many.
    ///
    /// With a limit the newest runs are searched first and the search ends with the last row needed, so even a rare value
    /// costs at most `limit` runs of 8192 rows.
    public func rows(_ filter: LogFilter, _ body: (LoggedQuery) throws -> Void) throws {
        try connection.execute("BEGIN")
        defer { try? connection.execute("COMMIT") }
        let test = try RowTest(filter, connection)
        if test.isHopeless { return }
        let fetch = try connection.prepare(
            "SELECT q.*, l.time FROM query_log AS l CROSS JOIN queries AS q ON q.id = l.id WHERE l.id = ?")
        func give(_ id: Int64) throws {
            fetch.bind(1, id)
            defer { fetch.reset() }
            if try fetch.step() { try body(LoggedQuery(fetch)) }
        }
        if let limit = filter.limit {
            var found: [Int64] = []
            if limit > 0 {
                try search(test, newestFirst: true) { id in
                    found.append(id)
                    return found.count < limit
                }
            }
            for id in found.reversed() { try give(id) }
        } else {
            try search(test, newestFirst: false) { id in
                try give(id)
                return true
            }
        }
    }

    /// Calls `body` with the ids of the rows that pass, until it returns false.
    func search(_ test: RowTest, newestFirst: Bool, _ body: (Int64) throws -> Bool) throws {
        let order = newestFirst ? "DESC" : "ASC"
        let (spanCondition, condition) = (test.spanCondition, test.condition)
        // A newer run than the last span does not exist: a transaction writes rows and their span together.
        let spans = try connection.prepare(
            """
            SELECT s.first, s.last, m.sets, m.names FROM query_spans AS s LEFT JOIN query_summaries AS m ON m.last = s.last
            WHERE \(spanCondition.sql) ORDER BY s.first \(order)
            """)
        spanCondition.bind(spans)
        let rows = try connection.prepare(
            "SELECT \(RowTest.columns) FROM query_log WHERE \(condition.sql) ORDER BY id \(order)")
        condition.bind(rows)
        while try spans.step() {
            if !spans.isNull(2) {
                guard spans.withBlob(2, test.mayPass(sets:)) else { continue }
                if test.names != nil { guard spans.withBlob(3, test.mayPass(names:)) else { continue } }
            }
            rows.bind(1, max(spans.integer(0), (test.after ?? -1) + 1))
            rows.bind(2, spans.integer(1))
            defer { rows.reset() }
            while try rows.step() {
                if test.passes(rows), try !body(rows.integer(0)) { return }
            }
        }
    }
}
