import GRDB
import Testing

@testable import Blocklist

/// Changes of rules, taken back one after another.
@Suite struct UndoTests {
    static func words(_ store: BlocklistStore) throws -> [String] {
        try store.rules().map { "\($0.id) \($0.action) \($0.match) \($0.name) \($0.comment)" }
            + store.flowRules().map { "flow \($0.id) \($0.action) \($0.conditions)" }
    }

    @Test func everyChangeIsTakenBackInReverse() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var generator = Seeded(state: seed)
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        var states: [[String]] = []
        for round in 0..<60 {
            let before = try UndoTests.words(store)
            let name = "n\(Int.random(in: 0..<6, using: &generator)).example"
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: _ = try store.setRules([.init(.deny, .suffix, name, comment: "\(round)")])
            case 1: _ = try store.setRules([.init(.allow, .exact, name), .init(.deny, .suffix, "x." + name)])
            case 2: _ = try? store.removeRules([name])
            case 3:
                var conditions = FlowConditions()
                conditions.ports = 1...UInt16.random(in: 1...3, using: &generator)
                _ = try store.setFlowRules([.init(Bool.random(using: &generator) ? .allow : .deny, conditions)])
            default:
                if let rule = try store.flowRules().first { _ = try store.removeFlowRules(["\(rule.id)"]) }
            }
            if try UndoTests.words(store) != before { states.append(before) }
        }
        #expect(try store.ruleChanges(limit: 1000).count == states.count)
        while let state = states.popLast() {
            let undo = try #require(try store.undoRules())
            #expect(undo.left.isEmpty, "\(undo.left)")
            #expect(try UndoTests.words(store) == state)
        }
        #expect(try store.undoRules() == nil)
    }

    @Test func aDryRunDoesNothing() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        _ = try store.setRules([.init(.deny, .suffix, "ads.example")])
        let told = try #require(try store.undoRules(dryRun: true))
        #expect(told.change.items.count == 1 && told.change.items[0].old == nil)
        #expect(try store.rules().count == 1)
        #expect(try store.undoRules()?.change.number == told.change.number)
        #expect(try store.rules().isEmpty)
    }

    /// The same rule once more changes nothing that could be taken back.
    @Test func whatChangesNothingIsNoChange() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        _ = try store.setRules([.init(.deny, .suffix, "ads.example")])
        _ = try store.setRules([.init(.deny, .suffix, "ads.example")])
        #expect(try store.ruleChanges(limit: 10).count == 1)
    }

    @Test func whatOthersChangedSinceStays() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        _ = try store.setRules([.init(.deny, .suffix, "one.example"), .init(.deny, .suffix, "two.example")])
        try store.write { try $0.execute(sql: "UPDATE rule SET comment = 'mine' WHERE name = 'one.example'") }
        let undo = try #require(try store.undoRules())
        #expect(undo.left.count == 1 && undo.left[0].reason == "it was changed since")
        #expect(try store.rules().map(\.name) == ["one.example"])
        #expect(try store.undoRules() == nil)
    }

    @Test func theJournalIsBounded() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        try store.write { db in
            for number in 0..<600 {
                try BlocklistStore.journaled(db) { db in
                    try db.execute(
                        sql: "INSERT INTO rule (match, action, name, added) VALUES ('suffix', 'deny', ?, 0)",
                        arguments: ["n\(number).example"])
                }
            }
        }
        let changes = try store.ruleChanges(limit: 10_000)
        #expect(changes.count == 500 && changes.first?.number == 600)
    }
}
