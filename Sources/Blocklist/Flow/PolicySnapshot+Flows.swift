public import Wire

extension PolicySnapshot {
    /// What the policy says of a flow. Does not allocate, count references or lock; any thread.
    ///
    /// In this order: the user's flow rules, the user's rules on names, allow lists of names and addresses, deny lists of
    /// addresses, deny lists of names, the bypass protection.
    ///
    /// - Parameters:
    ///   - remote: where the flow goes.
    ///   - port: the remote port in host byte order, 0 for a protocol without ports.
    ///   - proto: the IP protocol's number.
    ///   - name: what the flow calls its remote: wire form (RFC 1035 section 3.1) in lower case with the root's byte; empty
    ///     when it has no name.
    ///   - asker: who began the flow; rules for programs and users pass over an owner that is not known.
    ///   - isNameFinal: no better name will come. Before, `name` may be another's at the same address, so it cuts nothing:
    ///     where a name would matter, the verdict is `peek`. A forbidden address is cut at once, unless `name` is allowed.
    public func flowVerdict(
        remote: IPAddress, port: UInt16, proto: UInt8, name: RawSpan, asker: Asker, isNameFinal: Bool
    ) -> FlowVerdict {
        guard let groups = inForce(asker.profile) else { return .none }
        let facts = FlowFacts(remote: remote, port: port, proto: proto, owner: asker.owner, groups: groups)
        if isNameFinal { return decide(facts, name, asker).verdict }
        if let verdict = flows.match(facts, nil), verdict.action != .peek { return verdict }
        let (verdict, isOfAddress) = decide(facts, name, asker)
        if verdict.action == .drop && isOfAddress { return verdict }
        return judgesNames || flows.needsName ? .peek : verdict
    }

    /// The verdict on a flow of this name, and whether a list of addresses or the bypass protection's addresses and ports
    /// gave it.
    private func decide(
        _ facts: FlowFacts, _ name: RawSpan, _ asker: Asker
    ) -> (verdict: FlowVerdict, isOfAddress: Bool) {
        if let verdict = flows.match(facts, name) { return (verdict, false) }
        let named = name.byteCount > 1 ? verdict(for: name, asker: asker) : .forward
        if named.action != .forward, named.list == 0 || named.action == .allow { return (FlowVerdict(named), false) }
        let inForce = profiles.lists(asker.profile)
        if let hit = lists.longestPrefix(facts.remote, isAllowed: true, inForce) {
            return (FlowVerdict(action: .allow, reason: .list, list: hit.of.list, rule: hit.line), true)
        }
        if let hit = lists.longestPrefix(facts.remote, isAllowed: false, inForce) {
            return (FlowVerdict(action: .drop, reason: .list, list: hit.of.list, rule: hit.line), true)
        }
        if named.action != .forward { return (FlowVerdict(named), false) }
        if let line = bypass.line(facts.remote, facts.port, facts.proto) {
            return (FlowVerdict(action: .drop, reason: .bypass, list: Verdict.bypass, rule: line), true)
        }
        return (.none, false)
    }

    /// Whether flows to a name are cut although its DNS may be answered, or its DNS is blocked: what lets an application hide
    /// the name of a flow, or go there without asking for the address, must then not be told.
    ///
    /// - Parameter name: wire form in lower case, with the root's byte.
    public func hides(_ name: RawSpan) -> Bool {
        guard isBypassProtected else { return false }
        if flows.denies(name) { return true }
        // What is told to one is kept in the cache for all.
        for profile in 0..<profileCount
        where verdict(for: name, asker: Asker(profile: profile)).action == .block {
            return true
        }
        return false
    }

    /// Whether the bypass protection is in force.
    public var isBypassProtected: Bool {
        !bypass.ports.isEmpty || bypass.image.view.names > 0 || bypass.prefixes.count > 0
    }
}

extension FlowVerdict {
    /// The verdict on a flow's name.
    fileprivate init(_ verdict: Verdict) {
        self.init(
            action: verdict.action == .block ? .drop : .allow,
            reason: verdict.list == 0 ? .rule : verdict.list == Verdict.bypass ? .bypass : .list, list: verdict.list,
            rule: verdict.rule, match: verdict.match, labels: verdict.labels)
    }
}
