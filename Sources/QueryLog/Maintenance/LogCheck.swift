internal import GRDBSQLite

extension LogDatabase {
    /// Looks whether a log is sound: pages, indexes, and that every row has what it points to. Changes nothing.
    ///
    /// - Parameters:
    ///   - isQuick: leaves out what takes long: that indexes agree with tables, and where rows point.
    ///   - progress: of the rows.
    /// - Returns: what is wrong, in sentences; nothing when it is sound.
    /// - Throws: `QueryLogError.missing`, `.foreign`, `.newer`, or SQLite's reason why the file cannot be read at all.
    public static func check(
        _ path: String, isQuick: Bool = false, _ progress: Progress = { _, _ in }
    ) throws -> [String] {
        do throws(QueryLogError) {
            let connection = try QueryLogReader(opening: path).connection
            var problems = try pages(connection, isQuick)
            if problems.isEmpty, !isQuick { problems = try references(connection, progress) }
            return problems
        } catch {
            guard [SQLITE_CORRUPT, SQLITE_NOTADB].contains(error.primaryCode) else { throw error }
            return [error.description]
        }
    }

    private static func pages(_ connection: Connection, _ isQuick: Bool) throws(QueryLogError) -> [String] {
        let check = try connection.prepare(isQuick ? "PRAGMA quick_check(20)" : "PRAGMA integrity_check(20)")
        var problems: [String] = []
        while try check.step() {
            let line = check.text(0) ?? ""
            if line != "ok" { problems.append(line) }
        }
        return problems
    }

    private static func references(_ connection: Connection, _ progress: Progress) throws(QueryLogError) -> [String] {
        let tables = [
            (
                "query_log", "queries",
                [
                    ("outcome", "outcomes"), ("source", "sources"), ("name", "names"), ("rule", "names"),
                    ("answer", "answers"),
                ]
            ),
            (
                "flow_log", "flows",
                [
                    ("outcome", "flow_outcomes"), ("source", "sources"), ("name", "names"), ("rule", "names"),
                    ("remote", "answers"),
                ]
            ),
        ]
        var problems: [String] = []
        for (table, rows, columns) in tables {
            guard try connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = '\(table)'") != 0 else {
                continue
            }
            let last = try connection.integer("SELECT max(id) FROM \(table)") ?? 0
            var broken = Array(repeating: Int64(0), count: columns.count)
            let sums = columns.map { "sum(l.\($0) > 0 AND NOT EXISTS (SELECT 1 FROM \($1) WHERE id = l.\($0)))" }
            let find = try connection.prepare(
                "SELECT \(sums.joined(separator: ", ")) FROM \(table) AS l WHERE l.id BETWEEN ? AND ?")
            for first in stride(from: Int64(1), through: last, by: 100_000) {
                find.bind(1, first)
                find.bind(2, first + 99_999)
                if try find.step() {
                    for index in broken.indices { broken[index] += find.integer(Int32(index)) }
                }
                find.reset()
                progress(min(last, first + 99_999), last)
            }
            for (column, count) in zip(columns, broken) where count > 0 {
                problems.append("\(count) \(rows) point to \(column.1) that are not there")
            }
        }
        return problems
    }
}
