import Foundation
import Kernel
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
        #expect(verdict == Verdict(action: .block, match: .suffix, list: 1, rule: 0, labels: 2))
        let why = try store.explain(DomainName("www.ads.example"), in: snapshot)
        #expect(why.line == 3 && why.rule == "0.0.0.0 ads.example")
        #expect(try store.explain(DomainName("b.test"), in: snapshot).line == 5)
        #expect(snapshot.verdict("example") == .forward)
        #expect(try store.lists().map(\.name) == ["ads"])
    }

    // MARK: All or nothing

    @Test func failedUpdateKeepsTheLastGoodList() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let file = try scratch.file("ads.txt", "ads.example\nmore.example\n")
        _ = try store.add(file)
        try store.compile()
        let before = try #require(store.lists().first)
        for bad in ["", "<html>Not found</html>", "# only a comment\n"] {
            _ = try scratch.file("ads.txt", bad)
            #expect(throws: BlocklistError.self) { try store.update("ads") }
            let after = try #require(store.lists().first)
            #expect(after.entries == 2 && after.updated == before.updated && after.error != nil)
            #expect(try store.compile() == false)
            #expect(try store.snapshot().verdict("www.ads.example").action == .block)
        }
        _ = try scratch.file("ads.txt", "new.example\n")
        _ = try store.update("ads")
        #expect(try store.lists().first?.error == nil)
        let snapshot = try store.snapshot()
        #expect(snapshot.verdict("new.example").action == .block)
        #expect(snapshot.verdict("ads.example") == .forward)
    }

    @Test func listsAreChangedAllOrNone() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("ads.txt", "ads.example\n"))
        #expect(throws: BlocklistError.listExists("ads")) { try store.add(scratch.path + "/ads.txt") }
        #expect(throws: BlocklistError.noSuchList("none")) { try store.setEnabled(["ads", "none"], false) }
        #expect(throws: BlocklistError.noSuchList("none")) { try store.removeLists(["ads", "none"]) }
        #expect(try store.lists().map(\.enabled) == [true])
        try store.setEnabled(["ads"], false)
        #expect(try store.snapshot().verdict("ads.example") == .forward)
        try store.setEnabled(["1"], true)
        #expect(try store.snapshot().verdict("ads.example").action == .block)
        try store.removeLists(["ads"])
        #expect(try store.lists().isEmpty)
        #expect(try store.snapshot().names == 0)
    }

    @Test func rulesAreChangedAllOrNone() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        #expect(throws: BlocklistError.self) {
            try store.setRules([.init(.deny, .suffix, "good.example"), .init(.deny, .suffix, "bad..example")])
        }
        #expect(throws: BlocklistError.self) { try store.setRules([.init(.deny, .regex, "a(b")]) }
        #expect(try store.rules().isEmpty)
        _ = try store.setRules([.init(.deny, .suffix, "Bücher.Example.", comment: "why")])
        #expect(try store.rules().map(\.name) == ["xn--bcher-kva.example"])
        // The same name again changes the rule.
        _ = try store.setRules([.init(.allow, .suffix, "bücher.example")])
        #expect(try store.rules().map(\.action) == [.allow])
        #expect(throws: BlocklistError.noSuchRule("none.example")) {
            try store.removeRules(["bücher.example", "none.example"])
        }
        #expect(try store.removeRules(["bücher.example"]).count == 1)
        #expect(try store.rules().isEmpty)
    }

    // MARK: The index

    @Test func damagedIndexIsMadeAnew() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let names = (0..<3_000).map { "ads\($0).example" }.joined(separator: "\n")
        _ = try store.add(scratch.file("ads.txt", names))
        try store.compile()
        let path = URL(fileURLWithPath: store.indexPath)
        let good = try Data(contentsOf: path)
        var random = Seeded(state: 7)
        var damaged: [Data] = [Data(), good.prefix(100), good.prefix(good.count - 1), good.prefix(300), good + [0]]
        for _ in 0..<20 {
            var bytes = good
            bytes[Int(random.next() % UInt64(good.count))] ^= UInt8(1 << (random.next() % 8))
            damaged.append(bytes)
        }
        for bytes in damaged {
            // As a crash would leave it: another file in its place.
            try bytes.write(to: path, options: .atomic)
            let snapshot = try store.snapshot()
            #expect(snapshot.names == 3_000)
            #expect(snapshot.verdict("www.ads2999.example").action == .block)
            #expect(try Data(contentsOf: path) == good)
        }
        // One of an older format: the version is the second word of the header.
        var older = good
        older[8] = 2
        try older.write(to: path, options: .atomic)
        #expect(throws: BlocklistError.indexCorrupt(store.indexPath, "version 2, not \(IndexHeader.version)")) {
            try PolicySnapshot(state: store.state)
        }
        #expect(try store.snapshot().names == 3_000)
        #expect(try Data(contentsOf: path) == good)
        try FileManager.default.removeItem(at: path)
        #expect(throws: BlocklistError.indexMissing(store.indexPath)) { try PolicySnapshot(state: store.state) }
        #expect(try store.snapshot().names == 3_000)
    }

    @Test func aRuleLeavesTheIndexAlone() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("ads.txt", "ads.example\n"))
        #expect(try store.snapshot().verdict("ads.example").action == .block)
        let mark = { try FileManager.default.attributesOfItem(atPath: store.indexPath)[.systemFileNumber] as? UInt64 }
        let date = { try FileManager.default.attributesOfItem(atPath: store.indexPath)[.modificationDate] as? Date }
        let before = (try mark(), try date())
        _ = try store.setRules([.init(.allow, .suffix, "ads.example")])
        #expect(try store.compile() == false)
        let verdict = try store.snapshot().verdict("ads.example")
        #expect(verdict.action == .allow && verdict.list == 0)
        #expect(try mark() == before.0)
        #expect(try date() == before.1)
    }

    // MARK: The database

    @Test func newerDatabaseIsRefused() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        try store.write { db in
            try db.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('of a later version')")
        }
        #expect(throws: BlocklistError.newerSchema(store.databasePath)) { try BlocklistStore(state: scratch.path) }
    }

    @Test func fileThatIsNoDatabaseIsRefused() throws {
        let scratch = try Scratch()
        let text = String(repeating: "this is no database\n", count: 100)
        let file = try scratch.file("blocklist.db", text)
        #expect(throws: BlocklistError.self) { try BlocklistStore(state: scratch.path) }
        #expect(try String(contentsOfFile: file, encoding: .utf8) == text)
    }

    /// Waits the five seconds that a writer is given.
    @Test func lockedDatabaseIsAnError() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        let other = try BlocklistStore(state: scratch.path)
        try store.write { db in
            try db.execute(sql: "UPDATE state SET rules = rules")
            #expect(throws: BlocklistError.locked(store.databasePath)) {
                try other.setRules([.init(.deny, .suffix, "ads.example")])
            }
            // Reading goes on.
            #expect(try other.rules().isEmpty)
        }
        #expect(try other.setRules([.init(.deny, .suffix, "ads.example")]).count == 1)
    }

    // MARK: Following

    @Test func followerSeesChangesOfOthers() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let follower = try PolicyFollower(state: store.state, current: store.snapshot())
        #expect(try follower.poll() == nil)
        _ = try store.setRules([.init(.deny, .suffix, "mine.example")])
        let ruled = try #require(try follower.poll())
        #expect(ruled.verdict("www.mine.example").action == .block)
        #expect(try follower.poll() == nil)
        _ = try store.add(scratch.file("ads.txt", "ads.example\n"))
        try store.compile()
        let listed = try #require(try follower.poll())
        #expect(listed.verdict("ads.example").action == .block && listed.verdict("mine.example").list == 0)
        #expect(try follower.poll() == nil)
    }

    /// The kernel tells of a commit; nobody has to wait for the next look.
    @Test func followerHearsOfChanges() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let follower = try PolicyFollower(state: store.state, current: store.snapshot())
        while try follower.poll() != nil || follower.number == nil { usleep(1000) }
        let number = try #require(follower.number)
        var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
        #expect(poll(&entry, 1, 0) == 0, "nothing has happened")
        #expect(follower.pause == 1000)
        // Another connection, as another process has one.
        let other = try BlocklistStore(state: store.state)
        _ = try other.setRules([.init(.deny, .suffix, "mine.example")])
        #expect(poll(&entry, 1, 10_000) == 1)
        #expect(try follower.poll()?.verdict("mine.example").action == .block)
        _ = try other.add(scratch.file("ads.txt", "ads.example\n"))
        try other.compile()
        #expect(poll(&entry, 1, 10_000) == 1)
        #expect(try follower.poll()?.verdict("ads.example").action == .block)
    }

    /// Lists changed and nobody compiled, as when the command was killed: the follower does it.
    @Test func followerCompilesWhatOthersLeft() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let follower = try PolicyFollower(state: store.state, current: store.snapshot())
        _ = try store.add(scratch.file("ads.txt", "ads.example\n"))
        var seen: PolicySnapshot?
        let start = Date()
        while seen == nil && Date().timeIntervalSince(start) < 60 {
            seen = try follower.poll()
            if seen == nil { usleep(50_000) }
        }
        #expect(seen?.verdict("ads.example").action == .block)
    }

    /// The index cannot be made: what was in force stays, rules are followed, and it is made when it can be.
    @Test func followerGoesOnWithoutAnIndex() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("old.txt", "old.example\n"))
        let follower = try PolicyFollower(state: store.state, current: store.snapshot())
        let inTheWay = store.indexPath + ".new"
        try FileManager.default.createDirectory(atPath: inTheWay, withIntermediateDirectories: false)
        _ = try store.add(scratch.file("ads.txt", "ads.example\n"))
        func follow(_ seconds: Double, until isDone: (PolicySnapshot?) -> Bool) throws -> Bool {
            let start = Date()
            while Date().timeIntervalSince(start) < seconds {
                if isDone(try follower.poll()) { return true }
                usleep(20_000)
            }
            return false
        }
        #expect(try follow(30) { _ in follower.trouble != nil })
        #expect("\(follower.trouble!)".contains("blocklist.index.new"), "\(follower.trouble!)")
        _ = try store.setRules([.init(.deny, .suffix, "mine.example")])
        #expect(
            try follow(10) { policy in
                policy.map {
                    $0.verdict("mine.example").action == .block && $0.verdict("old.example").action == .block
                        && $0.verdict("ads.example").action == .forward
                } ?? false
            })
        // A daemon that starts now has the index of before; everybody else is told.
        var told: (any Error)?
        #expect(throws: BlocklistError.self) { try store.snapshot() }
        let policy = try store.snapshotToStart { told = $0 }
        #expect(told != nil && policy.verdict("old.example").action == .block)
        try FileManager.default.removeItem(atPath: inTheWay)
        #expect(try follow(60) { $0?.verdict("ads.example").action == .block })
        #expect(follower.trouble == nil)
    }

    /// After a failure the next try waits, each time longer.
    @Test func compilingRestsAfterFailures() throws {
        let compiler = BackgroundCompile(state: "/dev/null/none")
        var now = Clock.monotonic()
        for rest in [1, 2, 4] as [UInt64] {
            compiler.start(now: now)
            var tries = 0
            while compiler.failures < Int(rest.trailingZeroBitCount) + 1, tries < 1000 {
                usleep(10_000)
                tries += 1
            }
            #expect(compiler.failure != nil)
            let failures = compiler.failures
            compiler.start(now: Clock.monotonic())
            usleep(50_000)
            #expect(compiler.failures == failures, "it rests")
            now = Clock.monotonic() + rest * 1_000_000_000
        }
    }

    /// Lists wait by the wall clock, which may be set.
    @Test func listsAreDue() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("a.txt", "a.example\n"))
        var list = try store.list("a")
        let (now, hour): (Int64, Int64) = (1_795_500_000_000_000, 3_600_000_000)
        for (every, due, isDue) in [
            (nil, nil, false), (3600, nil, false), (3600, now - 1, true), (3600, now, true), (3600, now + 1, false),
            (3600, now + hour, false), (3600, now + hour * 3 / 2, false), (3600, now + 2 * hour, true),
            (86_400, now + 2 * hour, false), (86_400, now + 10 * 365 * 24 * hour, true),
        ] as [(Int64?, Int64?, Bool)] {
            (list.every, list.due) = (every, due)
            #expect(BlocklistStore.isDue(list, now) == isDue, "every \(every ?? -1), due \((due ?? now) - now)")
        }
    }

    // MARK: Starter lists, search

    @Test func starterListsAreLoadedOnce() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("blocklists").path
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        let reports = try store.loadStarterLists(folder).map { result in
            guard case .loaded(let report) = result else { throw BlocklistError.badArgument("\(result)") }
            return report
        }
        #expect(reports.map(\.name) == ["ads", "telemetry", "tracking"])
        #expect(reports.allSatisfy { $0.refused == 0 && $0.entries > 10 })
        #expect(try store.snapshot().verdict("ib.adnxs.com").action == .block)
        try store.removeLists(["ads"])
        #expect(try store.loadStarterLists(folder).isEmpty)
        #expect(try store.snapshot().verdict("ib.adnxs.com") == .forward)
    }

    @Test func searchFindsRulesAndLists() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("ads.txt", "0.0.0.0 ads.example\n0.0.0.0 a.test ads.test # two\n"))
        _ = try store.setRules([.init(.allow, .regex, "^ads")])
        let found = try store.search("ADS", limit: 10)
        let hits = found.hits
        #expect(
            found.counts == [.init(list: nil, enabled: true, found: 1), .init(list: "ads", enabled: true, found: 2)])
        #expect(hits.map(\.name) == ["^ads", "ads.example", "ads.test"])
        #expect(hits.map(\.rule) == ["^ads", "0.0.0.0 ads.example", "0.0.0.0 a.test ads.test"])
        #expect(try store.search("ads", limit: 1).total == 3)
        #expect(try store.search("nowhere", limit: 10).hits.isEmpty)
    }
}
