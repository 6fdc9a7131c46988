import GRDB

/// One command's change of rules and flow rules, as the journal has it.
public struct RuleChange: Sendable, Equatable {
    /// A rule before and after; nil where there is none.
    public struct Item: Sendable, Equatable {
        public enum Kind: String, Sendable { case rule, flow }
        public var kind: Kind
        public var id: Int64
        public var old: RuleColumns?
        public var new: RuleColumns?
    }

    public var number: Int64
    /// Microseconds since 1970, UTC.
    public var time: Int64
    public var items: [Item]
}

/// The columns of a rule's row, in their order.
public struct RuleColumns: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case null
        case integer(Int64)
        case text(String)
    }

    public var values: [(name: String, value: Value)]

    public subscript(name: String) -> Value { values.first { $0.name == name }?.value ?? .null }

    public static func == (left: RuleColumns, right: RuleColumns) -> Bool {
        left.values.elementsEqual(right.values) { $0.name == $1.name && $0.value == $1.value }
    }
}

/// What taking back a change did.
public struct RuleUndo: Sendable, Equatable {
    public var change: RuleChange
    /// Those that were not taken back, with the reason: some other program changed them since.
    public var left: [(item: RuleChange.Item, reason: String)]

    public static func == (left: RuleUndo, right: RuleUndo) -> Bool {
        left.change == right.change && left.left.elementsEqual(right.left) { $0 == $1 }
    }
}

extension BlocklistStore {
    /// The most changes, and the most rows of changes, that the journal keeps; the last change stays whole in any case.
    private static let changesKept = 500
    private static let changeRowsKept = 50_000

    /// Writes rules in one transaction and notes what that changed as one change, which `undoRules` can take back.
    func writeRules<T>(_ body: (Database) throws -> T) throws -> T {
        try write { db in try BlocklistStore.journaled(db, body) }
    }

    /// As `writeRules`, within a transaction.
    static func journaled<T>(_ db: Database, _ body: (Database) throws -> T) throws -> T {
        let number = (try Int64.fetchOne(db, sql: "SELECT max(change) FROM rule_change") ?? 0) + 1
        // Triggers of this connection alone, so that they know all columns that the tables have by now.
        var triggers: [String] = []
        for table in ["rule", "flow"] {
            let columns = try db.columns(in: table).map(\.name)
            let (old, new) = (object("OLD", columns), object("NEW", columns))
            let told = columns.filter { $0 != "added" }
            let isOther = "\(object("OLD", told)) IS NOT \(object("NEW", told))"
            for (event, condition, old, new) in [
                ("INSERT", "TRUE", "NULL", new), ("UPDATE", isOther, old, new), ("DELETE", "TRUE", old, "NULL"),
            ] {
                let name = "journal_\(table)_\(event)"
                try db.execute(
                    sql: """
                        CREATE TEMP TRIGGER \(name) AFTER \(event) ON main.\(table) WHEN \(condition) BEGIN
                            INSERT INTO rule_change (change, time, kind, old, new)
                            VALUES (\(number), \(now()), '\(table)', \(old), \(new));
                        END
                        """)
                triggers.append(name)
            }
        }
        let result = try body(db)
        for trigger in triggers { try db.execute(sql: "DROP TRIGGER temp.\(trigger)") }
        try prune(db)
        return result
    }

    private static func object(_ row: String, _ columns: [String]) -> String {
        "json_object(" + columns.map { "'\($0)', \(row).\"\($0)\"" }.joined(separator: ", ") + ")"
    }

    private static func prune(_ db: Database) throws {
        let counts = try Row.fetchAll(
            db, sql: "SELECT change, count(*) AS rows FROM rule_change GROUP BY change ORDER BY change DESC")
        var rows = 0
        for (index, row) in counts.enumerated() {
            rows += row["rows"]
            guard index > 0, index >= changesKept || rows > changeRowsKept else { continue }
            let change: Int64 = row["change"]
            try db.execute(sql: "DELETE FROM rule_change WHERE change <= ?", arguments: [change])
            return
        }
    }

    /// The changes that can be taken back, the last one first.
    public func ruleChanges(limit: Int) throws -> [RuleChange] {
        try read { db in
            let numbers = try Int64.fetchAll(
                db, sql: "SELECT DISTINCT change FROM rule_change ORDER BY change DESC LIMIT ?", arguments: [limit])
            return try numbers.map { try BlocklistStore.ruleChange(db, $0) }
        }
    }

    /// Takes back the last change of rules that was not taken back yet; nil when there is none.
    ///
    /// A rule that some other program changed after the change is left as it is, and told.
    ///
    /// - Parameter dryRun: says what would be done and does nothing.
    public func undoRules(dryRun: Bool = false) throws -> RuleUndo? {
        try write { db in
            guard let number = try Int64.fetchOne(db, sql: "SELECT max(change) FROM rule_change") else { return nil }
            let change = try BlocklistStore.ruleChange(db, number)
            var undo = RuleUndo(change: change, left: [])
            // Names that are free again first, so that what comes back finds its place.
            let order: [(RuleChange.Item) -> Bool] = [
                { $0.old == nil }, { $0.old != nil && $0.new != nil }, { $0.new == nil },
            ]
            try db.inSavepoint {
                for isNext in order {
                    for item in change.items.reversed() where isNext(item) {
                        if let reason = try BlocklistStore.takeBack(db, item) { undo.left.append((item, reason)) }
                    }
                }
                try db.execute(sql: "DELETE FROM rule_change WHERE change = ?", arguments: [number])
                return dryRun ? .rollback : .commit
            }
            return undo
        }
    }

    /// - Returns: why it was not done, or nil.
    private static func takeBack(_ db: Database, _ item: RuleChange.Item) throws -> String? {
        let table = item.kind.rawValue
        let current = try Row.fetchOne(db, sql: "SELECT * FROM \(table) WHERE id = ?", arguments: [item.id])
        if let new = item.new {
            guard let current else { return "it is gone" }
            let same = new.values.allSatisfy { name, value in
                guard name != "added", let now: DatabaseValue = current[name] else { return true }
                return now == value.databaseValue
            }
            guard same else { return "it was changed since" }
        } else if current != nil {
            return "there is another one of its number"
        }
        guard let old = item.old else {
            try db.execute(sql: "DELETE FROM \(table) WHERE id = ?", arguments: [item.id])
            return nil
        }
        // The number of a group that is gone may be another's by now.
        if case .integer(let set) = old["groups"], set >= 0 {
            let there = try groups(db).reduce(into: GroupSet()) { $0.insert(GroupSet($1.id)) }
            guard there.isSuperset(of: GroupSet(stored: set)) else { return "a group that it was in is gone" }
        }
        let known = Set(try db.columns(in: table).map(\.name))
        let values = old.values.filter { known.contains($0.name) }
        let names = values.map { "\"\($0.name)\"" }
        let arguments = StatementArguments(values.map { $0.value.databaseValue })
        do {
            if item.new == nil {
                let places = Array(repeating: "?", count: names.count).joined(separator: ", ")
                try db.execute(
                    sql: "INSERT INTO \(table) (\(names.joined(separator: ", "))) VALUES (\(places))",
                    arguments: arguments)
            } else {
                try db.execute(
                    sql: "UPDATE \(table) SET \(names.map { "\($0) = ?" }.joined(separator: ", ")) WHERE id = ?",
                    arguments: arguments + [item.id])
            }
            return nil
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            return "it does not go with what is there now (\(error.message ?? "constraint"))"
        }
    }

    /// A change, each rule once: as it was before the first and after the last of its rows.
    private static func ruleChange(_ db: Database, _ number: Int64) throws -> RuleChange {
        var change = RuleChange(number: number, time: 0, items: [])
        let rows = try Row.fetchAll(
            db, sql: "SELECT time, kind, old, new FROM rule_change WHERE change = ? ORDER BY id", arguments: [number])
        for row in rows {
            change.time = row["time"]
            let old = try columns(db, row["old"])
            let new = try columns(db, row["new"])
            let kind: String = row["kind"]
            guard let kind = RuleChange.Item.Kind(rawValue: kind), case .integer(let id)? = (new ?? old)?["id"]
            else { continue }
            if let place = change.items.firstIndex(where: { $0.kind == kind && $0.id == id }) {
                change.items[place].new = new
            } else {
                change.items.append(.init(kind: kind, id: id, old: old, new: new))
            }
        }
        change.items.removeAll { $0.old == nil && $0.new == nil }
        return change
    }

    private static func columns(_ db: Database, _ json: String?) throws -> RuleColumns? {
        guard let json else { return nil }
        return RuleColumns(
            values: try Row.fetchAll(db, sql: "SELECT key, value FROM json_each(?)", arguments: [json]).map { row in
                let value: DatabaseValue = row["value"]
                return (row["key"], RuleColumns.Value(value))
            })
    }
}

extension RuleColumns.Value {
    fileprivate init(_ value: DatabaseValue) {
        switch value.storage {
        case .int64(let number): self = .integer(number)
        case .string(let text): self = .text(text)
        default: self = .null
        }
    }

    fileprivate var databaseValue: DatabaseValue {
        switch self {
        case .null: .null
        case .integer(let number): number.databaseValue
        case .text(let text): text.databaseValue
        }
    }
}
