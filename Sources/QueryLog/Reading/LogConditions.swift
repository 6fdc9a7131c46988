/// Conditions on rows of the log that must all hold: SQL, and the values of its parameters.
struct LogConditions {
    private var parts: [String] = []
    private var values: [LogValue] = []
    private let reserved: Int

    /// - Parameter reserved: parameters before those of the conditions, for whoever runs the statement.
    init(reserved: Int = 0) {
        self.reserved = reserved
    }

    /// A condition without values, or with numbers that stand in it.
    mutating func add(_ sql: String) {
        parts.append(sql)
    }

    /// - Parameter sql: every `?` of it stands for the value.
    mutating func add(_ sql: String, _ value: LogValue) {
        values.append(value)
        parts.append(sql.replacing("?", with: "?\(reserved + values.count)"))
    }

    /// The column has one of the ids that a query finds.
    mutating func add(_ column: String, among ids: IDQuery) {
        add("\(column) IN (\(ids.sql))", .text(ids.text))
    }

    var sql: String { parts.isEmpty ? "TRUE" : parts.joined(separator: " AND ") }

    func bind(_ statement: borrowing Statement) {
        for (index, value) in values.enumerated() {
            let parameter = Int32(reserved + index + 1)
            switch value {
            case .integer(let number): statement.bind(parameter, number)
            case .text(let text): statement.bind(parameter, text)
            case .null, .real, .blob: preconditionFailure("conditions have integers and texts")
            }
        }
    }
}

/// A query for the ids of what the log keeps once; `?` stands for its text. Patterns are SQLite's GLOB, for all of a text.
struct IDQuery {
    let sql: String
    let text: String

    /// - Parameter pattern: in any case.
    static func names(_ pattern: String) -> IDQuery {
        let name = pattern.lowercased()
        // A name without a pattern is compared, which is quicker.
        let isPlain = !name.contains { "*?[".contains($0) }
        return IDQuery(sql: "SELECT id FROM names WHERE text \(isPlain ? "=" : "GLOB") ?", text: name)
    }

    /// - Parameter pattern: for the path or, without a `/`, for its last part.
    static func programs(_ pattern: String) -> IDQuery {
        let isPath = pattern.contains("/")
        return IDQuery(
            sql: "SELECT id FROM processes WHERE app GLOB ?\(isPath ? "" : " OR app GLOB '*/' || ?")", text: pattern)
    }

    static func clients(_ pattern: String) -> IDQuery {
        IDQuery(sql: "SELECT id FROM sources WHERE client GLOB ?", text: pattern)
    }

    static func protocols(_ name: String) -> IDQuery {
        IDQuery(sql: "SELECT id FROM sources WHERE transport = ?", text: name)
    }

    static func remotes(_ pattern: String) -> IDQuery {
        IDQuery(sql: "SELECT id FROM answers WHERE text GLOB ?", text: pattern)
    }

    /// - Parameter column: `verdict` or `list`.
    static func flowOutcomes(_ column: String, _ text: String) -> IDQuery {
        IDQuery(sql: "SELECT id FROM flow_outcomes WHERE \(column) = ?", text: text)
    }

    func ids(_ connection: Connection) throws(QueryLogError) -> IDSet {
        var ids = IDSet()
        let find = try connection.prepare(sql.replacing("?", with: "?1"))
        find.bind(1, text)
        while try find.step() { ids.insert(find.integer(0)) }
        return ids
    }
}
