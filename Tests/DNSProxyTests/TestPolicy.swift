import Blocklist
import Foundation

/// Policies for tests: the user's rules in a real store in a directory of its own, which is removed at once.
enum TestPolicy {
    private static let resolvers =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/blocklists/resolvers.bypass"

    /// - Parameters:
    ///   - flows: names whose flows are denied.
    ///   - rules: further rules.
    ///   - isBypassOn: whether the bypass protection is in force, with the data that comes with webtun.
    static func make(
        deny: [String], allow: [String] = [], flows: [String] = [], rules: [BlocklistStore.RuleRequest] = [],
        isBypassOn: Bool = false
    ) -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-policy-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules(deny.map { BlocklistStore.RuleRequest(.deny, .suffix, $0) })
            _ = try store.setRules(allow.map { BlocklistStore.RuleRequest(.allow, .suffix, $0) } + rules)
            _ = try store.setFlowRules(
                flows.map { name in
                    var conditions = FlowConditions()
                    conditions.name = name
                    return BlocklistStore.FlowRequest(.deny, conditions)
                })
            if isBypassOn {
                try store.loadResolvers(resolvers)
                try store.setBypass(true)
            }
            return try store.snapshot()
        } catch {
            fatalError("no policy for the test: \(error)")
        }
    }
}
