import Testing

@testable import Blocklist

struct StoreTests {
    @Test func importsCompilesAndAnswers() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state/deeper")
        let list = try scratch.file(
            "ads.txt",
            "# head\n127.0.0.1 localhost\n0.0.0.0 ads.example\n0.0.0.0 Tracker.example # why\n0.0.0.0 a.test b.test\n")
        let report = try store.add(list)
        #expect(report.format == .hosts)
        #expect(report.entries == 4 && report.skipped == 1 && report.refused == 0 && report.lines == 5)
        let snapshot = try store.snapshot()
        #expect(snapshot.names == 4)
        #expect(snapshot.listName(1) == "ads")
        let verdict = snapshot.verdict("www.ads.example")
        #expect(verdict == Verdict(action: .block, match: .suffix, list: 1, rule: 3, labels: 2))
        #expect(snapshot.verdict("b.test").rule == 5)
        #expect(snapshot.verdict("example") == .forward)
        #expect(try store.lists().map(\.name) == ["ads"])
    }
}
