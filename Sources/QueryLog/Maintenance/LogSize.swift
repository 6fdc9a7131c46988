internal import GRDBSQLite
internal import Glibc

/// How large a log is.
public struct LogSize: Sendable, Equatable {
    /// Bytes of the file, of its `-wal`, and of pages in the file that hold nothing.
    public var fileBytes: Int64 = 0
    public var walBytes: Int64 = 0
    public var freeBytes: Int64 = 0
    /// Rows of the views.
    public var queries: Int64 = 0
    public var flows: Int64 = 0
    /// Times of the oldest and the newest row, microseconds since 1970; nil: there is none.
    public var oldest: Int64?
    public var newest: Int64?
    /// Bytes of each table with its indexes, largest first; only when asked for.
    public var tables: [Table] = []

    public struct Table: Sendable, Equatable {
        public var name: String
        public var rows: Int64
        public var bytes: Int64
    }

    /// Bytes of the file, without free pages, for each row.
    public var bytesPerRow: Double? {
        queries + flows == 0 ? nil : Double(fileBytes - freeBytes) / Double(queries + flows)
    }

    /// Measures a log, also while webtun writes.
    ///
    /// - Parameter tables: reads every page to tell tables apart.
    /// - Throws: `QueryLogError`.
    public init(of path: String, tables: Bool = false) throws {
        let connection = try QueryLogReader(opening: path).connection
        fileBytes = LogSize.bytes(path)
        walBytes = LogSize.bytes(path + "-wal")
        let page = try connection.integer("PRAGMA page_size") ?? 4096
        freeBytes = (try connection.integer("PRAGMA freelist_count") ?? 0) * page
        queries = try connection.integer("SELECT count(*) FROM query_log") ?? 0
        let hasFlows = try connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'flow_log'") != 0
        if hasFlows { flows = try connection.integer("SELECT count(*) FROM flow_log") ?? 0 }
        if queries + flows > 0 {
            oldest = try connection.integer("SELECT min(oldest) FROM query_spans").map { $0 + Schema.timeBase }
            newest = try connection.integer("SELECT max(newest) FROM query_spans").map { $0 + Schema.timeBase }
        }
        if tables { self.tables = try LogSize.tables(connection) }
    }

    private static func tables(_ connection: Connection) throws(QueryLogError) -> [Table] {
        let find = try connection.prepare(
            """
            SELECT s.tbl_name, sum(d.pgsize) FROM sqlite_schema AS s
                JOIN dbstat AS d ON d.name = s.name AND d.aggregate = TRUE
            WHERE s.rootpage > 0 GROUP BY 1 ORDER BY 2 DESC, 1
            """)
        var tables: [Table] = []
        while try find.step() {
            tables.append(Table(name: find.text(0) ?? "", rows: 0, bytes: find.integer(1)))
        }
        for index in tables.indices {
            let name = tables[index].name.replacing("\"", with: "\"\"")
            tables[index].rows = try connection.integer("SELECT count(*) FROM \"\(name)\"") ?? 0
        }
        return tables
    }

    static func bytes(_ path: String) -> Int64 {
        var facts = stat()
        return unsafe stat(path, &facts) == 0 ? Int64(facts.st_size) : 0
    }
}
