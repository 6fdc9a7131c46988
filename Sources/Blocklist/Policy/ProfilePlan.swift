import Wire

/// Who has which profile at one moment. A profile is a combination of groups in force; schedules and pauses change
/// profiles, never the index.
struct ProfilePlan: Equatable, Sendable {
    /// What is in force for whoever has it.
    struct Profile: Equatable {
        var groups: GroupSet
        /// Nothing is judged.
        var isPaused = false
    }

    /// A program or a user.
    struct Owned: Equatable {
        var condition: OwnerCondition
        var profile: UInt16
    }

    /// Addresses: the profile, and whether they are paused whoever asks from there.
    struct Addressed: Equatable {
        var profile: UInt16
        var isPaused: Bool
    }

    /// The profile of those who are in no group but `default`.
    static let standard: UInt16 = 0
    /// That of those who are paused.
    static let paused = UInt16.max

    private(set) var profiles: [Profile] = []
    /// In the order in which they are asked.
    private(set) var owners: [Owned] = []
    private(set) var pausedOwners: [OwnerCondition] = []
    private(set) var clients: [IPPrefix: Addressed] = [:]
    /// By group id.
    private(set) var states: [Int: GroupState] = [:]

    /// - Parameter now: microseconds since 1970, UTC.
    /// - Returns: the plan, and until when it holds: another one is to be made then, or when the clock is set back.
    static func make(_ inputs: GroupInputs, _ neighbours: Neighbours, now: Int64) -> (plan: ProfilePlan, until: Int64) {
        var plan = ProfilePlan()
        let pauses = inputs.pauses.filter { !$0.isOver(now) }
        // The zone of the machine, or the tz database, may change: once an hour all is looked at anew.
        var until = pauses.compactMap(\.until).reduce(now + 3_600_000_000, min)
        var force = Force()
        for group in inputs.groups {
            let (state, changes) = ProfilePlan.state(of: group, pauses, now)
            until = min(until, changes)
            plan.states[group.id] = state
            if state == .on { force.on.insert(GroupSet(group.id)) }
            if state == .paused { force.paused.insert(GroupSet(group.id)) }
        }
        plan.profiles = [force.profile(of: .standard)]
        plan.addOwners(inputs, pauses, force)
        plan.addClients(inputs, pauses, neighbours, force)
        return (plan, until)
    }

    /// The groups in force, and those that would be but for a pause.
    private struct Force {
        var on = GroupSet()
        var paused = GroupSet()

        func profile(of groups: GroupSet) -> Profile {
            let rest = groups.intersection(on)
            return Profile(groups: rest, isPaused: rest.isEmpty && !groups.isDisjoint(with: paused))
        }
    }

    /// - Returns: the state, and when it may change: microseconds since 1970.
    private static func state(
        of group: PolicyGroup, _ pauses: [PolicyPause], _ now: Int64
    ) -> (GroupState, changes: Int64) {
        guard group.enabled else { return (.disabled, .max) }
        var holds = group.schedules.isEmpty
        var changes = Int64.max
        let second = now >= 0 ? now / 1_000_000 : (now - 999_999) / 1_000_000
        for schedule in group.schedules {
            let state = schedule.state(at: second)
            holds = holds || state.holds
            if state.changes < .max / 1_000_000 { changes = min(changes, state.changes * 1_000_000) }
        }
        if !holds { return (.off, changes) }
        return (pauses.contains { $0.scope == .group(group.name) } ? .paused : .on, changes)
    }

    /// The number of the profile of somebody who is assigned to groups.
    private mutating func number(_ profile: Profile) -> UInt16 {
        if profile.isPaused { return ProfilePlan.paused }
        if let place = profiles.firstIndex(of: profile) { return UInt16(place) }
        guard profiles.count < Int(UInt16.max) else { return ProfilePlan.standard }
        profiles.append(profile)
        return UInt16(profiles.count - 1)
    }

    private mutating func addOwners(_ inputs: GroupInputs, _ pauses: [PolicyPause], _ force: Force) {
        let assigned = inputs.clients.compactMap { client in
            client.subject.owner.map { (condition: $0, groups: client.groups) }
        }
        // A program's path says more than its name, a program more than a user.
        for (condition, groups) in assigned.sorted(by: { $0.condition.rank > $1.condition.rank }) {
            owners.append(Owned(condition: condition, profile: number(force.profile(of: groups))))
        }
        pausedOwners = pauses.compactMap { pause in
            guard case .subject(let subject) = pause.scope else { return nil }
            return subject.owner
        }
    }

    private mutating func addClients(
        _ inputs: GroupInputs, _ pauses: [PolicyPause], _ neighbours: Neighbours, _ force: Force
    ) {
        var devices: [MACAddress: [IPPrefix]] = [:]
        for (address, mac) in neighbours {
            devices[mac, default: []].append(IPPrefix(address, length: address.byteCount * 8))
        }
        var assigned: [IPPrefix: GroupSet] = [:]
        for client in inputs.clients {
            guard case .mac(let mac) = client.subject else { continue }
            for prefix in devices[mac] ?? [] { assigned[prefix] = client.groups }
        }
        // An address itself says more than the device that has it, which says more than a prefix.
        for client in inputs.clients {
            if case .address(let prefix) = client.subject { assigned[prefix] = client.groups }
        }
        var paused: Set<IPPrefix> = []
        for pause in pauses {
            switch pause.scope {
            case .subject(.address(let prefix)): paused.insert(prefix)
            case .subject(.mac(let mac)): paused.formUnion(devices[mac] ?? [])
            case .all, .group, .subject: break
            }
        }
        // In an order of their own: the same inputs make the same plan, however a set was filled.
        for prefix in Set(assigned.keys).union(paused).sorted(by: ProfilePlan.isBefore) {
            let groups = ProfilePlan.longest(prefix) { assigned[$0] }
            clients[prefix] = Addressed(
                profile: groups.map { number(force.profile(of: $0)) } ?? ProfilePlan.standard,
                isPaused: ProfilePlan.longest(prefix) { paused.contains($0) ? true : nil } ?? false)
        }
    }

    private static func isBefore(_ a: IPPrefix, _ b: IPPrefix) -> Bool {
        let (x, y) = (a.address, b.address)
        return (x.isIPv6 ? 1 : 0, x.high, x.low, a.length) < (y.isIPv6 ? 1 : 0, y.high, y.low, b.length)
    }

    /// The first answer of a prefix and the shorter ones around it.
    private static func longest<Value>(_ prefix: IPPrefix, _ find: (IPPrefix) -> Value?) -> Value? {
        for length in stride(from: prefix.length, through: 0, by: -1) {
            if let value = find(IPPrefix(prefix.address, length: length)) { return value }
        }
        return nil
    }
}
