import Blocklist
import Foundation

/// Policies for tests: rules in a real store in a directory of its own, which is removed at once.
enum TestPolicy {
    /// - Parameters:
    ///   - deny: names, with all below them.
    ///   - flows: rules on flows.
    static func make(deny: [String] = [], flows: [BlocklistStore.FlowRequest] = []) -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-flows-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules(deny.map { BlocklistStore.RuleRequest(.deny, .suffix, $0) })
            _ = try store.setFlowRules(flows)
            return try store.snapshot()
        } catch {
            fatalError("no policy for the test: \(error)")
        }
    }
}
