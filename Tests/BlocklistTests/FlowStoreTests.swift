import GRDB
import Glibc
import Kernel
import Testing
import Wire

@testable import Blocklist

/// Flow rules, and rules for programs and users, in the database.
struct FlowStoreTests {
    @Test func rulesAreKept() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let requests = [
            FlowTableTests.flow(.deny, "203.0.113.0/24", ports: 25...25, proto: 6),
            FlowTableTests.flow(.allow, name: "Shop.Example.", isExact: true, app: "/usr/bin/curl", user: "root"),
        ]
        let made = try store.setFlowRules(requests)
        let read = try BlocklistStore(state: scratch.path + "/state").flowRules()
        #expect(read == made)
        #expect(read.map(\.id) == [1, 2])
        #expect(read[0].conditions == requests[0].conditions)
        #expect(read[1].conditions.name == "shop.example")
        #expect(read[1].conditions.owner.uid == 0)
        #expect(read[1].conditions.owner.user == "root")
        // The same conditions again: the rule is changed.
        var again = requests[0]
        again.action = .allow
        again.comment = "changed"
        #expect(try store.setFlowRules([again]).map(\.id) == [1])
        #expect(try store.flowRules().map(\.action) == [.allow, .allow])
        #expect(try store.removeFlowRules(["2", "2"]).map(\.id) == [2])
        #expect(throws: BlocklistError.noSuchFlowRule("7")) { _ = try store.removeFlowRules(["1", "7"]) }
        #expect(try store.flowRules().map(\.id) == [1], "all or none")
    }

    @Test func badConditionsAreRefused() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        for request in [
            FlowTableTests.flow(.deny, name: "a..b"), FlowTableTests.flow(.deny, ports: 0...5),
            FlowTableTests.flow(.deny, ports: 25...25, proto: 1),
        ] {
            #expect(throws: BlocklistError.self) {
                _ = try store.setFlowRules([FlowTableTests.flow(.deny, "192.0.2.1"), request])
            }
        }
        #expect(try store.flowRules().isEmpty)
        for (app, user) in [
            ("bin/curl", nil), ("", nil), ("/usr/bin/", nil), (nil, "no-such-user-here"), (nil, ""),
            (nil, "4294967295"),
        ]
            as [(String?, String?)]
        {
            #expect(throws: BlocklistError.self) { _ = try RuleOwner(app: app, user: user) }
        }
    }

    @Test func rulesForProgramsStandBesideThoseForEverybody() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let curl = FlowTableTests.owner(app: "curl")
        let root = try RuleOwner(app: nil, user: "root")
        _ = try store.setRules([
            .init(.deny, .suffix, "games.example"), .init(.allow, .suffix, "games.example", owner: curl),
            .init(.deny, .suffix, ".", owner: root), .init(.deny, .exact, "a.example", owner: curl),
        ])
        #expect(try store.rules().count == 4)
        let policy = try store.snapshot()
        #expect(policy.needsQueryOwner)
        #expect(policy.needsFlowOwner)
        func action(_ name: String, _ owner: Owner) -> Verdict.Action {
            policy.verdict(for: wire(name).span.bytes, asker: Asker(owner: owner)).action
        }
        let asCurl = Owner(uid: 1000, name: Owner.hash(of: "curl"), certainty: .exact)
        let asRoot = Owner(uid: 0, name: Owner.hash(of: "ping"), certainty: .probable)
        let rootsCurl = Owner(uid: 0, name: Owner.hash(of: "curl"), certainty: .exact)
        #expect(action("games.example", .unknown) == .block)
        #expect(action("www.games.example", asCurl) == .allow)
        #expect(action("a.example", asCurl) == .block)
        #expect(action("www.a.example", asCurl) == .forward)
        #expect(action("anything.test", asRoot) == .block)
        #expect(action("anything.test", asCurl) == .forward)
        #expect(action("games.example", rootsCurl) == .allow, "a program's rule over a user's")
        #expect(throws: BlocklistError.self) { _ = try store.setRules([.init(.deny, .suffix, ".")]) }
        #expect(try store.removeRules(["games.example"]).count == 2)
        let plain = try BlocklistStore(state: scratch.path + "/other").snapshot()
        #expect(!plain.needsQueryOwner && !plain.needsFlowOwner)
    }

    @Test func anOlderDatabaseIsBroughtForward() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/state"
        do {
            let store = try BlocklistStore(state: path)
            _ = store
        }
        try Schema.removeAll(path)
        do {
            let queue = try DatabaseQueue(path: BlocklistStore.databasePath(path))
            try Schema.migrator.migrate(queue, upTo: "lists, entries, rules")
            try queue.write { db in
                try db.execute(
                    sql: """
                        INSERT INTO rule (id, match, action, name, comment, added) VALUES
                            (3, 'suffix', 'deny', 'ads.example', 'old', 5), (9, 'regex', 'allow', '^x', '', 6);
                        DELETE FROM rule WHERE id = 9;
                        """)
            }
        }
        let store = try BlocklistStore(state: path)
        let rules = try store.rules()
        #expect(rules.map(\.id) == [3])
        #expect(rules[0].comment == "old" && rules[0].added == 5 && rules[0].owner.isEmpty)
        #expect(try store.setRules([.init(.deny, .suffix, "new.example")]).map(\.id) == [10], "ids are not used again")
        #expect(try store.snapshot().verdict("www.ads.example").action == .block)
    }
}

extension Schema {
    /// Removes the database of a state directory.
    static func removeAll(_ state: String) throws {
        for suffix in ["", "-wal", "-shm"] { unlink(BlocklistStore.databasePath(state) + suffix) }
    }
}
