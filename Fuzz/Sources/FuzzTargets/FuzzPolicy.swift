import Blocklist
import Foundation

/// A policy with a rule of each kind that answers differ by.
enum FuzzPolicy {
    static let snapshot: PolicySnapshot = {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-fuzz-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules([.init(.deny, .suffix, "c"), .init(.allow, .exact, "a.c")])
            return try store.snapshot()
        } catch {
            fatalError("no policy: \(error)")
        }
    }()
}
