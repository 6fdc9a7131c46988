internal import GRDBSQLite

/// What an administrator does with `querylog.db`: beside a running webtun, which goes on writing, or without one. One thread.
///
/// Everything that changes the file is done in transactions of a few milliseconds with as long a pause behind each, so that
/// rows of a running webtun are written in between; they wait in its memory meanwhile.
public final class LogDatabase {
    public let path: String
    let connection: Connection

    /// Called with how much is done, of how much.
    public typealias Progress = (_ done: Int64, _ total: Int64) -> Void

    /// Opens a log for changes, and brings its schema up to date when it is an old one.
    ///
    /// - Throws: `QueryLogError`: `missing`, `foreign`, `newer`, or SQLite's own reason.
    public convenience init(path: String) throws {
        try self.init(opening: path)
    }

    init(opening path: String) throws(QueryLogError) {
        self.path = path
        _ = try QueryLogReader(opening: path)
        try Schema.migrate(path)
        connection = try Connection(path, .readWrite)
        try connection.execute("PRAGMA busy_timeout = 10000; PRAGMA secure_delete = ON; PRAGMA synchronous = NORMAL")
    }

    /// Gives free pages back to the file system until there are none. Readers and a writer go on.
    ///
    /// - Returns: bytes by which the file is smaller.
    public func vacuum(_ progress: Progress = { _, _ in }) throws -> Int64 {
        let size = try connection.integer("PRAGMA page_size") ?? 4096
        let before = try connection.integer("PRAGMA page_count") ?? 0
        let free = try connection.integer("PRAGMA freelist_count") ?? 0
        var pace = Pace()
        while try Retention.vacuum(connection, eagerly: true) {
            let left = try connection.integer("PRAGMA freelist_count") ?? 0
            progress((free - left) * size, free * size)
            pace.rest()
        }
        checkpoint()
        return max(0, before - (try connection.integer("PRAGMA page_count") ?? before)) * size
    }

    /// Writes the whole file anew, without gaps. Needs as much room again, and keeps a running webtun from writing meanwhile.
    ///
    /// - Returns: bytes by which the file is smaller.
    public func rewrite() throws -> Int64 {
        let size = try connection.integer("PRAGMA page_size") ?? 4096
        let before = try connection.integer("PRAGMA page_count") ?? 0
        try connection.execute("VACUUM")
        checkpoint()
        return (before - (try connection.integer("PRAGMA page_count") ?? before)) * size
    }

    /// Moves what is in the `-wal` into the file, as far as readers let it.
    func checkpoint() {
        try? connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    }
}
