extension PolicySnapshot {
    /// The groups, by id.
    public var groups: [PolicyGroup] { members.inputs.groups }

    /// Whether a group is in force, and if not, why.
    public func state(of group: PolicyGroup) -> GroupState { members.plan.states[group.id] ?? .on }

    /// The names of the groups in force for a profile.
    public func groups(of profile: UInt16) -> [String] {
        PolicyOverview.names(members.view[profile].groups, groups)
    }

    /// The pauses that are not over.
    ///
    /// - Parameter now: microseconds since 1970, UTC.
    public func pauses(at now: Int64) -> [PolicyPause] { members.inputs.pauses.filter { !$0.isOver(now) } }

    /// Whether devices are assigned to groups or paused by their MAC address.
    public var needsNeighbours: Bool {
        members.inputs.clients.contains { $0.subject.kind == "mac" }
            || members.inputs.pauses.contains { $0.scope.kind == "mac" }
    }
}
