import Glibc
import QueryLog

/// What the log has of queries and flows that the bypass protection stopped.
enum BypassAttempts {
    struct Attempt {
        /// `query` or `flow`.
        var kind: String
        /// The name, or the address and port.
        var what: String
        var app: String?
        var client: String?
        var times: Int64
        /// As the log has it: ISO 8601, UTC.
        var last: String

        var json: JSONValue {
            .object([
                ("kind", .string(kind)), ("what", .string(what)), ("app", .optional(app)),
                ("client", .optional(client)), ("times", .integer(times)), ("last", .string(last)),
            ])
        }
    }

    /// - Returns: the most frequent first, 50 at most of queries and of flows; none without a log.
    static func read(_ path: String, since: Int64?) throws -> [Attempt] {
        guard unsafe access(path, F_OK) == 0 else { return [] }
        let log = try ReadOnlySQL(path: path)
        let views = try texts(log, "SELECT name FROM sqlite_schema WHERE type = 'view'")
        var attempts: [Attempt] = []
        for (view, kind, what, times) in [
            ("queries", "query", "qname", "sum(count)"),
            ("flows", "flow", "remote || ' port ' || port || coalesce(' ' || name, '')", "count(*)"),
        ] where views.contains(view) {
            let sql = """
                SELECT \(what) AS what, app, client, \(times) AS times, max(time) AS last FROM \(view)
                WHERE reason = 'bypass' \(Moment.iso(since).map { "AND time >= '\($0)'" } ?? "")
                GROUP BY 1, 2, 3 ORDER BY times DESC, last DESC LIMIT 50
                """
            try log.run(sql) { _ in
            } row: { values in
                guard values.count == 5, case .text(let what) = values[0], case .integer(let times) = values[3],
                    case .text(let last) = values[4]
                else { return }
                attempts.append(
                    Attempt(
                        kind: kind, what: what, app: text(values[1]), client: text(values[2]), times: times, last: last)
                )
            }
        }
        return attempts.sorted { $0.times > $1.times }
    }

    private static func texts(_ log: ReadOnlySQL, _ sql: String) throws -> [String] {
        var found: [String] = []
        try log.run(sql) { _ in
        } row: { values in
            found += values.compactMap(text)
        }
        return found
    }

    private static func text(_ value: LogValue) -> String? {
        if case .text(let text) = value { text } else { nil }
    }
}
