import ArgumentParser
import Blocklist

/// `webtun search`
struct Search: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Find a text in the names and addresses of all lists and rules.",
        discussion: """
            Disabled lists are searched too. Under the table stands how much each list has; --count shows that alone.

            Examples:
              webtun search doubleclick
              webtun search doubleclick --count
              webtun search .metrics. --limit 1000 --json
            """)

    @Argument(help: ArgumentHelp("Part of a name, in any case.", valueName: "text"))
    var text: String
    @Option(name: .customLong("limit"), help: ArgumentHelp("How many to show.", valueName: "count"))
    var limit = 50
    @Flag(name: .customLong("count"), help: "Only how much each list has.")
    var count = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit takes 1 or more") }
    }

    func run() throws {
        let result = try BlocklistStore(state: global.stateDirectory).search(text, limit: count ? 0 : limit)
        if count { return showCounts(result) }
        let hits = result.hits
        if output.json {
            for hit in hits { print(Search.json(hit, of: result.counts.first { $0.list == hit.list }?.found ?? 0)) }
        } else if !hits.isEmpty {
            var table = Table([
                .init("LIST", elastic: true), .init("LINE", .right), .init("ACTION"), .init("MATCH"),
                .init("NAME", elastic: true), .init("RULE", elastic: true),
            ])
            for hit in hits {
                let list: Table.Cell =
                    hit.list.map { Table.Cell(hit.enabled ? $0 : "\($0) (off)", hit.enabled ? nil : .dim) }
                    ?? Table.Cell("your rule", .cyan)
                table.append([
                    list, "\(hit.line)", Table.Cell(hit.action.rawValue),
                    Table.Cell(hit.isAddress ? "address" : hit.match.rawValue),
                    Table.Cell(hit.name), Table.Cell(hit.rule),
                ])
            }
            table.print()
        }
        Terminal.flush()
        if output.json { return }
        if result.total == 0 { return print("nothing has '\(text.printable)'") }
        print("\(Quantity.count(result.total)) found: \(result.counts.map(Search.text).joined(separator: ", "))")
        Terminal.flush()
        if result.total > hits.count {
            Terminal.complain("\(Quantity.count(result.total - hits.count)) more; --limit shows them")
        }
    }

    private func showCounts(_ result: SearchResult) {
        if output.json {
            for count in result.counts {
                print(
                    JSONValue.object([
                        ("list", .optional(count.list)), ("found", .integer(Int64(count.found))),
                        ("enabled", .bool(count.enabled)),
                    ]))
            }
            return
        }
        if result.total == 0 { return print("nothing has '\(text.printable)'") }
        var table = Table([.init("FOUND", .right), .init("LIST", elastic: true)])
        for count in result.counts {
            table.append([
                Table.Cell(Quantity.count(count.found)),
                count.list.map { Table.Cell(count.enabled ? $0 : "\($0) (off)", count.enabled ? nil : .dim) }
                    ?? Table.Cell("your rules", .cyan),
            ])
        }
        table.print()
    }

    private static func text(_ count: SearchResult.Count) -> String {
        let list = count.list.map { $0.printable + (count.enabled ? "" : " (off)") } ?? "your rules"
        return "\(Quantity.count(count.found)) in \(list)"
    }

    /// - Parameter found: how much its list has.
    static func json(_ hit: SearchHit, of found: Int) -> JSONValue {
        .object([
            ("name", .string(hit.name)), ("list", .optional(hit.list)), ("line", .integer(Int64(hit.line))),
            ("rule", .string(hit.rule)), ("action", .string(hit.action.rawValue)),
            ("match", .string(hit.isAddress ? "address" : hit.match.rawValue)), ("enabled", .bool(hit.enabled)),
            ("found", .integer(Int64(found))),
        ])
    }
}
