public import ArgumentParser
public import QueryLog

/// `webtun top`
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Rank names, blocked names, programs, clients or lists by queries.",
        discussion: """
            Examples:
              webtun top blocked --since 24h
              webtun top clients --limit 5
              webtun top lists --json
            """)

    @Argument(help: "One of: names, blocked, apps, clients, lists.")
    var kind: TopKind
    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Only from then on: 90s, 15m, 1h, 2d, 1w, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @Option(name: .customLong("limit"), help: ArgumentHelp("How many.", valueName: "number"))
    var limit = 10
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit takes a positive number") }
    }

    func run() throws {
        let entries = try QueryLogReader(path: global.logPath).top(kind, since: since?.microseconds, limit: limit)
        if output.json {
            for entry in entries {
                print(
                    JSONValue.object([
                        (member, .string(entry.text)), ("queries", .integer(Int64(entry.queries))),
                        ("blocked", .integer(Int64(entry.blocked))),
                    ]))
            }
            return
        }
        var table = Table([
            .init("QUERIES", .right), .init("BLOCKED", .right), .init(member.uppercased(), elastic: true),
        ])
        for entry in entries {
            table.append([
                Table.Cell(Quantity.count(entry.queries)),
                Table.Cell(Quantity.count(entry.blocked), entry.blocked > 0 ? .red : .dim), Table.Cell(entry.text),
            ])
        }
        table.print()
    }

    /// The column of the view that is ranked.
    private var member: String {
        switch kind {
        case .names, .blocked: "qname"
        case .apps: "app"
        case .clients: "client"
        case .lists: "list"
        }
    }
}

extension TopKind: ExpressibleByArgument {}
