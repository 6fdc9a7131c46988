internal import GRDBSQLite
internal import Glibc

extension LogDatabase {
    /// Copies a log as it is at one moment into a file of its own, also while webtun writes; neither waits for the other.
    ///
    /// The copy is complete and on the disk when its name appears.
    ///
    /// - Parameter replaces: whether a file that is there already may be replaced.
    /// - Returns: bytes of the copy.
    /// - Throws: `QueryLogError.argument` when the target exists; SQLite's or the kernel's reason. Nothing is left behind then.
    public static func backup(
        _ path: String, to target: String, replaces: Bool = false, _ progress: Progress = { _, _ in }
    ) throws -> Int64 {
        let source = try QueryLogReader(opening: path).connection
        guard replaces || !SetAside.exists(target) else {
            throw QueryLogError.argument("\(target) is there already: --force replaces it")
        }
        let partial = target + ".partial"
        unsafe unlink(partial)
        do {
            try copy(source, to: partial, progress)
            guard unsafe rename(partial, target) == 0 else {
                let reason = unsafe String(cString: strerror(errno))
                throw QueryLogError.sqlite(action: "write \(target)", code: 0, message: reason)
            }
        } catch {
            for suffix in ["", "-journal", "-wal", "-shm"] { unsafe unlink(partial + suffix) }
            throw error
        }
        return LogSize.bytes(target)
    }

    private static func copy(
        _ source: Connection, to path: String, _ progress: Progress
    ) throws(QueryLogError) {
        let copy = try Connection(path, .readWrite)
        // The transaction keeps the moment: without it the copy would begin anew with every commit of webtun.
        try source.execute("BEGIN")
        _ = try source.integer("SELECT count(*) FROM sqlite_schema")
        defer { try? source.execute("COMMIT") }
        guard let backup = unsafe sqlite3_backup_init(copy.handle, "main", source.handle, "main") else {
            throw unsafe copy.failure("copy to \(path)", sqlite3_errcode(copy.handle))
        }
        var result = SQLITE_OK
        while result == SQLITE_OK {
            result = unsafe sqlite3_backup_step(backup, 1024)
            let left = unsafe Int64(sqlite3_backup_remaining(backup))
            let all = unsafe Int64(sqlite3_backup_pagecount(backup))
            progress((all - left) * 4096, all * 4096)
        }
        let end = unsafe sqlite3_backup_finish(backup)
        guard result == SQLITE_DONE, end == SQLITE_OK else {
            throw copy.failure("copy to \(path)", result == SQLITE_DONE ? end : result)
        }
        // One file is easier to carry than three.
        try copy.execute("PRAGMA journal_mode = DELETE")
    }
}
