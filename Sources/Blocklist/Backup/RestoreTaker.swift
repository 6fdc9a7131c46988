import GRDB

/// Takes the rows of an export into the database.
protocol RestoreTaker: AnyObject {
    /// The rows of a table follow, with these columns.
    func begin(_ table: ExportTable, _ columns: [String]) throws
    /// - Returns: whether the row is new here.
    func take(_ values: [RowValue]) throws -> Bool
}

/// Puts the rows of each table of the file in the place of those that are there.
final class RestoreReplacing: RestoreTaker {
    private let db: Database
    private var statement: RawStatement?

    init(_ db: Database) {
        self.db = db
    }

    func begin(_ table: ExportTable, _ columns: [String]) throws {
        if table.name == "state" {
            let settings = columns.map { "\"\($0)\" = ?" }.joined(separator: ", ")
            statement = columns.isEmpty ? nil : try RawStatement(db, "UPDATE state SET \(settings)")
            return
        }
        try db.execute(sql: "DELETE FROM \"\(table.name)\"")
        statement = try RawStatement(db, RestoreReplacing.insertion(table, columns))
    }

    func take(_ values: [RowValue]) throws -> Bool {
        guard let statement else { return true }
        for (index, value) in values.enumerated() { statement.bind(index, value) }
        defer { statement.reset() }
        _ = try statement.step()
        return true
    }

    static func insertion(_ table: ExportTable, _ columns: [String]) -> String {
        let places = Array(repeating: "?", count: columns.count).joined(separator: ", ")
        return "INSERT INTO \"\(table.name)\" (\(table.quoted(columns))) VALUES (\(places))"
    }
}

/// Adds the rows that are not there yet, with numbers of their own.
final class RestoreMerging: RestoreTaker {
    private let db: Database
    /// For each table the number that a row of the file has here.
    private var numbers: [String: [Int64: Int64]] = [:]
    /// The rows of a table that are new here, by their number in the file.
    private var added: [String: Set<Int64>] = [:]
    private var table: ExportTable?
    private var rowID: Int?
    private var references: [(column: Int, table: String)] = []
    private var sets: [(column: Int, table: String)] = []
    private var owner: Int?
    private var finders: [(statement: RawStatement, columns: [Int])] = []
    private var insertion: RawStatement?
    private var inserted: [Int] = []
    private var isPassedOver = false

    init(_ db: Database) {
        self.db = db
    }

    func begin(_ table: ExportTable, _ columns: [String]) throws {
        self.table = table
        rowID = table.rowID.flatMap { columns.firstIndex(of: $0) }
        references = table.references.compactMap { column, target in
            columns.firstIndex(of: column).map { ($0, target) }
        }
        sets = (ExportTable.sets[table.name] ?? [:]).compactMap { column, target in
            columns.firstIndex(of: column).map { ($0, target) }
        }
        // The entries of a list have its number within theirs.
        let isEntry = table.name == "entry"
        owner = ExportTable.owned[table.name].flatMap { isEntry ? rowID : columns.firstIndex(of: $0.id) }
        let isFilled = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM \"\(table.name)\")") ?? false
        isPassedOver = ExportTable.whole.contains(table.name) && isFilled
        guard !isPassedOver else { return }
        inserted = columns.indices.filter { isEntry || $0 != rowID }
        let names = inserted.map { columns[$0] }
        insertion = try RawStatement(db, RestoreReplacing.insertion(table, names))
        guard ExportTable.owned[table.name] == nil else {
            finders = []
            return
        }
        let keys = table.keys.isEmpty ? [table.substance] : table.keys
        finders = try keys.compactMap { key in
            let places = key.compactMap { columns.firstIndex(of: $0) }
            guard places.count == key.count, !places.isEmpty else { return nil }
            let condition = key.map { "\"\($0)\" IS ?" }.joined(separator: " AND ")
            let sql = "SELECT \(table.rowID.map { "\"\($0)\"" } ?? "0") FROM \"\(table.name)\" WHERE \(condition)"
            return (try RawStatement(db, sql), places)
        }
    }

    /// A set of numbers of the file, as the numbers are here.
    private func here(_ set: Int64, _ target: String) throws -> Int64 {
        var result: Int64 = 0
        for bit in 0..<Int64(63) where set >> bit & 1 != 0 {
            guard let number = numbers[target]?[bit] else {
                throw BlocklistError.database("blocklist.db", "there is no row \(bit) of '\(target)' in the file")
            }
            result |= 1 << number
        }
        return result
    }

    func take(_ values: [RowValue]) throws -> Bool {
        guard let table, let insertion, !isPassedOver else { return false }
        var values = values
        if table.name == "entry", let owner, case .integer(let raw) = values[owner] {
            let id = EntryID(raw: raw)
            guard added["list"]?.contains(Int64(id.list)) ?? false, let list = numbers["list"]?[Int64(id.list)] else {
                return false
            }
            values[owner] = .integer(EntryID(list: list, line: id.line, name: id.name).raw)
        } else if let owner, let target = ExportTable.owned[table.name]?.table {
            guard case .integer(let number) = values[owner], added[target]?.contains(number) ?? false else {
                return false
            }
        }
        for (column, target) in references {
            guard case .integer(let number) = values[column] else { continue }
            guard let here = numbers[target]?[number] else {
                throw BlocklistError.database("blocklist.db", "there is no row \(number) of '\(target)' in the file")
            }
            values[column] = .integer(here)
        }
        for (column, target) in sets {
            guard case .integer(let set) = values[column], set >= 0 else { continue }
            values[column] = .integer(try here(set, target))
        }
        let number: Int64? = if let rowID, case .integer(let number) = values[rowID] { number } else { nil }
        for (statement, columns) in finders {
            for (index, column) in columns.enumerated() { statement.bind(index, values[column]) }
            defer { statement.reset() }
            if try statement.step() {
                if let number { numbers[table.name, default: [:]][number] = statement.integer(0) }
                return false
            }
        }
        for (index, column) in inserted.enumerated() { insertion.bind(index, values[column]) }
        defer { insertion.reset() }
        _ = try insertion.step()
        if let number, table.name != "entry" {
            numbers[table.name, default: [:]][number] = db.lastInsertedRowID
            added[table.name, default: []].insert(number)
        }
        return true
    }
}
