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
