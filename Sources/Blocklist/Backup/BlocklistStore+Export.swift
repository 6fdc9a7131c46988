import GRDB
import GRDBSQLite
import Glibc
import Kernel

/// The export file: a gzip file of lines of JSON. The first line says what it is, then each table has a line of its name,
/// columns and number of rows, followed by a line for each row; the last line has the number of all rows and the SHA-256 of
/// all lines before it.
enum ExportFormat {
    static let version = 1
    static let mark = "{\"webtun-export\":"
}

/// What an export holds.
public struct ExportReport: Sendable, Equatable {
    public var path: String
    /// Of each table that has any.
    public var rows: [(table: String, count: Int)] = []
    /// Of the file.
    public var bytes: Int64 = 0
    /// In hexadecimal digits, over all lines but the last.
    public var sha256 = ""

    public static func == (left: ExportReport, right: ExportReport) -> Bool {
        left.path == right.path && left.bytes == right.bytes && left.sha256 == right.sha256
            && left.rows.elementsEqual(right.rows) { $0 == $1 }
    }
}

extension BlocklistStore {
    /// Writes everything that a user made into one file, as it is at one moment. The file is written beside and renamed, so
    /// that a file of that name is replaced whole or not at all. It can be read by its owner alone.
    ///
    /// - Parameter path: `-`: standard output.
    /// - Throws: `BlocklistError.system`, `.database`.
    public func export(to path: String, progress: ProgressHandler = { _ in }) throws -> ExportReport {
        guard path != "-" else { return try export(dup(STDOUT_FILENO), "standard output", progress) }
        let new = path + ".new"
        let number = unsafe open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw BlocklistError.system("create \(new)", "\(Errno.current())") }
        // zlib closes the one it is given.
        let file = Descriptor(owning: dup(number))
        do {
            var report = try export(number, path, progress)
            guard fsync(file.number) == 0 else { throw BlocklistError.system("write \(new)", "\(Errno.current())") }
            guard unsafe rename(new, path) == 0 else {
                throw BlocklistError.system("rename \(new) to \(path)", "\(Errno.current())")
            }
            var facts = stat()
            if unsafe fstat(file.number, &facts) == 0 { report.bytes = Int64(facts.st_size) }
            return report
        } catch {
            unsafe unlink(new)
            throw error
        }
    }

    private func export(_ number: CInt, _ path: String, _ progress: ProgressHandler) throws -> ExportReport {
        let writer = try PackedWriter(number, path: path)
        return try read { db in
            let tables = try ExportTable.all(db)
            var report = ExportReport(path: path)
            let counts = try tables.map { try Int.fetchOne(db, sql: "SELECT count(*) FROM \"\($0.name)\"") ?? 0 }
            let total = counts.reduce(0, +)
            let steps = try String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations ORDER BY rowid")
            try writer.write(
                Array("\(ExportFormat.mark)\(ExportFormat.version),\"schema\":\(BlocklistStore.array(steps)),".utf8)
                    + "\"rows\":\(total)}".utf8)
            var done = 0
            for (table, count) in zip(tables, counts) {
                try writer.write(
                    Array("{\"table\":\(BlocklistStore.string(table.name)),\"rows\":\(count),".utf8)
                        + "\"columns\":\(BlocklistStore.array(table.columns))}".utf8)
                try BlocklistStore.copy(db, table, to: writer) {
                    done += 1
                    if done & 0x3FFF == 0 {
                        progress(WorkProgress(phase: .copying, done: Int64(done), total: Int64(total)))
                    }
                }
                if count > 0 { report.rows.append((table.name, count)) }
            }
            report.sha256 = try writer.digestText()
            try writer.write(Array("{\"end\":true,\"rows\":\(total),\"sha256\":\"\(report.sha256)\"}".utf8))
            try writer.finish()
            return report
        }
    }

    private static func copy(
        _ db: Database, _ table: ExportTable, to writer: PackedWriter, _ counted: () -> Void
    ) throws {
        let order = table.rowID.map { " ORDER BY \"\($0)\"" } ?? ""
        let statement = try RawStatement(db, "SELECT \(table.quoted(table.columns)) FROM \"\(table.name)\"\(order)")
        var line: [UInt8] = []
        while try statement.step() {
            line.removeAll(keepingCapacity: true)
            line.append(UInt8(ascii: "["))
            for column in table.columns.indices {
                if column > 0 { line.append(UInt8(ascii: ",")) }
                statement.append(column, to: &line)
            }
            line.append(UInt8(ascii: "]"))
            try writer.write(line)
            counted()
        }
    }

    static func string(_ text: String) -> String {
        var bytes: [UInt8] = []
        var text = text
        text.withUTF8 { unsafe RowText.append($0, to: &bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func array(_ texts: [String]) -> String { "[" + texts.map(string).joined(separator: ",") + "]" }
}

/// A prepared statement of a connection of GRDB's, for rows by the million. Parameters and columns count from 0.
@safe
final class RawStatement {
    private let database: OpaquePointer
    private let statement: OpaquePointer

    init(_ db: Database, _ sql: String) throws(BlocklistError) {
        guard let connection = unsafe db.sqliteConnection else { throw .database("blocklist.db", "connection closed") }
        var prepared: OpaquePointer?
        guard unsafe sqlite3_prepare_v2(connection, sql, -1, &prepared, nil) == SQLITE_OK,
            let prepared = unsafe prepared
        else { throw unsafe .database("blocklist.db", String(cString: sqlite3_errmsg(connection))) }
        unsafe database = connection
        unsafe statement = unsafe prepared
    }

    deinit {
        unsafe sqlite3_finalize(statement)
    }

    /// Goes on to the next row; false behind the last.
    func step() throws(BlocklistError) -> Bool {
        switch unsafe sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw unsafe .database("blocklist.db", String(cString: sqlite3_errmsg(database)))
        }
    }

    func reset() {
        unsafe sqlite3_reset(statement)
    }

    func bind(_ parameter: Int, _ value: RowValue) {
        let place = CInt(parameter + 1)
        // SQLITE_TRANSIENT: SQLite copies before it returns.
        let copied = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        switch value {
        case .null: unsafe sqlite3_bind_null(statement, place)
        case .integer(let number): unsafe sqlite3_bind_int64(statement, place, number)
        case .real(let number): unsafe sqlite3_bind_double(statement, place, number)
        case .text(let bytes):
            unsafe bytes.withUnsafeBytes { bytes in
                let text = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
                if let text = unsafe text {
                    _ = unsafe sqlite3_bind_text(statement, place, text, CInt(bytes.count), copied)
                } else {
                    _ = unsafe sqlite3_bind_text(statement, place, "", 0, copied)
                }
            }
        case .blob(let bytes):
            unsafe bytes.withUnsafeBytes { bytes in
                if let start = bytes.baseAddress {
                    _ = unsafe sqlite3_bind_blob(statement, place, start, CInt(bytes.count), copied)
                } else {
                    _ = unsafe sqlite3_bind_zeroblob(statement, place, 0)
                }
            }
        }
    }

    func integer(_ column: Int) -> Int64 { unsafe sqlite3_column_int64(statement, CInt(column)) }

    /// Appends a column as `RowText` writes it.
    func append(_ column: Int, to line: inout [UInt8]) {
        let column = CInt(column)
        switch unsafe sqlite3_column_type(statement, column) {
        case SQLITE_INTEGER: RowText.append(unsafe sqlite3_column_int64(statement, column), to: &line)
        case SQLITE_FLOAT: RowText.append(unsafe sqlite3_column_double(statement, column), to: &line)
        case SQLITE_TEXT:
            let text = unsafe sqlite3_column_text(statement, column)
            let count = unsafe Int(sqlite3_column_bytes(statement, column))
            unsafe RowText.append(UnsafeBufferPointer(start: text, count: count), to: &line)
        case SQLITE_BLOB:
            let bytes = unsafe sqlite3_column_blob(statement, column)?.assumingMemoryBound(to: UInt8.self)
            let count = unsafe Int(sqlite3_column_bytes(statement, column))
            unsafe RowText.append(blob: UnsafeBufferPointer(start: bytes, count: count), to: &line)
        default: line += "null".utf8
        }
    }
}
