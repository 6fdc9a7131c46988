import Foundation
import Kernel
import Testing
import Wire

@testable import QueryLog

/// `docs/querylog.md` says of the views what is true, and its queries work.
@Suite struct DocumentationTests {
    let base: QueryLogWriterTests
    let page: String

    init() throws {
        base = try QueryLogWriterTests()
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        page = try String(contentsOf: root.appendingPathComponent("docs/querylog.md"), encoding: .utf8)
    }

    /// A log in which every query of the page finds something.
    func fill() throws {
        let writer = try base.writer()
        let now = Clock.unixMicroseconds()
        func add(_ name: String, _ address: String, _ change: (inout QueryRow) -> Void) {
            base.push(
                row(time: now - 1_000_000) {
                    $0.owner = Owner(uid: 1000, pid: 9, path: 1, certainty: .exact)
                    change(&$0)
                }, name, address)
        }
        add("ads.example", "0.0.0.0") {
            $0.verdict = .block
            $0.reason = .list
            $0.list = 1
            $0.match = .exact
            $0.labels = 2
            $0.count = 3
        }
        add("www.shop.example", "203.0.113.5") {
            $0.upstream = IPAddress("192.0.2.53")!
            $0.dnssec = .unchecked
            $0.latency = 20_000
        }
        add("cloaked.example", "0.0.0.0") {
            $0.verdict = .block
            $0.reason = .cname
            $0.list = 1
        }
        add("broken.example", "0.0.0.0") {
            $0.rcode = 2
            $0.reason = .failed
        }
        var flow = FlowRow()
        flow.flow = 1
        flow.time = now
        flow.remote = IPAddress("203.0.113.5")!
        flow.proto = 6
        flow.port = 443
        base.ring.push(flow, name: Name("www.shop.example")!.bytes)
        writer.stop()
    }

    @Test func everyQueryFindsSomething() throws {
        try fill()
        let block = try #require(
            page.components(separatedBy: "```sql\n").dropFirst().first?.components(separatedBy: "```").first)
        let statements = block.components(separatedBy: ";\n").map {
            $0.trimmingCharacters(in: .whitespacesAndNewlines)
        }.filter { !$0.isEmpty }
        #expect(statements.count == 10)
        for statement in statements {
            var found: [[LogValue]] = []
            try ReadOnlySQL(path: base.scratch.database).run(statement) { _ in
            } row: {
                found.append($0)
            }
            #expect(!found.isEmpty, "\(statement)")
        }
        // A row counts as often as it stands for.
        let first = try rows(base.scratch.database, String(statements[0]))
        #expect(first.first == ["ads.example", "list1", "3"])
    }

    @Test(arguments: ["queries", "flows"])
    func everyColumnIsDescribed(_ view: String) throws {
        try fill()
        let section = try #require(page.components(separatedBy: "## The view `\(view)`").dropFirst().first)
            .components(separatedBy: "\n## ")[0]
        // The first table of the section: its first column names the view's columns in their order.
        let lines = section.components(separatedBy: "\n").drop { !$0.hasPrefix("| column") }.dropFirst(2)
            .prefix { $0.hasPrefix("|") }
        let described = lines.flatMap { line -> [String] in
            line.components(separatedBy: "|")[1].components(separatedBy: ",").map {
                $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
            }
        }
        let statement = try Connection(base.scratch.database, .readOnly).prepare("SELECT * FROM \(view)")
        #expect(described == (0..<statement.columnCount).map { statement.name($0) })
    }

    @Test func everyReasonIsDescribed() {
        for reason in QueryRow.Reason.allCases where reason != .none { #expect(page.contains("`\(reason)`")) }
        for reason in FlowRow.Reason.allCases where reason != .none { #expect(page.contains("`\(reason)`")) }
        for level in QueryLogPrivacy.Level.allCases { #expect(page.contains("| `\(level.rawValue)` |")) }
    }
}
