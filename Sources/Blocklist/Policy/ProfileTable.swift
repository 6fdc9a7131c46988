import Kernel
import Wire

/// A plan of profiles ready for lookups, in blocks of memory of its own. Immutable; any thread.
@safe
final class ProfileTable: Sendable {
    let plan: ProfilePlan
    let inputs: GroupInputs
    let view: View
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
    private nonisolated(unsafe) let prefixes: UnsafeMutableRawPointer?

    /// No groups but `default`.
    convenience init() {
        self.init(ProfilePlan.make(GroupInputs(), [:], now: 0).plan, GroupInputs())
    }

    init(_ plan: ProfilePlan, _ inputs: GroupInputs) {
        self.plan = plan
        self.inputs = inputs
        let profilesSize = plan.profiles.count * MemoryLayout<ProfilePlan.Profile>.stride
        let owned =
            plan.owners + plan.pausedOwners.map { ProfilePlan.Owned(condition: $0, profile: ProfilePlan.paused) }
        let size = profilesSize + owned.count * MemoryLayout<ProfilePlan.Owned>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        for (index, profile) in plan.profiles.enumerated() {
            unsafe (memory + index * MemoryLayout<ProfilePlan.Profile>.stride).storeBytes(
                of: profile, as: ProfilePlan.Profile.self)
        }
        for (index, owner) in owned.enumerated() {
            unsafe (memory + profilesSize + index * MemoryLayout<ProfilePlan.Owned>.stride).storeBytes(
                of: owner, as: ProfilePlan.Owned.self)
        }
        unsafe self.memory = unsafe memory
        let prefixes = unsafe ProfileTable.prefixes(plan)
        unsafe self.prefixes = unsafe prefixes
        view = unsafe View(
            memory, profiles: plan.profiles.count, owners: plan.owners.count, pausedOwners: plan.pausedOwners.count,
            prefixes: prefixes.map { unsafe PrefixTable($0) })
    }

    deinit {
        unsafe memory.deallocate()
        unsafe prefixes?.deallocate()
    }

    /// What is in force in each profile.
    ///
    /// - Parameters:
    ///   - lists: the slots of lists in the index, by their ids.
    ///   - scopes: the sets of groups of the rules, by their slots.
    func profiles(lists: [Int32: UInt16], scopes: [GroupSet]) -> Profiles {
        let standard = plan.profiles[0].groups
        if plan.profiles.count == 1, standard == .standard, inputs.lists.isEmpty,
            scopes.allSatisfy({ !$0.isDisjoint(with: standard) })
        {
            return .everything
        }
        return Profiles(
            plan.profiles.map { profile in
                let listed = lists.filter { id, _ in
                    !(inputs.lists[id] ?? .standard).isDisjoint(with: profile.groups)
                }
                return Profiles.Profile(
                    lists: Set(listed.values),
                    rules: Set(
                        scopes.indices.filter { !scopes[$0].isDisjoint(with: profile.groups) }.map(
                            UInt16.init(clamping:))))
            })
    }

    /// A table of the clients' addresses; nil without any.
    private static func prefixes(_ plan: ProfilePlan) -> UnsafeMutableRawPointer? {
        guard !plan.clients.isEmpty else { return nil }
        var builder = PrefixTableBuilder()
        for (prefix, client) in plan.clients {
            builder.add(prefix, source: UInt32(client.profile) << 1 | (client.isPaused ? 1 : 0))
        }
        let bytes = builder.finish()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
        unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        return unsafe memory
    }

    /// The memory, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let memory: UnsafeRawPointer
        private let count: Int
        private let owners: Int
        private let pausedOwners: Int
        private let prefixes: PrefixTable?

        fileprivate init(
            _ memory: UnsafeRawPointer, profiles: Int, owners: Int, pausedOwners: Int, prefixes: PrefixTable?
        ) {
            unsafe self.memory = unsafe memory
            count = profiles
            self.owners = owners
            self.pausedOwners = pausedOwners
            self.prefixes = prefixes
        }

        /// Whether anybody can have another profile than the standard one.
        @inline(__always)
        var isNeeded: Bool { prefixes != nil || owners + pausedOwners > 0 }

        /// Whether profiles depend on programs and users.
        var needsOwner: Bool { owners + pausedOwners > 0 }

        /// Profiles there are.
        var profiles: Int { count }

        /// One whose number is of another plan has the standard profile.
        @inline(__always)
        subscript(_ profile: UInt16) -> ProfilePlan.Profile {
            if profile == ProfilePlan.paused { return ProfilePlan.Profile(groups: [], isPaused: true) }
            let place = Int(profile) < count ? Int(profile) : 0
            return unsafe (memory + place * MemoryLayout<ProfilePlan.Profile>.stride).load(
                as: ProfilePlan.Profile.self)
        }

        /// The profile of whoever asks. Linear in the programs and users; does not allocate.
        func profile(of client: IPAddress, _ owner: Owner) -> UInt16 {
            var profile = ProfilePlan.standard
            if let prefixes, let hit = prefixes.longest(client) {
                if hit.source & 1 != 0 { return ProfilePlan.paused }
                profile = UInt16(truncatingIfNeeded: hit.source >> 1)
            }
            var index = owners
            while index < owners + pausedOwners {
                if owned(index).condition.holds(owner) { return ProfilePlan.paused }
                index += 1
            }
            index = 0
            while index < owners {
                let owned = owned(index)
                if owned.condition.holds(owner) { return owned.profile }
                index += 1
            }
            return profile
        }

        @inline(__always)
        private func owned(_ index: Int) -> ProfilePlan.Owned {
            let start = unsafe memory + count * MemoryLayout<ProfilePlan.Profile>.stride
            return unsafe (start + index * MemoryLayout<ProfilePlan.Owned>.stride).load(as: ProfilePlan.Owned.self)
        }
    }
}
