import ArgumentParser
import Blocklist

/// `webtun search`
struct Search: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Find a text in the names and addresses of all lists and rules.",
        discussion: """
            Disabled lists are searched too.

            Examples:
              webtun search doubleclick
              webtun search .metrics. --limit 1000 --json
            """)

    @Argument(help: ArgumentHelp("Part of a name, in any case.", valueName: "text"))
    var text: String
    @Option(name: .customLong("limit"), help: ArgumentHelp("How many to show.", valueName: "count"))
    var limit = 50
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit takes 1 or more") }
    }

    func run() throws {
        let (hits, total) = try BlocklistStore(state: global.stateDirectory).search(text, limit: limit)
        if output.json {
            for hit in hits { print(Search.json(hit)) }
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
        if total == 0 && !output.json { print("nothing has '\(text.printable)'") }
        if total > hits.count {
            Terminal.complain("\(Quantity.count(total - hits.count)) more; --limit shows them")
        }
    }

    static func json(_ hit: SearchHit) -> JSONValue {
        .object([
            ("name", .string(hit.name)), ("list", .optional(hit.list)), ("line", .integer(Int64(hit.line))),
            ("rule", .string(hit.rule)), ("action", .string(hit.action.rawValue)),
            ("match", .string(hit.isAddress ? "address" : hit.match.rawValue)), ("enabled", .bool(hit.enabled)),
        ])
    }
}
