import Blocklist
import Foundation

/// Policies for tests: the user's rules in a real store in a directory of its own, which is removed at once.
enum TestPolicy {
    static func make(deny: [String]) -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-policy-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules(deny.map { BlocklistStore.RuleRequest(.deny, .suffix, $0) })
            return try store.snapshot()
        } catch {
            fatalError("no policy for the test: \(error)")
        }
    }
}
