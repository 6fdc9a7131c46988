public import ArgumentParser
public import QueryLog

/// `webtun top`
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Rank names, blocked names, programs, clients, lists or upstreams by queries.",
        discussion: """
            Names, programs and clients are counted as far back as the log has rows, lists and upstreams as far as it keeps
            its hourly sums. Upstreams are counted when they were asked; answers of the cache are not theirs.

            Examples:
              webtun top blocked --since 24h
              webtun top upstreams --since 1h
              webtun top clients --limit 5
              webtun top lists --json
            """)

    @Argument(help: "One of: names, blocked, apps, clients, lists, upstreams.")
    var kind: TopKind
    @OptionGroup var times: TimeOptions
    @Option(name: .customLong("limit"), help: ArgumentHelp("How many.", valueName: "number"))
    var limit = 10
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: LogOutputOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit takes a positive number") }
    }

    func run() throws {
        let entries = try QueryLogReader(path: global.logPath).top(
            kind, since: times.since?.microseconds, until: times.until?.microseconds, limit: limit)
        if output.json || output.csv {
            if output.csv { print(CSV.line(members(TopEntry(text: "", queries: 0, blocked: 0)).map(\.0))) }
            for entry in entries {
                print(output.csv ? CSV.line(members(entry)) : JSONValue.object(members(entry)).description)
            }
            return
        }
        let second = kind == .upstreams ? "MEAN" : "BLOCKED"
        var table = Table([
            .init("QUERIES", .right), .init(second, .right), .init(member.uppercased(), elastic: true),
        ])
        for entry in entries {
            table.append([
                Table.Cell(Quantity.count(entry.queries)),
                kind == .upstreams
                    ? Table.Cell(entry.meanLatency.map(Quantity.latency) ?? "")
                    : Table.Cell(Quantity.count(entry.blocked), entry.blocked > 0 ? .red : .dim),
                Table.Cell(entry.text),
            ])
        }
        table.print()
    }

    private func members(_ entry: TopEntry) -> [(String, JSONValue)] {
        [
            (member, .string(entry.text)), ("queries", .integer(Int64(entry.queries))),
            kind == .upstreams
                ? ("mean_latency_us", .optional(entry.meanLatency)) : ("blocked", .integer(Int64(entry.blocked))),
        ]
    }

    /// The column of the view that is ranked.
    private var member: String {
        switch kind {
        case .names, .blocked: "qname"
        case .apps: "app"
        case .clients: "client"
        case .lists: "list"
        case .upstreams: "upstream"
        }
    }
}

extension TopKind: ExpressibleByArgument {}
