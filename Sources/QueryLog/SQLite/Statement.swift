internal import GRDBSQLite

/// A prepared statement, finalized when the value ends. One thread, its connection's.
///
/// Parameters count from 1, columns from 0, as in SQLite. Bound text must stay until `reset` or the next binding, so the
/// binding of text takes the step in its closure.
@safe
struct Statement: ~Copyable {
    private let handle: OpaquePointer
    private let connection: Connection
    private let sql: String

    init(_ connection: Connection, _ sql: String) throws(QueryLogError) {
        self.connection = connection
        self.sql = sql
        var handle: OpaquePointer?
        let flags = UInt32(SQLITE_PREPARE_PERSISTENT)
        let result = unsafe sqlite3_prepare_v3(connection.handle, sql, -1, flags, &handle, nil)
        guard result == SQLITE_OK, let prepared = unsafe handle else {
            throw connection.failure("prepare \(sql)", result)
        }
        unsafe self.handle = prepared
    }

    /// Prepares text that must hold exactly one statement.
    ///
    /// - Throws: SQLite's reason; `QueryLogError.argument` for none or several.
    init(single sql: String, _ connection: Connection) throws(QueryLogError) {
        guard let (first, rest) = try unsafe Statement.prepareFirst(sql, connection) else {
            throw .argument("there is no statement in: \(sql)")
        }
        // A tail of spaces and comments prepares to nothing.
        var isAlone = false
        do throws(QueryLogError) {
            if let (second, _) = try unsafe Statement.prepareFirst(rest, connection) {
                unsafe sqlite3_finalize(second)
            } else {
                isAlone = true
            }
        } catch {
            isAlone = false
        }
        guard isAlone else {
            unsafe sqlite3_finalize(first)
            throw .argument("more than one statement; give one")
        }
        unsafe handle = first
        self.connection = connection
        self.sql = sql
    }

    /// The first statement of the text and what follows it; nil when there is none.
    private static func prepareFirst(
        _ sql: String, _ connection: Connection
    ) throws(QueryLogError) -> (OpaquePointer, String)? {
        var handle: OpaquePointer?
        var rest = ""
        let result = unsafe sql.withCString { text in
            var tail: UnsafePointer<CChar>?
            let result = unsafe sqlite3_prepare_v3(connection.handle, text, -1, 0, &handle, &tail)
            if let tail = unsafe tail { rest = unsafe String(cString: tail) }
            return result
        }
        guard result == SQLITE_OK else { throw connection.failure("sql", result) }
        guard let prepared = unsafe handle else { return nil }
        return unsafe (prepared, rest)
    }

    deinit {
        unsafe sqlite3_finalize(handle)
    }

    func bind(_ parameter: Int32, _ value: Int64) {
        unsafe sqlite3_bind_int64(handle, parameter, value)
    }

    func bind(_ parameter: Int32, _ value: Int64?) {
        if let value { bind(parameter, value) } else { unsafe sqlite3_bind_null(handle, parameter) }
    }

    /// Binds a copy of the text.
    func bind(_ parameter: Int32, _ text: String?) {
        guard var text else {
            unsafe sqlite3_bind_null(handle, parameter)
            return
        }
        text.withUTF8 { bytes in
            // SQLITE_TRANSIENT: SQLite copies before it returns.
            let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            unsafe bytes.withMemoryRebound(to: CChar.self) { characters in
                _ = unsafe sqlite3_bind_text(
                    handle, parameter, characters.baseAddress, Int32(characters.count), transient)
            }
        }
    }

    /// Binds a copy of the bytes.
    func bind(_ parameter: Int32, bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { buffer in
            let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            if let start = buffer.baseAddress {
                _ = unsafe sqlite3_bind_blob(handle, parameter, start, Int32(buffer.count), transient)
            } else {
                _ = unsafe sqlite3_bind_zeroblob(handle, parameter, 0)
            }
        }
    }

    /// The column's bytes, borrowed until the next step; none for NULL.
    func withBlob<Result>(_ column: Int32, _ body: (RawSpan) -> Result) -> Result {
        let start = unsafe sqlite3_column_blob(handle, column)
        let count = unsafe Int(sqlite3_column_bytes(handle, column))
        return unsafe body(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count).bytes)
    }

    /// The column's UTF-8, borrowed until the next step; none for NULL.
    func withText<Result>(_ column: Int32, _ body: (RawSpan) -> Result) -> Result {
        let start = unsafe sqlite3_column_text(handle, column)
        let count = unsafe Int(sqlite3_column_bytes(handle, column))
        return unsafe body(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count).bytes)
    }

    /// Goes on to the next row. Returns false behind the last.
    func step() throws(QueryLogError) -> Bool {
        let result = unsafe sqlite3_step(handle)
        switch result {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw connection.failure(sql, result)
        }
    }

    /// Makes the statement ready to run again; bindings stay.
    func reset() {
        unsafe sqlite3_reset(handle)
    }

    /// Runs the statement to its end and resets it.
    func run() throws(QueryLogError) {
        defer { reset() }
        while try step() {}
    }

    var columnCount: Int32 { unsafe sqlite3_column_count(handle) }
    /// Whether the statement cannot change the database.
    var isReadOnly: Bool { unsafe sqlite3_stmt_readonly(handle) != 0 }

    func isNull(_ column: Int32) -> Bool {
        unsafe sqlite3_column_type(handle, column) == SQLITE_NULL
    }

    func integer(_ column: Int32) -> Int64 {
        unsafe sqlite3_column_int64(handle, column)
    }

    func optionalInteger(_ column: Int32) -> Int64? {
        isNull(column) ? nil : integer(column)
    }

    /// The column as text; bytes that are not UTF-8 are replaced.
    func text(_ column: Int32) -> String? {
        guard let bytes = unsafe sqlite3_column_text(handle, column) else { return nil }
        let count = unsafe Int(sqlite3_column_bytes(handle, column))
        return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    func value(_ column: Int32) -> LogValue {
        switch unsafe sqlite3_column_type(handle, column) {
        case SQLITE_INTEGER: return .integer(integer(column))
        case SQLITE_FLOAT: return .real(unsafe sqlite3_column_double(handle, column))
        case SQLITE_TEXT: return .text(text(column) ?? "")
        case SQLITE_BLOB:
            let bytes = unsafe sqlite3_column_blob(handle, column)
            let count = unsafe Int(sqlite3_column_bytes(handle, column))
            return .blob(unsafe Array(UnsafeRawBufferPointer(start: bytes, count: count)))
        default: return .null
        }
    }

    func name(_ column: Int32) -> String {
        guard let name = unsafe sqlite3_column_name(handle, column) else { return "" }
        return unsafe String(cString: name)
    }
}
