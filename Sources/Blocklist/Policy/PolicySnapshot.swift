import GRDB
public import Kernel
public import Wire

/// The policy at one moment: the compiled index of the lists and the user's rules. Immutable: it is swapped whole.
public final class PolicySnapshot: Sendable {
    let index: IndexImage
    let overlay: Overlay
    /// Who has which profile.
    let members: ProfileTable
    let lists: IndexView
    let rules: IndexView
    let options: ClassOptions.View
    /// The patterns of the lists; their tags are classes.
    let listPatterns: PatternTable.View
    let patternTiers: PatternTiers
    /// Whether some entry is a `$dnsrewrite`.
    let hasRewrites: Bool
    // Keeps the memory of `options`.
    private let classOptions: ClassOptions
    let profiles: Profiles.View
    let patterns: PatternSet.View
    let flows: FlowRuleSet.View
    let bypass: BypassSet
    private let ownerNames: FlowRuleSet.View
    private let ownerPatterns: PatternSet.View
    let bypassNames: IndexView
    private let memberView: ProfileTable.View
    // Keeps the memory of `profiles`.
    private let profileSet: Profiles
    private let titles: [Int32: String]
    /// Local records, forward zones and safe search.
    public let local: LocalData

    /// Maps `blocklist.index` and loads the user rules from `blocklist.db` in the state directory.
    ///
    /// - Throws: `BlocklistError`: `.indexMissing`, `.indexStale` and `.indexCorrupt` call for
    ///   `BlocklistStore.compile`; `BlocklistStore.snapshot` does all of that.
    public convenience init(state: String) throws {
        try self.init(store: BlocklistStore(state: state))
    }

    convenience init(store: BlocklistStore, now: Int64? = nil, neighbours: Neighbours = [:]) throws {
        let image = try IndexImage(path: store.indexPath)
        let (counters, inputs, groups) = try store.read { db in
            (try BlocklistStore.counters(db), try Overlay.Inputs(db), try GroupInputs(db))
        }
        guard image.header.identity == counters.identity, image.header.generation == counters.generation else {
            throw BlocklistError.indexStale(store.indexPath, image.header.generation, counters.generation)
        }
        let overlay = try Overlay(inputs, version: counters.rules, seed: image.header.seed)
        let plan = ProfilePlan.make(groups, neighbours, now: now ?? BlocklistStore.now()).plan
        self.init(index: image, overlay: overlay, members: ProfileTable(plan, groups))
    }

    /// - Parameter profiles: by default what `members` says is in force.
    init(
        index: IndexImage, overlay: Overlay, members: ProfileTable = ProfileTable(), profiles: Profiles? = nil
    ) {
        self.index = index
        self.members = members
        memberView = members.view
        self.overlay = overlay
        lists = index.view
        rules = overlay.image.view
        patterns = overlay.patterns.view
        flows = overlay.flows.view
        bypass = overlay.bypass
        ownerNames = overlay.ownerNames.view
        ownerPatterns = overlay.ownerPatterns.view
        bypassNames = overlay.bypass.image.view
        classOptions = ClassOptions(classes: lists.classCount, options: index.options)
        options = classOptions.view
        listPatterns = lists.patterns
        patternTiers = PatternTiers(lists, options)
        hasRewrites = classOptions.hasRewrites
        profileSet = profiles ?? members.profiles(lists: index.slots, scopes: overlay.scopes)
        self.profiles = profileSet.view
        titles = index.titles
        local = overlay.local
    }

    /// Listed names in force: those of the lists, each counted once.
    public var names: Int { lists.names }

    /// Addresses and prefixes of the lists in force, each counted once for allow lists and for deny lists.
    public var prefixes: Int { lists.prefixes }

    /// Whether a name can matter: there are rules or lists of names.
    var judgesNames: Bool {
        lists.names + listPatterns.count + rules.names + bypassNames.names + patterns.count + ownerNames.count
            + ownerPatterns.count > 0
    }

    /// Whether the verdict on a query can depend on the program or the user that asks.
    public var needsQueryOwner: Bool { judgesOwners || memberView.needsOwner }

    /// Whether there are rules for programs and users: then the verdict depends on more than the profile.
    public var judgesOwners: Bool { ownerNames.count + ownerPatterns.count > 0 }

    /// Whether the verdict on a query can depend on who asks: then one asker's verdict says nothing about another's.
    public var needsQueryAsker: Bool { judgesOwners || memberView.isNeeded }

    /// Whether the verdict on a flow can depend on who began it.
    public var needsFlowOwner: Bool { flows.needsOwner || needsQueryOwner }

    /// The profile of whoever sends from an address; 0 for who is in no group. Does not allocate; any thread.
    ///
    /// - Parameter owner: the program and user, when known.
    public func profile(of client: IPAddress, owner: Owner) -> UInt16 {
        memberView.isNeeded ? memberView.profile(of: client, owner) : ProfilePlan.standard
    }

    /// Whether nothing is judged for a profile.
    public func isPaused(_ profile: UInt16) -> Bool { memberView[profile].isPaused }

    /// The groups in force for a profile; nil: nothing is judged.
    @inline(__always)
    func inForce(_ profile: UInt16) -> GroupSet? {
        let profile = memberView[profile]
        return profile.isPaused ? nil : profile.groups
    }

    /// Profiles there are.
    var profileCount: UInt16 { UInt16(memberView.profiles) }

    /// The counter of the lists' changes that the snapshot stands for.
    public var generation: UInt64 { index.header.generation }

    /// A list's name, of a list in force. Not for the hot path.
    public func listName(_ id: Int32) -> String? {
        id == Verdict.bypass ? "bypass protection" : titles[id]
    }

    /// The records that answer a query, of a verdict whose answer is `.records`, in the layout of `RecordSet`. Empty for others.
    @_lifetime(borrow self)
    public func records(of verdict: Verdict) -> RawSpan {
        guard verdict.answer == .records, verdict.list > 0 else { return RawSpan() }
        return unsafe _overrideLifetime(options.records(Int(verdict.rule)), borrowing: self)
    }

    /// What the policy says of a name. Does not allocate, count references or lock; any thread.
    ///
    /// Only the lists and rules in force for the asker count. Rules for programs and users come first, then those for everybody: among names the longest match wins, at the same
    /// length allow wins; then regular expressions, allowing ones first. Then the lists: rewrites; the longest match of an
    /// important entry that allows, else of one that denies, then the same of entries that are not important; in each tier
    /// names before patterns. Then the bypass protection.
    ///
    /// - Parameters:
    ///   - name: wire form (RFC 1035 section 3.1) in lower case, with the root's byte. A malformed one matches nothing.
    ///   - qtype: 0 when the verdict is for no query or its type is not known: what is said of some types is then passed
    ///     over.
    ///   - asker: matters only while `needsQueryAsker`.
    public func verdict(for name: RawSpan, qtype: UInt16 = 0, asker: Asker = .everybody) -> Verdict {
        unsafe withUnsafeTemporaryAllocation(byteCount: QueryText.scratch, alignment: 16) { memory in
            guard let query = unsafe QueryText(name, memory) else { return .forward }
            guard let groups = inForce(asker.profile) else { return .forward }
            if ownerNames.count > 0, let verdict = ownerNames.match(query, name, asker.owner, groups) {
                return verdict
            }
            if ownerPatterns.count > 0,
                let verdict = unsafe ownerPatterns.match(query.text(1), query.end - 1, asker.owner, groups)
            {
                return verdict
            }
            return decide(query, qtype, asker.profile, groups)
        }
    }
}
