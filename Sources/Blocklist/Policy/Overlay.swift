import GRDB

/// The user's rules, ready for lookups: names in a small index of the same make as the lists', in which each rule is a class
/// of its own, and regular expressions.
/// Immutable; made anew for every change of a rule, which takes milliseconds.
final class Overlay: Sendable {
    /// The database's count of rule changes when this was made.
    let version: UInt64
    /// The sets of groups that rules on names belong to: a rule's slot in the bitmaps of profiles is its set's place here.
    let scopes: [GroupSet]
    let image: IndexImage
    let patterns: PatternSet
    /// The rules for programs and users: on names, and expressions.
    let ownerNames: FlowRuleSet
    let ownerPatterns: PatternSet
    let flows: FlowRuleSet
    let bypass: BypassSet
    let local: LocalData

    /// What `blocklist.db` has for it.
    struct Inputs {
        var rules: [UserRule]
        var flows: [FlowRule]
        var bypass: [ResolverEntry]
        var local: LocalData

        init(_ db: Database) throws {
            rules = try BlocklistStore.rules(db)
            flows = try BlocklistStore.flowRules(db)
            bypass = try BlocklistStore.resolversInForce(db)
            local = try LocalData(db)
        }
    }

    convenience init(_ inputs: Inputs, version: UInt64, seed: UInt64) throws {
        try self.init(
            inputs.rules, flows: inputs.flows, bypass: inputs.bypass, local: inputs.local, version: version, seed: seed)
    }

    /// - Parameter seed: that of the index it is consulted with, so that a name is hashed once for both.
    init(
        _ rules: [UserRule], flows: [FlowRule] = [], bypass: [ResolverEntry] = [], local: LocalData = LocalData(),
        version: UInt64, seed: UInt64
    ) throws {
        self.local = local
        self.flows = FlowRuleSet(flows)
        self.version = version
        var builder = try IndexBuilder(.init(seed: seed), expected: rules.count)
        var scopes: [GroupSet] = []
        var patterns = PatternSet.Builder()
        var ownerPatterns = PatternSet.Builder()
        ownerNames = FlowRuleSet(rules.compactMap(FlowRule.init(onName:)))
        self.bypass = try BypassSet(bypass, seed: seed)
        for rule in rules {
            if rule.match == .regex {
                // A pattern that some other program wrote into the database may be wrong: it is left out.
                if let pattern = try? Pattern(rule.name) {
                    let owner = OwnerCondition(rule.owner)
                    if owner.isEmpty {
                        patterns.add(
                            pattern, allow: rule.action == .allow, rule: rule.id, owner: owner, groups: rule.groups)
                    } else {
                        ownerPatterns.add(
                            pattern, allow: rule.action == .allow, rule: rule.id, owner: owner, groups: rule.groups)
                    }
                }
                continue
            }
            guard rule.owner.isEmpty else { continue }
            let kind: EntryKind =
                (rule.action == .allow ? EntryKind.allow : []).union(rule.match == .exact ? .exact : [])
            guard let name = try? DomainName(rule.name).text else { continue }
            let slot = scopes.firstIndex(of: rule.groups) ?? scopes.count
            if slot == scopes.count { scopes.append(rule.groups) }
            let number = try builder.add(
                .init(list: rule.id, kind: kind, title: "", lines: 0, slot: UInt16(clamping: slot)))
            var text = name
            try text.withUTF8 { bytes in
                try unsafe builder.add(UnsafeRawBufferPointer(bytes), class: number, line: Int(rule.id))
            }
        }
        self.scopes = scopes
        image = try IndexImage(bytes: builder.build(into: IndexSink()))
        self.patterns = patterns.finish()
        self.ownerPatterns = ownerPatterns.finish()
    }
}

extension FlowRule {
    /// A rule on names for a program or a user, as a rule on flows that has no other conditions; nil for other rules.
    fileprivate init?(onName rule: UserRule) {
        guard !rule.owner.isEmpty, rule.match != .regex else { return nil }
        var conditions = FlowConditions()
        conditions.owner = rule.owner
        if rule.name != UserRule.everyName {
            guard let name = try? DomainName(rule.name).text else { return nil }
            conditions.name = name
            conditions.isExact = rule.match == .exact
        }
        self.init(
            id: rule.id, action: rule.action, conditions: conditions, comment: "", added: rule.added,
            groups: rule.groups)
    }
}
