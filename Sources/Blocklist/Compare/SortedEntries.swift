import GRDB
import GRDBSQLite

/// The names of a list, sorted, each kind of a name once. SQLite sorts, in 16 MB of memory and beyond that in a temporary
/// file, so that lists of any size can be compared.
@safe
struct SortedEntries: ~Copyable {
    private let database: OpaquePointer
    private let statement: OpaquePointer
    /// The entry that `next` came to.
    private(set) var name: [UInt8] = []
    private(set) var kind = EntryKind()
    /// What else the entry says, in the list's words.
    private(set) var options: [UInt8] = []
    private(set) var isAtEnd = false

    /// Calls `ticked` with each row that goes into the sorting of lists from now on.
    static func prepare(_ db: Database, ticked: @escaping @Sendable () -> Void) {
        db.add(
            function: DatabaseFunction("webtun_tick", argumentCount: 0) { _ in
                ticked()
                return true
            })
    }

    /// After `prepare`.
    init(_ db: Database, list: Int32) throws {
        let options = try db.columns(in: "entry").contains { $0.name == "options" } ? "coalesce(options, '')" : "''"
        let sql = """
            SELECT name, kind & 255, \(options) FROM entry WHERE id BETWEEN ? AND ? AND webtun_tick() ORDER BY 1, 2, 3
            """
        guard let connection = unsafe db.sqliteConnection else {
            throw BlocklistError.database("blocklist.db", "connection closed")
        }
        var prepared: OpaquePointer?
        guard unsafe sqlite3_prepare_v2(connection, sql, -1, &prepared, nil) == SQLITE_OK,
            let prepared = unsafe prepared
        else { throw unsafe BlocklistError.database("blocklist.db", String(cString: sqlite3_errmsg(connection))) }
        let range = EntryID.range(of: Int64(list))
        unsafe sqlite3_bind_int64(prepared, 1, range.lowerBound)
        unsafe sqlite3_bind_int64(prepared, 2, range.upperBound)
        unsafe database = connection
        unsafe statement = unsafe prepared
    }

    deinit {
        unsafe sqlite3_finalize(statement)
    }

    /// Goes on to the next entry that differs from this one.
    mutating func next() throws(BlocklistError) {
        while true {
            switch unsafe sqlite3_step(statement) {
            case SQLITE_ROW: break
            case SQLITE_DONE:
                isAtEnd = true
                return
            default: throw unsafe .database("blocklist.db", String(cString: sqlite3_errmsg(database)))
            }
            let kind = EntryKind(rawValue: UInt8(truncatingIfNeeded: unsafe sqlite3_column_int(statement, 1)))
            let isOther = unsafe SortedEntries.take(statement, 0, &name)
            let saysOther = unsafe SortedEntries.take(statement, 2, &options)
            if isOther || saysOther || kind != self.kind {
                self.kind = kind
                return
            }
        }
    }

    /// Copies a column's text. Returns whether it differs from what was there.
    private static func take(_ statement: OpaquePointer, _ column: Int32, _ text: inout [UInt8]) -> Bool {
        let count = unsafe Int(sqlite3_column_bytes(statement, column))
        let bytes = unsafe UnsafeBufferPointer(start: sqlite3_column_text(statement, column), count: count)
        if unsafe text.elementsEqual(bytes) { return false }
        text.removeAll(keepingCapacity: true)
        unsafe text.append(contentsOf: bytes)
        return true
    }

    /// Below 0 when this entry comes before the other one, 0 when they are the same.
    func order(_ other: borrowing SortedEntries) -> Int {
        if isAtEnd || other.isAtEnd { return isAtEnd ? (other.isAtEnd ? 0 : 1) : -1 }
        for (left, right) in [(name, other.name), ([kind.rawValue], [other.kind.rawValue]), (options, other.options)] {
            if left == right { continue }
            return left.lexicographicallyPrecedes(right) ? -1 : 1
        }
        return 0
    }
}
