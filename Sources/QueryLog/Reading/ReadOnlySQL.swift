internal import GRDBSQLite

/// A value of a result of `ReadOnlySQL`.
public enum LogValue: Sendable, Equatable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])
}

/// Runs one statement of the user on the log, and cannot change anything: the file is open read-only, and an authorizer
/// refuses everything but reading. One thread.
public final class ReadOnlySQL {
    private let connection: Connection

    /// - Throws: `QueryLogError`: `missing`, or SQLite's reason.
    public init(path: String) throws {
        connection = try QueryLogReader.connect(path)
        unsafe sqlite3_set_authorizer(
            connection.handle,
            { _, action, first, second, _, _ in
                unsafe ReadOnlySQL.authorize(action, first, second)
            }, nil)
    }

    /// Runs `sql` and gives its rows one by one.
    ///
    /// - Parameters:
    ///   - columns: called once, with the names of the result's columns, before the first row.
    /// - Throws: `QueryLogError.sqlite` with SQLite's message; `QueryLogError.argument` for more or less than one
    ///   statement; what the closures throw.
    public func run(
        _ sql: String, columns: ([String]) throws -> Void, row: ([LogValue]) throws -> Void
    ) throws {
        let statement = try Statement(single: sql, connection)
        try columns((0..<statement.columnCount).map { statement.name($0) })
        while try statement.step() {
            try row((0..<statement.columnCount).map { statement.value($0) })
        }
    }

    /// Pragmas that tell about the database, and whether they may have an argument.
    private static let pragmas: [String: Bool] = [
        "table_info": true, "table_xinfo": true, "index_list": true, "index_info": true, "index_xinfo": true,
        "table_list": true, "database_list": false, "function_list": false, "compile_options": false,
        "user_version": false, "application_id": false, "page_count": false, "page_size": false,
        "freelist_count": false, "auto_vacuum": false, "journal_mode": false, "encoding": false,
        "data_version": false, "schema_version": false, "query_only": false, "synchronous": false,
    ]

    private static func authorize(
        _ action: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?
    ) -> Int32 {
        let argument = { (text: UnsafePointer<CChar>?) -> String? in unsafe text.map { unsafe String(cString: $0) } }
        switch action {
        case SQLITE_SELECT, SQLITE_READ, SQLITE_RECURSIVE:
            return SQLITE_OK
        case SQLITE_FUNCTION:
            return unsafe argument(second)?.lowercased() == "load_extension" ? SQLITE_DENY : SQLITE_OK
        case SQLITE_PRAGMA:
            guard let name = unsafe argument(first)?.lowercased(), let takesArgument = pragmas[name] else {
                return SQLITE_DENY
            }
            return unsafe second == nil || takesArgument ? SQLITE_OK : SQLITE_DENY
        default:
            return SQLITE_DENY
        }
    }
}
