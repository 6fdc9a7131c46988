import GRDB

extension BlocklistStore {
    /// Lists, rules and flow rules, as they are assigned to a group.
    public struct GroupMembers: Sendable {
        /// By name or id.
        public var lists: [String]
        /// By id.
        public var rules: [Int32]
        public var flows: [Int32]

        public init(lists: [String] = [], rules: [Int32] = [], flows: [Int32] = []) {
            self.lists = lists
            self.rules = rules
            self.flows = flows
        }
    }

    /// How members are assigned.
    public enum GroupChange: Sendable {
        /// To this group too.
        case add
        /// To this group and no other.
        case only
        /// Not to this group any more; they must be in another one.
        case remove
    }

    /// Assigns lists and rules to a group, or takes them out of it, all or none.
    ///
    /// - Throws: `BlocklistError.noSuchGroup`, `.noSuchList`, `.noSuchRule`, `.noSuchFlowRule`, `.badArgument`.
    public func assign(_ members: GroupMembers, to name: String, _ change: GroupChange) throws {
        try writeRules { db in
            let group = try GroupSet(BlocklistStore.group(db, name).id)
            func changed(_ old: GroupSet, _ what: String) throws -> Int64 {
                switch change {
                case .only: return group.stored
                // A rule in every group, also those to come, stays so.
                case .add: return old.union(group).stored
                case .remove:
                    guard old.contains(group) else {
                        throw BlocklistError.badArgument("\(what) is not in the group '\(name)'")
                    }
                    let rest =
                        old == .every ? try BlocklistStore.allGroups(db).subtracting(group) : old.subtracting(group)
                    guard !rest.isEmpty else {
                        throw BlocklistError.badArgument(
                            "\(what) is in no other group; assign it to another one first, or remove it")
                    }
                    return rest.stored
                }
            }
            for word in members.lists {
                let list = try BlocklistStore.list(db, word)
                try db.execute(
                    sql: "UPDATE list SET groups = ? WHERE id = ?",
                    arguments: [changed(list.groups, "list '\(list.name)'"), list.id])
            }
            for id in members.rules {
                guard let rule = try BlocklistStore.rules(db).first(where: { $0.id == id }) else {
                    throw BlocklistError.noSuchRule("\(id)")
                }
                let groups = try changed(rule.groups, "rule \(id)")
                if let other = try BlocklistStore.rules(db).first(where: {
                    $0.id != id && $0.name == rule.name && $0.match == rule.match && $0.owner == rule.owner
                        && $0.groups.stored == groups
                }) {
                    throw BlocklistError.badArgument("rule \(other.id) speaks of the same name in the same groups")
                }
                try db.execute(sql: "UPDATE rule SET groups = ? WHERE id = ?", arguments: [groups, id])
            }
            for id in members.flows {
                guard let rule = try BlocklistStore.flowRules(db).first(where: { $0.id == id }) else {
                    throw BlocklistError.noSuchFlowRule("\(id)")
                }
                try db.execute(
                    sql: "UPDATE flow SET groups = ? WHERE id = ?",
                    arguments: [changed(rule.groups, "flow rule \(id)"), id])
            }
        }
    }

    private static func allGroups(_ db: Database) throws -> GroupSet {
        try groups(db).reduce(into: GroupSet()) { $0.insert(GroupSet($1.id)) }
    }

    /// The groups of a new rule: those named, else `default`; for a rule that says itself whom it is for, all.
    static func groups(_ db: Database, _ names: [String], owner: RuleOwner) throws -> GroupSet {
        names.isEmpty ? owner.isEmpty ? .standard : .every : try groupSet(db, names)
    }
}
