internal import GRDBSQLite

/// An open SQLite database, closed when the value ends. One thread.
@safe
final class Connection {
    let path: String
    let handle: OpaquePointer

    enum Mode {
        case readOnly
        /// Read-only, and the file promised not to change: needs no `-shm` file, so it works without write permission.
        case immutable
        case readWrite
    }

    /// - Throws: `QueryLogError.sqlite` with SQLite's message.
    init(_ path: String, _ mode: Mode) throws(QueryLogError) {
        self.path = path
        var handle: OpaquePointer?
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        var name = path
        switch mode {
        case .readOnly: flags |= SQLITE_OPEN_READONLY
        case .immutable:
            flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
            name = "file:" + Connection.uriPath(path) + "?immutable=1"
        case .readWrite: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        }
        let result = unsafe sqlite3_open_v2(name, &handle, flags, nil)
        guard result == SQLITE_OK, let opened = unsafe handle else {
            let error = unsafe Connection.error("open \(path)", result, handle)
            unsafe sqlite3_close_v2(handle)
            throw error
        }
        unsafe self.handle = opened
    }

    deinit {
        unsafe sqlite3_close_v2(handle)
    }

    /// Runs statements that give no rows, separated by semicolons.
    func execute(_ sql: String) throws(QueryLogError) {
        let result = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        guard result == SQLITE_OK else { throw failure(sql, result) }
    }

    func prepare(_ sql: String) throws(QueryLogError) -> Statement {
        try Statement(self, sql)
    }

    /// The first column of the first row, an integer.
    func integer(_ sql: String) throws(QueryLogError) -> Int64? {
        let statement = try prepare(sql)
        return try statement.step() && !statement.isNull(0) ? statement.integer(0) : nil
    }

    /// Runs `body` in a transaction that is undone when it throws.
    func transaction(_ body: () throws(QueryLogError) -> Void) throws(QueryLogError) {
        try execute("BEGIN IMMEDIATE")
        do {
            try body()
            try execute("COMMIT")
        } catch {
            try? execute("ROLLBACK")
            throw error
        }
    }

    /// Rows the last statement inserted, changed or deleted.
    var changes: Int { unsafe Int(sqlite3_changes64(handle)) }
    var lastInsertedID: Int64 { unsafe sqlite3_last_insert_rowid(handle) }
    /// Whether a transaction is open.
    var isInTransaction: Bool { unsafe sqlite3_get_autocommit(handle) == 0 }

    /// Whether the file is no longer at its path: renamed, deleted or replaced by another.
    var hasMoved: Bool {
        var moved: Int32 = 0
        let result = unsafe sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved)
        return result == SQLITE_OK && moved != 0
    }

    func failure(_ action: String, _ code: Int32) -> QueryLogError {
        unsafe Connection.error(action, code, handle)
    }

    private static func error(_ action: String, _ code: Int32, _ handle: OpaquePointer?) -> QueryLogError {
        let text =
            if let handle = unsafe handle, unsafe sqlite3_errcode(handle) != SQLITE_OK {
                unsafe sqlite3_errmsg(handle)
            } else {
                unsafe sqlite3_errstr(code)
            }
        return .sqlite(action: action, code: code, message: unsafe text.map { unsafe String(cString: $0) } ?? "")
    }

    /// The path as the path of a URI: what has a meaning there is percent-encoded.
    private static func uriPath(_ path: String) -> String {
        path.replacing("%", with: "%25").replacing("?", with: "%3f").replacing("#", with: "%23")
    }
}
