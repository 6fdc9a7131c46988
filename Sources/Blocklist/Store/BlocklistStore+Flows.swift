import GRDB

extension BlocklistStore {
    /// A flow rule to be made.
    public struct FlowRequest: Sendable {
        public var action: UserRule.Action
        public var conditions: FlowConditions
        public var comment: String
        /// The groups it belongs to, by name; empty: `default`, or all of them for a rule for a program or user.
        public var groups: [String]

        public init(
            _ action: UserRule.Action, _ conditions: FlowConditions, comment: String = "", groups: [String] = []
        ) {
            self.groups = groups
            self.action = action
            self.conditions = conditions
            self.comment = comment
        }
    }

    /// All rules on flows, by id.
    public func flowRules() throws -> [FlowRule] {
        try read(BlocklistStore.flowRules)
    }

    static func flowRules(_ db: Database) throws -> [FlowRule] {
        try Row.fetchAll(db, sql: "SELECT * FROM flow ORDER BY id").compactMap { row in
            var conditions = FlowConditions()
            if let remote: String = row["remote"] {
                // A prefix that some other program wrote into the database may be wrong: the rule is left out.
                guard let prefix = try? IPPrefix(remote) else { return nil }
                conditions.remote = prefix
            }
            if let first: Int = row["port"], let last: Int = row["port_end"], first <= last {
                conditions.ports = UInt16(clamping: first)...UInt16(clamping: last)
            }
            let proto: Int? = row["proto"]
            conditions.proto = proto.map { UInt8(clamping: $0) }
            if let name: String = row["name"] {
                guard let name = try? DomainName(name).text else { return nil }
                conditions.name = name
            }
            let match: String? = row["match"]
            conditions.isExact = match == "exact"
            conditions.owner.app = row["app"]
            conditions.owner.user = row["user"]
            conditions.owner.uid = row["uid"]
            let action: String = row["action"]
            return FlowRule(
                id: row["id"], action: UserRule.Action(rawValue: action) ?? .deny, conditions: conditions,
                comment: row["comment"], added: row["added"], groups: GroupSet(stored: row["groups"]))
        }
    }

    /// Makes rules, all or none. A rule that exists with the same conditions and groups is changed.
    ///
    /// - Throws: `BlocklistError.badName`, `.badArgument`.
    public func setFlowRules(_ requests: [FlowRequest]) throws -> [FlowRule] {
        let requests = try requests.map { request in
            var request = request
            if let name = request.conditions.name { request.conditions.name = try DomainName(name).text }
            if let ports = request.conditions.ports, ports.lowerBound == 0 {
                throw BlocklistError.badArgument("ports are 1 to 65535")
            }
            if request.conditions.ports != nil, let proto = request.conditions.proto, !FlowFacts.hasPorts(proto) {
                throw BlocklistError.badArgument("protocol \(proto) has no ports")
            }
            return request
        }
        return try writeRules { db in
            var known: [FlowIdentity: Int32] = [:]
            for rule in try BlocklistStore.flowRules(db) {
                let identity = FlowIdentity(conditions: rule.conditions, groups: rule.groups)
                if known[identity] == nil { known[identity] = rule.id }
            }
            return try requests.map { request in
                let groups = try BlocklistStore.groups(db, request.groups, owner: request.conditions.owner)
                let identity = FlowIdentity(conditions: request.conditions, groups: groups)
                let id = try known[identity] ?? BlocklistStore.insert(db, request, groups)
                known[identity] = id
                let now = BlocklistStore.now()
                try db.execute(
                    sql: "UPDATE flow SET action = ?, comment = ?, added = ? WHERE id = ?",
                    arguments: [request.action.rawValue, request.comment, now, id])
                return FlowRule(
                    id: id, action: request.action, conditions: request.conditions, comment: request.comment,
                    added: now, groups: groups)
            }
        }
    }

    /// What no two rules have alike.
    private struct FlowIdentity: Hashable {
        var conditions: FlowConditions
        var groups: GroupSet
    }

    private static func insert(_ db: Database, _ request: FlowRequest, _ groups: GroupSet) throws -> Int32 {
        let conditions = request.conditions
        try db.execute(
            sql: """
                INSERT INTO flow (action, remote, port, port_end, proto, name, match, app, user, uid, added, groups)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)
                """,
            arguments: [
                request.action.rawValue, conditions.remote?.description, conditions.ports?.lowerBound,
                conditions.ports?.upperBound, conditions.proto, conditions.name,
                conditions.name == nil ? nil : conditions.isExact ? "exact" : "suffix", conditions.owner.app,
                conditions.owner.user, conditions.owner.uid, groups.stored,
            ])
        return Int32(truncatingIfNeeded: db.lastInsertedRowID)
    }

    /// Removes rules by id, all or none.
    ///
    /// - Returns: the rules removed.
    /// - Throws: `BlocklistError.noSuchFlowRule`.
    public func removeFlowRules(_ ids: [String]) throws -> [FlowRule] {
        try writeRules { db in
            let all = try BlocklistStore.flowRules(db)
            var removed: [FlowRule] = []
            for id in ids {
                guard let rule = all.first(where: { Int32(id) == $0.id }) else {
                    throw BlocklistError.noSuchFlowRule(id)
                }
                if !removed.contains(where: { $0.id == rule.id }) { removed.append(rule) }
            }
            for rule in removed { try db.execute(sql: "DELETE FROM flow WHERE id = ?", arguments: [rule.id]) }
            return removed
        }
    }
}
