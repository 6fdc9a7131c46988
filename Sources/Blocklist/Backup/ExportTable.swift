import GRDB

/// A table of `blocklist.db` that is exported. All are, with all their columns, unless `left` or `columnsLeft` names them:
/// a new table needs no line here. What it refers to is read from its foreign keys, what makes two rows the same from its
/// unique indexes.
struct ExportTable {
    /// Tables that describe this database and not what the user wants.
    static let left: Set<String> = ["grdb_migrations", "rule_change", "pause"]

    /// Columns that belong to the database at hand.
    static let columnsLeft: [String: Set<String>] = ["state": ["id", "identity", "generation", "rules"]]

    /// Rows that come and go with a row of another table: the table and that row's id, in SQL.
    static let owned: [String: (table: String, id: String)] = [
        "entry": ("list", "id >> 42"), "refusal": ("list", "list"),
    ]

    /// Columns that refer to a table without saying so.
    static let references: [String: [String: String]] = [:]

    /// Columns that are sets of another table's numbers, a bit for each, and that table. A negative set is every one.
    static let sets: [String: [String: String]] = [
        "list": ["groups": "policy_group"], "rule": ["groups": "policy_group"], "flow": ["groups": "policy_group"],
        "client": ["groups": "policy_group"],
    ]

    /// Tables of one set of data: an import that adds leaves them alone when there are rows already.
    static let whole: Set<String> = ["resolver", "safesearch", "safesearch_file", "state"]

    /// Which rows of a table are the user's own, in SQL, when some are there from the start.
    static let own: [String: String] = ["policy_group": "id <> 0"]

    var name: String
    var columns: [String]
    /// The column that is the row's number; nil: none.
    var rowID: String?
    /// Columns and the tables they refer to.
    var references: [String: String]
    /// Sets of columns that no two rows have the same values of.
    var keys: [[String]]

    /// All tables, those that are referred to before those that refer to them.
    static func all(_ db: Database) throws -> [ExportTable] {
        let names = try String.fetchAll(
            db,
            sql:
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
        )
        var waiting = try names.filter { !left.contains($0) }.map { try ExportTable(db, $0) }
        var ordered: [ExportTable] = []
        while !waiting.isEmpty {
            let isReady = { (table: ExportTable) in
                var needed = Set(table.references.values).union(sets[table.name]?.values.map(\.self) ?? [])
                if let owner = owned[table.name] { needed.insert(owner.table) }
                return needed.allSatisfy { name in name == table.name || !waiting.contains { $0.name == name } }
            }
            // Tables that refer to each other in a circle come in any order.
            let next = waiting.firstIndex(where: isReady) ?? 0
            ordered.append(waiting.remove(at: next))
        }
        return ordered
    }

    private init(_ db: Database, _ name: String) throws {
        self.name = name
        let hidden = ExportTable.columnsLeft[name] ?? []
        let info = try db.columns(in: name)
        columns = info.map(\.name).filter { !hidden.contains($0) }
        let numbers = info.filter { $0.primaryKeyIndex > 0 }
        rowID =
            numbers.count == 1 && numbers[0].type.uppercased() == "INTEGER" && !hidden.contains(numbers[0].name)
            ? numbers[0].name : nil
        var references: [String: String] = [:]
        for key in try db.foreignKeys(on: name) where key.mapping.count == 1 {
            references[key.originColumns[0]] = key.destinationTable
        }
        self.references = references.merging(ExportTable.references[name] ?? [:]) { $1 }
        keys = try db.indexes(on: name).filter(\.isUnique).map(\.columns)
        if rowID == nil, !numbers.isEmpty, keys.isEmpty { keys = [numbers.map(\.name)] }
    }

    /// The columns that make a row what it is, when no index says so.
    var substance: [String] { columns.filter { $0 != rowID && !["added", "comment", "updated"].contains($0) } }

    func quoted(_ columns: [String]) -> String { columns.map { "\"\($0)\"" }.joined(separator: ", ") }
}
