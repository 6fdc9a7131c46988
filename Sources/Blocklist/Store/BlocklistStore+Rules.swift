import GRDB

extension BlocklistStore {
    /// A rule to be made.
    public struct RuleRequest: Sendable {
        public var match: UserRule.Match
        public var action: UserRule.Action
        /// A name as people write it, or a regular expression; `.` for every name, with a program or user.
        public var text: String
        public var comment: String
        /// Whose queries the rule speaks of.
        public var owner: RuleOwner
        /// The groups it belongs to, by name; empty: `default`, or all of them for a rule for a program or user.
        public var groups: [String]

        public init(
            _ action: UserRule.Action, _ match: UserRule.Match, _ text: String, comment: String = "",
            owner: RuleOwner = RuleOwner(), groups: [String] = []
        ) {
            self.groups = groups
            self.owner = owner
            self.match = match
            self.action = action
            self.text = text
            self.comment = comment
        }
    }

    /// All rules, by id.
    public func rules() throws -> [UserRule] {
        try read(BlocklistStore.rules)
    }

    static func rules(_ db: Database) throws -> [UserRule] {
        try Row.fetchAll(db, sql: "SELECT * FROM rule ORDER BY id").map { row in
            let match: String = row["match"]
            let action: String = row["action"]
            let app: String = row["app"]
            let user: String = row["user"]
            var owner = RuleOwner()
            owner.app = app.isEmpty ? nil : app
            owner.user = user.isEmpty ? nil : user
            owner.uid = row["uid"]
            return UserRule(
                id: row["id"], match: UserRule.Match(rawValue: match) ?? .exact,
                action: UserRule.Action(rawValue: action) ?? .deny, name: row["name"], comment: row["comment"],
                added: row["added"], owner: owner, groups: GroupSet(stored: row["groups"]))
        }
    }

    /// Makes rules, all or none. A rule that exists for the same name, match, program, user and groups is changed.
    ///
    /// - Throws: `BlocklistError.badName`, `.badPattern`.
    public func setRules(_ requests: [RuleRequest]) throws -> [UserRule] {
        let names = try requests.map { request in
            if request.text == UserRule.everyName, !request.owner.isEmpty, request.match == .suffix {
                return UserRule.everyName
            }
            guard request.match == .regex else { return try DomainName(request.text).text }
            _ = try Pattern(request.text)
            return request.text
        }
        return try writeRules { db in
            let groups = try requests.map { try BlocklistStore.groups(db, $0.groups, owner: $0.owner) }
            for ((request, name), groups) in zip(zip(requests, names), groups) {
                try db.execute(
                    sql: """
                        INSERT INTO rule (match, action, name, comment, added, app, user, uid, groups)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                        ON CONFLICT (name, match, app, user, groups) DO UPDATE SET
                            action = excluded.action, comment = excluded.comment, added = excluded.added,
                            uid = excluded.uid
                        """,
                    arguments: [
                        request.match.rawValue, request.action.rawValue, name, request.comment, BlocklistStore.now(),
                        request.owner.app ?? "", request.owner.user ?? "", request.owner.uid, groups.stored,
                    ])
            }
            let all = try BlocklistStore.rules(db)
            return zip(zip(requests, names), groups).compactMap { pair, groups in
                let (request, name) = pair
                return all.first {
                    $0.name == name && $0.match == request.match && $0.owner == request.owner && $0.groups == groups
                }
            }
        }
    }

    /// Removes rules, all or none: each word is a rule's id or its name (then all rules of the name go).
    ///
    /// - Returns: the rules removed.
    /// - Throws: `BlocklistError.noSuchRule`.
    public func removeRules(_ words: [String]) throws -> [UserRule] {
        try writeRules { db in
            let all = try BlocklistStore.rules(db)
            var removed: [UserRule] = []
            for word in words {
                let name = (try? DomainName(word))?.text
                let found = all.filter { rule in
                    Int32(word) == rule.id || rule.name == word || rule.match != .regex && rule.name == name
                }
                guard !found.isEmpty else { throw BlocklistError.noSuchRule(word) }
                removed += found.filter { rule in !removed.contains { $0.id == rule.id } }
            }
            for rule in removed { try db.execute(sql: "DELETE FROM rule WHERE id = ?", arguments: [rule.id]) }
            return removed
        }
    }
}
