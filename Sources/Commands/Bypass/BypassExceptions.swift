import Blocklist

/// An entry of the resolver data that a rule or an allow list of the user overrides.
struct BypassExceptions {
    var entry: ResolverEntry
    /// Which rule or list.
    var reason: String

    var json: JSONValue {
        .object([
            ("subject", .string(entry.subject)), ("operator", .string(entry.operatorName)), ("by", .string(reason)),
        ])
    }

    /// Asks the policy over each name, and over the first address of each prefix on TCP port 443.
    static func find(_ store: BlocklistStore, _ state: BypassState) throws -> [BypassExceptions] {
        guard state.isOn else { return [] }
        let policy = try store.snapshot()
        return try state.entries.compactMap { entry in
            switch entry.kind {
            case .port: return nil
            case .names, .nxdomain, .nodata:
                let found = try store.explain(DomainName(entry.subject), in: policy)
                guard found.verdict.action == .allow else { return nil }
                return BypassExceptions(
                    entry: entry,
                    reason: found.list.map { "list \($0), line \(found.line ?? 0)" }
                        ?? "your rule \(found.verdict.rule): \(found.rule ?? "")")
            case .addresses:
                var flow = BlocklistStore.FlowQuestion(remote: try IPPrefix(entry.subject).address)
                flow.port = 443
                let found = try store.explain(flow, in: policy)
                guard found.verdict.action == .allow else { return nil }
                return BypassExceptions(entry: entry, reason: FlowText.decider(found))
            }
        }
    }
}
