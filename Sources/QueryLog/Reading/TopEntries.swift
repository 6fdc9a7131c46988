/// One line of a ranking.
public struct TopEntry: Sendable, Equatable {
    public var text: String
    public var queries: Int
    public var blocked: Int
}

/// What can be ranked by the number of queries.
public enum TopKind: String, Sendable, CaseIterable {
    /// Names asked for; names blocked.
    case names, blocked
    /// Programs, as far as known; clients; lists that decided.
    case apps, clients, lists
}

extension QueryLogReader {
    /// The most frequent, most first, equal ones by text.
    ///
    /// - Parameters:
    ///   - since: microseconds since 1970; nil: all rows.
    ///   - limit: how many.
    public func top(_ kind: TopKind, since: Int64? = nil, limit: Int = 10) throws -> [TopEntry] {
        var filter = LogFilter(since: since)
        if kind == .blocked { filter.verdicts = .blocked }
        let (column, texts) =
            switch kind {
            case .names, .blocked: ("l.name", "SELECT id, text FROM names")
            case .apps: ("l.process", "SELECT id, app FROM processes")
            case .clients: ("l.source", "SELECT id, client FROM sources")
            case .lists: ("l.outcome", "SELECT id, list FROM outcomes")
            }
        let counts = try counts(column, filter)
        // Several ids can have the same text.
        var entries: [String: TopEntry] = [:]
        let statement = try connection.prepare(texts)
        while try statement.step() {
            let id = statement.integer(0)
            guard id >= 0, id < counts.count, counts[Int(id)].queries > 0, let text = statement.text(1) else {
                continue
            }
            var entry = entries[text] ?? TopEntry(text: text, queries: 0, blocked: 0)
            entry.queries += counts[Int(id)].queries
            entry.blocked += counts[Int(id)].blocked
            entries[text] = entry
        }
        return Array(entries.values.sorted { ($1.queries, $0.text) < ($0.queries, $1.text) }.prefix(limit))
    }

    private struct Count {
        var queries = 0
        var blocked = 0
    }

    /// Queries by interned id. The ids are small and dense, so they index an array.
    private func counts(_ column: String, _ filter: LogFilter) throws -> [Count] {
        let outcomes = try outcomes()
        var counts: [Count] = []
        try scan("\(column), l.outcome", filter) { row in
            guard !row.isNull(0) else { return }
            let id = Int(row.integer(0))
            if id >= counts.count { counts += Array(repeating: Count(), count: id + 1024 - counts.count) }
            counts[id].queries += 1
            if outcomes[row.integer(1)]?.isBlocked == true { counts[id].blocked += 1 }
        }
        return counts
    }
}
