import GRDB

/// One thing that speaks of a name: a rule, an entry of a list or of the bypass protection's data.
public struct ChainLink: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        /// A rule of the user's, by id.
        case rule(Int32)
        /// A list, by id and name.
        case list(Int32, String)
        case bypass
    }

    public enum Match: String, Sendable { case exact, suffix, below, regex }

    public var source: Source
    /// The line in the list or in the resolver data, from 1.
    public var line: Int?
    /// As written.
    public var text: String
    public var action: UserRule.Action
    public var match: Match
    /// The name that is listed; nil for regular expressions.
    public var matched: String?
    public var isImportant = false
    /// What else an entry of a list says.
    public var options: String?
    /// Whose queries a rule speaks of.
    public var owner = RuleOwner()
    public var comment = ""
    /// Why it has no say in this query; nil: it has one.
    public var reason: String?
    /// Whether it decided.
    public var wins = false
    /// The place in the order of precedence: what comes first, wins.
    var order = Order()

    struct Order: Comparable {
        var tier = 0
        /// In a tier, the first that differs decides.
        var ranks: [Int] = []

        static func < (left: Order, right: Order) -> Bool {
            if left.tier != right.tier { return left.tier < right.tier }
            return left.ranks.lexicographicallyPrecedes(right.ranks)
        }
    }
}

extension BlocklistStore {
    /// Everything that speaks of a name, the first to be asked first, and what decided marked. Lists that are off are told
    /// too. Reads all entries once: a second for ten million.
    ///
    /// - Parameters:
    ///   - explanation: of the same question.
    public func chain(
        _ name: DomainName, qtype: UInt16, asker: Asker, _ explanation: Explanation, in policy: PolicySnapshot
    ) throws -> [ChainLink] {
        let suffixes = name.suffixes
        // Of whoever is paused nothing is asked at all.
        let inForce = policy.inForce(asker.profile) ?? []
        var links = try read { db in
            try ChainLink.rules(db, name, suffixes, asker, inForce) + ChainLink.entries(db, name, suffixes, inForce)
                + ChainLink.bypass(db, suffixes)
        }
        links.sort { $0.order < $1.order }
        let verdict = explanation.verdict
        let winner = links.firstIndex { link in
            guard verdict.match != .none, link.reason == nil else { return false }
            switch link.source {
            case .rule(let id): return verdict.list == 0 && verdict.rule == id
            case .bypass:
                return verdict.list == Verdict.bypass && link.line == explanation.line
            case .list(let id, _):
                return verdict.list == id && (link.action == .allow) == (verdict.action == .allow)
                    && (link.matched == nil) == (verdict.match == .regex)
                    && (link.matched == nil || link.matched == explanation.matched)
            }
        }
        if let winner { links[winner].wins = true }
        return links
    }
}

extension DomainName {
    /// The name and those above it, the whole one first.
    var suffixes: [String] {
        let labels = text.split(separator: ".")
        return labels.indices.map { labels[$0...].joined(separator: ".") }
    }
}

extension ChainLink {
    fileprivate static func labels(_ name: String) -> Int { name.utf8.count { $0 == NameBytes.dot } + 1 }

    fileprivate static func rules(
        _ db: Database, _ name: DomainName, _ suffixes: [String], _ asker: Asker, _ inForce: GroupSet
    ) throws -> [ChainLink] {
        try BlocklistStore.rules(db).compactMap { rule in
            let matches =
                switch rule.match {
                case .exact: rule.name == name.text
                case .suffix: rule.name == UserRule.everyName || suffixes.contains(rule.name)
                case .regex: (try? Pattern(rule.name))?.matches(name.text.utf8) ?? false
                }
            guard matches else { return nil }
            let condition = OwnerCondition(rule.owner)
            let isRegex = rule.match == .regex
            var link = ChainLink(
                source: .rule(rule.id), text: rule.name, action: rule.action,
                match: isRegex ? .regex : rule.match == .exact ? .exact : .suffix, matched: isRegex ? nil : rule.name,
                owner: rule.owner, comment: rule.comment)
            if !condition.isEmpty, !condition.holds(asker.owner) { link.reason = "not for who asks" }
            if rule.groups.isDisjoint(with: inForce) { link.reason = "no group of it holds for who asks" }
            let (action, id) = (rule.action == .allow ? 0 : 1, Int(rule.id))
            let length = rule.name == UserRule.everyName ? 0 : labels(rule.name)
            link.order.tier = (condition.isEmpty ? 2 : 0) + (isRegex ? 1 : 0)
            link.order.ranks =
                isRegex
                ? [action, id]
                : condition.isEmpty
                    ? [-length, action, rule.match == .suffix ? 0 : 1, id]
                    : [-condition.rank, -length, rule.match == .exact ? 0 : 1, action, id]
            return link
        }
    }

    fileprivate static func entries(
        _ db: Database, _ name: DomainName, _ suffixes: [String], _ inForce: GroupSet
    ) throws -> [ChainLink] {
        let hasOptions = try db.columns(in: "entry").contains { $0.name == "options" }
        let places = Array(repeating: "?", count: suffixes.count).joined(separator: ", ")
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT id, kind, name, \(hasOptions ? "options" : "NULL") AS options FROM entry
                WHERE kind & 64 OR name IN (\(places)) ORDER BY id
                """, arguments: StatementArguments(suffixes))
        var lists: [Int32: BlockList] = [:]
        for list in try Row.fetchAll(db, sql: "SELECT * FROM list").map(BlockList.init) { lists[list.id] = list }
        return try rows.compactMap { row in
            let raw: Int64 = row["kind"]
            let kind = EntryKind(rawValue: UInt8(truncatingIfNeeded: raw))
            let (id, listed): (EntryID, String) = (EntryID(raw: row["id"]), row["name"])
            guard let list = lists[id.list], !kind.contains(.address) else { return nil }
            let isWhole = listed == name.text
            if kind.isPattern {
                guard let pattern = try? Pattern(listed), pattern.matches(name.text.utf8) else { return nil }
            } else if kind.contains(isWhole ? .below : .exact) {
                return nil
            }
            var link = ChainLink(
                source: .list(list.id, list.name), line: id.line,
                text: try BlocklistStore.rule(db, id.raw) ?? listed,
                action: kind.contains(.allow) ? .allow : .deny,
                match: kind.isPattern
                    ? .regex : kind.contains(.exact) ? .exact : kind.contains(.below) ? .below : .suffix,
                matched: kind.isPattern ? nil : listed, isImportant: kind.contains(.important), options: row["options"])
            if list.groups.isDisjoint(with: inForce) { link.reason = "no group of the list holds for who asks" }
            if !list.enabled { link.reason = "the list is off" }
            link.order.tier = 4 + (kind.contains(.important) ? 0 : 4) + (kind.contains(.allow) ? 0 : 2)
            link.order.ranks = [kind.isPattern ? 0 : -labels(listed), kind.rank, Int(list.id), id.line, id.name]
            return link
        }
    }

    fileprivate static func bypass(_ db: Database, _ suffixes: [String]) throws -> [ChainLink] {
        let isOn = try Bool.fetchOne(db, sql: "SELECT bypass FROM state") ?? false
        return try Row.fetchAll(db, sql: "SELECT * FROM resolver ORDER BY id").compactMap { row in
            let (kind, subject): (String, String) = (row["kind"], row["subject"])
            let (line, operatorName): (Int, String) = (row["line"], row["operator"])
            guard ["names", "nxdomain", "nodata"].contains(kind), suffixes.contains(subject) else { return nil }
            var link = ChainLink(
                source: .bypass, line: line, text: "\(kind) of \(operatorName)", action: .deny, match: .suffix,
                matched: subject, reason: isOn ? nil : "the bypass protection is off")
            link.order.tier = 20
            link.order.ranks = [-labels(subject), line]
            return link
        }
    }
}
