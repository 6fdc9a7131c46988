import GRDB

/// A place where a text was found.
public struct SearchHit: Sendable, Equatable {
    public var name: String
    public var action: UserRule.Action
    public var match: UserRule.Match
    /// The list's name; nil for a user rule.
    public var list: String?
    /// The line in the list, from 1, or the user rule's id.
    public var line: Int
    /// As written.
    public var rule: String
    /// Whether the list is enabled; true for user rules.
    public var enabled: Bool
    /// Whether it is an address or prefix, not a name.
    public var isAddress = false
}

/// What a search found.
public struct SearchResult: Sendable, Equatable {
    /// Of one list, or of the user's rules.
    public struct Count: Sendable, Equatable {
        /// The list's name; nil: rules of the user.
        public var list: String?
        public var enabled: Bool
        public var found: Int
    }

    /// The first ones: rules, then lists by id and line.
    public var hits: [SearchHit]
    /// Of all that was found; rules first, then lists by id, those alone that have any.
    public var counts: [Count]

    public var total: Int { counts.reduce(0) { $0 + $1.found } }
}

extension BlocklistStore {
    /// Finds names (and patterns of rules) that contain a text, and counts them for each list. One pass over all names.
    ///
    /// - Parameters:
    ///   - text: in any case; a name in Unicode is looked for as A-labels.
    ///   - limit: gives back this many hits at most.
    public func search(_ text: String, limit: Int) throws -> SearchResult {
        var needle = text.lowercased()
        if !needle.utf8.allSatisfy({ $0 < 0x80 }) { needle = try DomainName(needle).text }
        guard !needle.isEmpty else { throw BlocklistError.badArgument("nothing to search for") }
        return try read { db in
            let rules = try BlocklistStore.rules(db).filter { $0.name.lowercased().contains(needle) }
            let hits = rules.prefix(limit).map { rule in
                SearchHit(
                    name: rule.name, action: rule.action, match: rule.match, line: Int(rule.id), rule: rule.name,
                    enabled: true)
            }
            var result = SearchResult(hits: hits, counts: [])
            if !rules.isEmpty { result.counts.append(.init(list: nil, enabled: true, found: rules.count)) }
            let count = try db.cachedStatement(
                sql: "SELECT count(*) FROM entry WHERE id BETWEEN ? AND ? AND instr(name, ?) > 0")
            for list in try Row.fetchAll(db, sql: "SELECT * FROM list WHERE entries > 0 ORDER BY id").map(
                BlockList.init)
            {
                let range = EntryID.range(of: Int64(list.id))
                let found =
                    try Int.fetchOne(count, arguments: [range.lowerBound, range.upperBound, needle]) ?? 0
                guard found > 0 else { continue }
                result.counts.append(.init(list: list.name, enabled: list.enabled, found: found))
                if result.hits.count < limit {
                    result.hits += try BlocklistStore.hits(db, list, needle, limit - result.hits.count)
                }
            }
            return result
        }
    }

    private static func hits(
        _ db: Database, _ list: BlockList, _ needle: String, _ limit: Int
    ) throws -> [SearchHit] {
        let range = EntryID.range(of: Int64(list.id))
        return try Row.fetchAll(
            db,
            sql: """
                SELECT entry.id, entry.kind, entry.name,
                    coalesce((SELECT first.text FROM entry AS first WHERE first.id = entry.id & ~4095),
                        list.prefix || entry.name || list.suffix) AS rule
                FROM entry JOIN list ON list.id = entry.id >> 42
                WHERE entry.id BETWEEN ? AND ? AND instr(entry.name, ?) > 0 ORDER BY entry.id LIMIT ?
                """, arguments: [range.lowerBound, range.upperBound, needle, limit]
        ).map { row in
            let raw: Int64 = row["kind"]
            let kind = EntryKind(rawValue: UInt8(truncatingIfNeeded: raw))
            return SearchHit(
                name: row["name"], action: kind.contains(.allow) ? .allow : .deny,
                match: kind.isPattern ? .regex : kind.contains(.exact) ? .exact : .suffix, list: list.name,
                line: EntryID(raw: row["id"]).line, rule: row["rule"], enabled: list.enabled,
                isAddress: kind.contains(.address))
        }
    }
}
