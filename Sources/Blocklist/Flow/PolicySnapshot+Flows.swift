public import Kernel
public import Wire

extension PolicySnapshot {
    /// What the policy says of a flow. Does not allocate, count references or lock; any thread.
    ///
    /// The user's flow rules come first, then what the policy says of the flow's name.
    ///
    /// - Parameters:
    ///   - remote: where the flow goes.
    ///   - port: the remote port in host byte order, 0 for a protocol without ports.
    ///   - proto: the IP protocol's number.
    ///   - name: what the flow calls its remote: wire form (RFC 1035 section 3.1) in lower case with the root's byte; empty
    ///     when it has no name.
    ///   - owner: who began the flow; rules for programs and users pass over an owner that is not known.
    ///   - isNameFinal: no better name will come. Before, `name` decides nothing: where a name would matter, the verdict
    ///     is `peek`.
    public func flowVerdict(
        remote: IPAddress, port: UInt16, proto: UInt8, name: RawSpan, owner: Owner, isNameFinal: Bool
    ) -> FlowVerdict {
        if let verdict = flows.match(remote, port, proto, isNameFinal ? name : nil, owner) { return verdict }
        if !isNameFinal { return judgesNames ? .peek : .none }
        guard name.byteCount > 1 else { return .none }
        let verdict = verdict(for: name)
        guard verdict.action != .forward else { return .none }
        return FlowVerdict(
            action: verdict.action == .block ? .drop : .allow, reason: verdict.list == 0 ? .rule : .list,
            list: verdict.list, rule: verdict.rule)
    }
}
