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
            try connection.execute(
                "PRAGMA query_only = ON; PRAGMA busy_timeout = 2000; PRAGMA cache_size = -16384; PRAGMA mmap_size = 4294967296"
            )
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
}
