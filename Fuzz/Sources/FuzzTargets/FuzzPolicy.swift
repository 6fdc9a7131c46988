import Blocklist
import Foundation

/// A policy with a rule of each kind that answers differ by.
enum FuzzPolicy {
    /// What the local record `alias.lan` leads to: the name of the seeds.
    static let alias = "a.b"

    static let snapshot: PolicySnapshot = {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-fuzz-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules([.init(.deny, .suffix, "c"), .init(.allow, .exact, "a.c")])
            _ = try store.addRecords([
                .init("alias.lan", try RecordText.parse(type: "CNAME", data: "hop.lan", ttl: 60)),
                .init("hop.lan", try RecordText.parse(type: "CNAME", data: alias, ttl: 60)),
            ])
            return try store.snapshot()
        } catch {
            fatalError("no policy: \(error)")
        }
    }()
}
