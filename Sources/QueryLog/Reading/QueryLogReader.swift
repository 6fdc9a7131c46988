internal import GRDBSQLite

/// The reading side of `querylog.db`: works beside the writer, in another process, and without one. One thread.
///
/// Every question sees the log as it was at one moment. The writer never waits for a reader.
public final class QueryLogReader {
    let connection: Connection

    /// Opens the log for reading.
    ///
    /// - Throws: `QueryLogError`: `missing`, `foreign`, `newer`, or SQLite's own reason.
    public convenience init(path: String) throws {
        try self.init(opening: path)
    }

    init(opening path: String) throws(QueryLogError) {
        connection = try QueryLogReader.connect(path)
        guard try connection.integer("PRAGMA application_id") == Int64(Schema.applicationID) else {
            guard try connection.integer("SELECT count(*) FROM sqlite_schema") != 0 else {
                throw .missing(path: path)
            }
            throw .foreign(path: path)
        }
        let known = Schema.knownMigrations
        let applied = try connection.prepare("SELECT identifier FROM grdb_migrations ORDER BY rowid")
        while try applied.step() {
            if let step = applied.text(0), !known.contains(step) { throw .newer(path: path, migration: step) }
        }
    }

    /// A connection that cannot write. A log that nobody has open lacks the `-shm` file, which a reader without the right to
    /// write to the directory cannot make: then, as nobody writes, the file is read as one that does not change.
    static func connect(_ path: String) throws(QueryLogError) -> Connection {
        guard SetAside.exists(path) else { throw .missing(path: path) }
        do throws(QueryLogError) {
            let connection = try Connection(path, .readOnly)
            try connection.execute("PRAGMA query_only = ON; PRAGMA busy_timeout = 2000; PRAGMA cache_size = -16384")
            _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
            return connection
        } catch {
            let unwritable = [SQLITE_CANTOPEN, SQLITE_READONLY].contains(error.primaryCode)
            guard unwritable, !SetAside.exists(path + "-wal") else { throw error }
            return try Connection(path, .immutable)
        }
    }

    /// Whether the file at the path is no longer the one that was opened; open another reader then.
    public var hasMoved: Bool { connection.hasMoved }

    /// The highest id so far; 0 for an empty log.
    public func lastID() throws -> Int64 {
        try connection.integer("SELECT max(id) FROM query_log") ?? 0
    }

    /// Gives every row that passes the filter to `body`, in the order of ids; with a limit, the last so many.
    public func rows(_ filter: LogFilter, _ body: (LoggedQuery) throws -> Void) throws {
        let condition = filter.condition()
        let source =
            if let limit = filter.limit {
                "(SELECT l.id, l.time FROM query_log AS l WHERE \(condition.sql) ORDER BY l.id DESC LIMIT \(limit)) AS l"
                    + " CROSS JOIN queries AS q ON q.id = l.id ORDER BY l.id"
            } else {
                "query_log AS l CROSS JOIN queries AS q ON q.id = l.id WHERE \(condition.sql) ORDER BY l.id"
            }
        let statement = try connection.prepare("SELECT q.*, l.time FROM \(source)")
        condition.bind(statement)
        while try statement.step() { try body(LoggedQuery(statement)) }
    }
}

/// Which rows of the log. Everything that is set must hold.
public struct LogFilter: Sendable, Equatable {
    public enum Verdicts: Sendable {
        case blocked
        /// Everything that was not blocked.
        case allowed
    }

    public var verdicts: Verdicts?
    /// A pattern for the whole qname, as SQLite's GLOB: `*`, `?`, `[a-z]`, `[^a-z]`. Upper case is lowered.
    public var name: String?
    /// Microseconds since 1970: not before.
    public var since: Int64?
    /// Only ids above.
    public var after: Int64?
    /// The last so many.
    public var limit: Int?

    public init(
        verdicts: Verdicts? = nil, name: String? = nil, since: Int64? = nil, after: Int64? = nil, limit: Int? = nil
    ) {
        self.verdicts = verdicts
        self.name = name
        self.since = since
        self.after = after
        self.limit = limit
    }

    /// A condition on `query_log AS l`, with its bound values. Ids are compared first, then small sets of interned ids, so
    /// a row that does not pass costs a few comparisons and no look at other tables.
    struct Condition {
        var sql: String
        var time: Int64?
        var name: String?

        func bind(_ statement: borrowing Statement) {
            if let time { statement.bind(1, time) }
            if let name { statement.bind(2, name) }
        }
    }

    func condition() -> Condition {
        var parts: [String] = []
        var condition = Condition(sql: "")
        if let after { parts.append("l.id > \(after)") }
        if let since {
            parts.append("l.id >= (SELECT min(first) FROM query_spans WHERE newest >= ?1) AND l.time >= ?1")
            condition.time = since - Schema.timeBase
        }
        switch verdicts {
        case .blocked: parts.append("l.outcome IN (SELECT id FROM outcomes WHERE verdict = 'block')")
        case .allowed: parts.append("l.outcome IN (SELECT id FROM outcomes WHERE verdict <> 'block')")
        case nil: break
        }
        if let name {
            parts.append("l.name IN (SELECT id FROM names WHERE text GLOB ?2)")
            condition.name = name.lowercased()
        }
        condition.sql = parts.isEmpty ? "TRUE" : parts.joined(separator: " AND ")
        return condition
    }
}
