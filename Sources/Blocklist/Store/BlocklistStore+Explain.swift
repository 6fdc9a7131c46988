import GRDB

/// A verdict in words: what decided about a name, and how that is written.
public struct Explanation: Sendable, Equatable {
    public var name: String
    public var verdict: Verdict
    /// The list's name; nil for a user rule and when nothing matched.
    public var list: String?
    /// The rule as written in the list, or the user rule's name or pattern.
    public var rule: String?
    /// The part of the name that is listed; nil for regular expressions and when nothing matched.
    public var matched: String?
    /// The line in the list, from 1.
    public var line: Int?
    /// The user rule's comment.
    public var comment: String?
}

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

extension BlocklistStore {
    /// Says what a policy decides about a name and why.
    ///
    /// - Parameters:
    ///   - qtype: 0 for a verdict that is for no type in particular.
    ///   - asker: who asks.
    public func explain(
        _ name: DomainName, qtype: UInt16 = 0, asker: Asker = .everybody, in policy: PolicySnapshot
    ) throws -> Explanation {
        let verdict = unsafe policy.verdict(for: name.wire.span.bytes, qtype: qtype, asker: asker)
        var explanation = Explanation(name: name.text, verdict: verdict)
        guard verdict.match != .none else { return explanation }
        if verdict.match != .regex {
            explanation.matched = name.text.split(separator: ".").suffix(Int(verdict.labels)).joined(separator: ".")
        }
        if verdict.list == 0 {
            let rule = try rules().first { $0.id == verdict.rule }
            explanation.rule = rule?.name
            explanation.comment = rule?.comment
        } else if verdict.list == Verdict.bypass {
            explanation.list = policy.listName(verdict.list)
            explanation.line = Int(verdict.rule)
            explanation.rule = try resolver(line: verdict.rule).map { "\($0.kind.rawValue) of \($0.operatorName)" }
        } else {
            explanation.list = policy.listName(verdict.list)
            let found = try line(
                of: name.text, labels: verdict.labels, list: verdict.list, class: verdict.rule, in: policy)
            explanation.line = found?.line
            explanation.rule = found?.rule
        }
        return explanation
    }

    /// A line of a list as written, without its comment; nil when it holds no entry.
    public func rule(list: Int32, line: Int) throws -> String? {
        // The first name of a line has the line's text unless prefix and name make it up.
        try read { db in
            try String.fetchOne(
                db,
                sql: """
                    SELECT coalesce(entry.text, list.prefix || entry.name || list.suffix) FROM entry JOIN list ON list.id = ?
                    WHERE entry.id = ?
                    """,
                arguments: [list, EntryID(list: Int64(list), line: line, name: 0).raw])
        }
    }

    /// Finds names (and patterns of rules) that contain a text, in the order rules, then lists by id and line.
    ///
    /// - Parameters:
    ///   - text: in any case; a name in Unicode is looked for as A-labels.
    ///   - limit: gives back this many at most.
    /// - Returns: what was found and how much there is of it in all.
    public func search(_ text: String, limit: Int) throws -> (hits: [SearchHit], total: Int) {
        var needle = text.lowercased()
        if !needle.utf8.allSatisfy({ $0 < 0x80 }) { needle = try DomainName(needle).text }
        guard !needle.isEmpty else { throw BlocklistError.badArgument("nothing to search for") }
        return try read { db in
            let rules = try BlocklistStore.rules(db).filter { $0.name.lowercased().contains(needle) }
            var hits = rules.prefix(limit).map { rule in
                SearchHit(
                    name: rule.name, action: rule.action, match: rule.match, line: Int(rule.id), rule: rule.name,
                    enabled: true)
            }
            let found = try Row.fetchAll(
                db,
                sql: """
                    SELECT entry.id, entry.kind, entry.name, list.name AS list, list.enabled,
                        coalesce((SELECT first.text FROM entry AS first WHERE first.id = entry.id & ~4095),
                            list.prefix || entry.name || list.suffix) AS rule
                    FROM entry JOIN list ON list.id = entry.id >> 42
                    WHERE instr(entry.name, ?) > 0 ORDER BY entry.id LIMIT ?
                    """, arguments: [needle, max(0, limit - hits.count)])
            hits += found.map { row in
                let kind = EntryKind(rawValue: row["kind"])
                return SearchHit(
                    name: row["name"], action: kind.contains(.allow) ? .allow : .deny,
                    match: kind.contains(.exact) ? .exact : .suffix, list: row["list"],
                    line: EntryID(raw: row["id"]).line, rule: row["rule"], enabled: row["enabled"],
                    isAddress: kind.contains(.address))
            }
            var total = hits.count
            if total == limit {
                total =
                    try rules.count
                    + (Int.fetchOne(
                        db, sql: "SELECT count(*) FROM entry WHERE instr(name, ?) > 0", arguments: [needle]) ?? 0)
            }
            return (hits, total)
        }
    }

    /// The first entries of a list, by line.
    public func entries(of list: Int32, limit: Int) throws -> [(line: Int, name: String)] {
        let range = EntryID.range(of: Int64(list))
        return try read { db in
            try Row.fetchAll(
                db, sql: "SELECT id, name FROM entry WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
                arguments: [range.lowerBound, range.upperBound, limit]
            ).map { (EntryID(raw: $0["id"]).line, $0["name"]) }
        }
    }
}
