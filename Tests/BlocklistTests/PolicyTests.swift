import CAllocations
import Foundation
import Testing

@testable import Blocklist

/// The order of precedence: the table that `docs/policy.md` prints, row by row, through database, index and snapshot.
struct PolicyTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var line: Int
        var rules: [String]
        var allow: [String]
        var deny: [String]
        var name: String
        var verdict: String
        var decidedBy: String

        var testDescription: String { "policy.md:\(line) \(name)" }
    }

    static let rows: [Row] = {
        let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/policy.md")
        let text = (try? String(contentsOf: page, encoding: .utf8)) ?? ""
        var rows: [Row] = []
        for (index, line) in text.components(separatedBy: "\n").enumerated() where line.hasPrefix("|") {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast().map(quoted)
            let words = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 6, cells[3].count == 1 else { continue }
            rows.append(
                Row(
                    line: index + 1, rules: cells[0], allow: cells[1], deny: cells[2], name: cells[3][0],
                    verdict: words[words.count - 2], decidedBy: words[words.count - 1]))
        }
        return rows
    }()

    /// The texts between back quotes.
    static func quoted(_ cell: Substring) -> [String] {
        let parts = cell.split(separator: "`", omittingEmptySubsequences: false)
        return parts.indices.filter { $0 % 2 == 1 }.map { String(parts[$0]) }
    }

    @Test func theTableIsThere() {
        #expect(Self.rows.count >= 25)
    }

    @Test(arguments: rows)
    func agreesWithTheTable(_ row: Row) throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        for (title, cell) in [("allow list", row.allow), ("deny list", row.deny)] where !cell.isEmpty {
            let exact = cell[0].hasPrefix("=")
            let names = cell.map { exact ? String($0.dropFirst()) : $0 }
            let file = try scratch.file("\(title).txt", names.joined(separator: "\n"))
            _ = try store.add(file, .init(allow: title == "allow list", exact: exact))
        }
        _ = try store.setRules(
            row.rules.map { rule in
                let words = rule.split(separator: " ").map(String.init)
                let match: UserRule.Match = words.count == 2 ? .suffix : words[1] == "--exact" ? .exact : .regex
                return .init(words[0] == "allow" ? .allow : .deny, match, words.last!)
            })
        let policy = try store.snapshot()
        let name = try DomainName(row.name)
        let verdict = policy.verdict(for: name.wire.span.bytes)
        #expect("\(verdict.action)" == row.verdict)
        let decidedBy =
            verdict.match == .none ? "nothing" : verdict.list == 0 ? "rule" : policy.listName(verdict.list) ?? "?"
        #expect(decidedBy == row.decidedBy)
        // A trailing dot and capitals change nothing, and the explanation is of the same verdict.
        let explanation = try store.explain(DomainName(row.name.uppercased() + "."), in: policy)
        #expect(explanation.verdict == verdict)
        #expect((explanation.rule == nil) == (verdict.match == .none))
    }

    @Test func verdictsDoNotAllocate() throws {
        let rule = { (id: Int32, match: UserRule.Match, action: UserRule.Action, name: String) in
            UserRule(id: id, match: match, action: action, name: name, comment: "", added: 0)
        }
        let snapshot = try snapshot(
            IndexTests.classes, (1...500).map { ("ads\($0).example", $0 % 5, $0) },
            rules: [
                rule(1, .suffix, .deny, "mine.example"), rule(2, .regex, .deny, "^ad[sx]+[.]"),
                rule(3, .exact, .allow, "good.mine.example"),
            ])
        let names = [
            "ads1.example", "www.ads2.example", "a.b.c.d.e.ads3.example", "www.mine.example", "good.mine.example",
            "adsx.example", "nothing.test", "",
        ].map(wire)
        var allocations: UInt = 0
        var blocked = 0
        // The first round may set up what is set up once.
        for round in 0..<100 {
            for name in names {
                let span = name.span.bytes
                let before = allocations_of_this_thread()
                let verdict = snapshot.verdict(for: span)
                let after = allocations_of_this_thread()
                if round > 0 { allocations += after - before }
                if verdict.action == .block { blocked += 1 }
            }
        }
        #expect(allocations == 0)
        #expect(blocked > 0)
    }
}
