import GRDB

/// The groups of a machine at one moment, and what belongs to them.
public struct PolicyOverview: Sendable {
    public var groups: [PolicyGroup]
    /// By group id.
    public var states: [Int: GroupState]
    public var lists: [BlockList]
    public var rules: [UserRule]
    public var flows: [FlowRule]
    public var clients: [PolicyClient]
    /// Those that are not over.
    public var pauses: [PolicyPause]

    /// The names of groups, by id.
    public func names(_ set: GroupSet) -> [String] {
        PolicyOverview.names(set, groups)
    }

    public static func names(_ set: GroupSet, _ groups: [PolicyGroup]) -> [String] {
        groups.filter { set.contains(GroupSet($0.id)) }.map(\.name)
    }

    /// What of some things belongs to a group.
    public func members<Thing>(_ group: PolicyGroup, of things: [Thing], _ groups: (Thing) -> GroupSet) -> [Thing] {
        things.filter { groups($0).contains(GroupSet(group.id)) }
    }
}

extension BlocklistStore {
    /// Groups, their members and their states, in one snapshot of the database.
    ///
    /// - Parameter now: microseconds since 1970, UTC; by default the present.
    public func overview(at now: Int64? = nil) throws -> PolicyOverview {
        let now = now ?? BlocklistStore.now()
        return try read { db in
            let inputs = try GroupInputs(db)
            let lists = try Row.fetchAll(db, sql: "SELECT * FROM list ORDER BY id").map(BlockList.init)
            return try PolicyOverview(
                groups: inputs.groups, states: ProfilePlan.make(inputs, [:], now: now).plan.states, lists: lists,
                rules: BlocklistStore.rules(db), flows: BlocklistStore.flowRules(db), clients: inputs.clients,
                pauses: inputs.pauses.filter { !$0.isOver(now) })
        }
    }
}
