import Blocklist
import Foundation

/// Policies for tests: rules in a real store in a directory of its own, which is removed at once.
enum TestPolicy {
    /// - Parameters:
    ///   - deny: names, with all below them.
    ///   - flows: rules on flows.
    static func make(deny: [String] = [], flows: [BlocklistStore.FlowRequest] = []) -> PolicySnapshot {
        do {
            return try make { store in
                _ = try store.setRules(deny.map { BlocklistStore.RuleRequest(.deny, .suffix, $0) })
                _ = try store.setFlowRules(flows)
            }
        } catch {
            fatalError("no policy for the test: \(error)")
        }
    }

    /// What `body` has put into the store.
    static func make(_ body: (BlocklistStore) throws -> Void) throws -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-flows-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try BlocklistStore(state: path)
        try body(store)
        return try store.snapshot()
    }
}
