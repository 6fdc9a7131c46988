import ArgumentParser
import Glibc
import QueryLog

/// `webtun log`
struct LogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "Show the queries that were answered, oldest first.",
        discussion: """
            Times are local in tables and UTC in JSON, whose members are the columns of the view `queries`.

            Examples:
              webtun log                              the last 50
              webtun log -f --blocked                 follow what is blocked
              webtun log --name '*.example' --since 1h
              webtun log --limit 1000 --json | jq -r .qname | sort | uniq -c
            """)

    @Flag(name: [.customShort("f"), .customLong("follow")], help: "Go on with new queries until interrupted.")
    var follow = false
    @Flag(name: .customLong("blocked"), help: "Only blocked queries.")
    var blocked = false
    @Flag(name: .customLong("allowed"), help: "Only queries that were not blocked.")
    var allowed = false
    @Option(
        name: .customLong("name"), help: ArgumentHelp("Only names that match: * ? [a-z].", valueName: "glob"))
    var name: String?
    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Only from then on: 90s, 15m, 1h, 2d, 1w, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @Option(name: .customLong("limit"), help: ArgumentHelp("The last so many; 0: all.", valueName: "number"))
    var limit: Int?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    /// Milliseconds between two looks for new rows.
    private static let interval = 200

    func validate() throws {
        if blocked, allowed { throw ValidationError("--blocked and --allowed exclude each other") }
        if let limit, limit < 0 { throw ValidationError("--limit takes 0 or a positive number") }
    }

    func run() async throws {
        var filter = LogFilter(
            verdicts: blocked ? .blocked : allowed ? .allowed : nil, name: name, since: since?.microseconds)
        filter.limit = limit ?? (since == nil ? (follow ? 10 : 50) : nil)
        if filter.limit == 0 { filter.limit = nil }
        var reader = try QueryLogReader(path: global.logPath)
        var printer = LogPrinter(json: output.json)
        // Rows that come while the first ones are printed have higher ids.
        var last = try reader.lastID()
        try reader.rows(filter) { row in
            last = max(last, row.id)
            printer.add(row)
        }
        printer.flush()
        guard follow else { return }
        filter.limit = nil
        while true {
            try await Task.sleep(for: .milliseconds(LogCommand.interval))
            if reader.hasMoved, let other = try? QueryLogReader(path: global.logPath) {
                reader = other
                last = 0
            }
            filter.after = last
            let newest = try reader.lastID()
            try reader.rows(filter) { printer.add($0) }
            last = max(last, newest)
            printer.flush()
        }
    }
}

/// Prints rows of the log, aligned to the terminal as it is at the moment.
struct LogPrinter {
    private let json: Bool
    private var table = Table([
        .init("TIME"), .init("CLIENT", elastic: true, minimum: 9), .init("", elastic: false),
        .init("TYPE"), .init("NAME", elastic: true, minimum: 16), .init("WHY", elastic: true, minimum: 6),
        .init("ANSWER", elastic: true, minimum: 8), .init("TOOK", .right),
    ])
    private var hasTitles = false

    init(json: Bool) {
        self.json = json
    }

    mutating func add(_ row: LoggedQuery) {
        if json {
            print(LogPrinter.json(row))
            return
        }
        table.append(LogPrinter.cells(row))
        // A long log is printed as it is read; columns only grow.
        if table.rows.count >= 1000 { flush() }
    }

    /// Prints what was added.
    mutating func flush() {
        if !table.rows.isEmpty {
            table.print(header: !hasTitles)
            hasTitles = true
            table.removeRows()
        }
        Terminal.flush()
    }

    private static func cells(_ row: LoggedQuery) -> [Table.Cell] {
        let (mark, ink): (String, Style.Ink?) =
            switch row.verdict {
            case "block": ("block", .red)
            case "allow": ("allow", .green)
            default: (row.cached ? "cache" : "pass", .dim)
            }
        let why = row.list ?? (row.reason == "rule" ? "rule" : row.reason) ?? ""
        let answer = row.answer ?? (row.rcode == "NOERROR" ? "" : row.rcode ?? "no answer")
        return [
            Table.Cell(LocalTime.text(row.microseconds), .dim), Table.Cell(row.client ?? ""), Table.Cell(mark, ink),
            Table.Cell(row.qtype), Table.Cell(row.qname, row.verdict == "block" ? .red : nil), Table.Cell(why),
            Table.Cell(answer, .dim), Table.Cell(row.latency.map(Quantity.latency) ?? ""),
        ]
    }

    private static func json(_ row: LoggedQuery) -> JSONValue {
        .object([
            ("id", .integer(row.id)), ("time", .string(row.time)), ("client", .optional(row.client)),
            ("uid", .optional(row.uid)), ("pid", .optional(row.pid)), ("app", .optional(row.app)),
            ("link", .optional(row.link)), ("transport", .string(row.transport)),
            ("qname", .optional(row.qname.isEmpty ? nil : row.qname)),
            ("qtype", .string(row.qtype)), ("verdict", .string(row.verdict)), ("reason", .optional(row.reason)),
            ("list", .optional(row.list)), ("rule", .optional(row.rule)), ("rcode", .optional(row.rcode)),
            ("answer", .optional(row.answer)), ("upstream", .optional(row.upstream)), ("cached", .bool(row.cached)),
            ("dnssec", .optional(row.dnssec)), ("latency_us", .optional(row.latency)),
            ("count", .integer(row.count)), ("certainty", .optional(row.certainty)),
        ])
    }
}
