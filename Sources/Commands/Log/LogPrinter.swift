import QueryLog

/// Prints rows as they come: a table whose columns keep their place, JSON or CSV.
struct LogPrinter {
    private let output: LogOutputOptions
    private var table = GrowingTable([
        .init("TIME"), .init("CLIENT", elastic: true, minimum: 9), .init("", elastic: false),
        .init("TYPE"), .init("NAME", elastic: true, minimum: 16), .init("WHY", elastic: true, minimum: 6),
        .init("ANSWER", elastic: true, minimum: 8), .init("TOOK", .right),
    ])
    private var hasCSVTitles = false

    /// - Parameter isLive: rows come one by one, so columns begin as wide as most rows need them.
    init(_ output: LogOutputOptions, isLive: Bool = false) {
        self.output = output
        if isLive { table.reserve([18, 15, 5, 5, 32, 10, 24, 8]) }
    }

    mutating func add(_ row: LoggedQuery) {
        if output.json {
            print(JSONValue.object(LogPrinter.members(row)))
        } else if output.csv {
            let members = LogPrinter.members(row)
            if !hasCSVTitles { print(CSV.line(members.map(\.0))) }
            hasCSVTitles = true
            print(CSV.line(members))
        } else {
            table.append(LogPrinter.cells(row))
        }
    }

    /// Prints what was added.
    mutating func flush() {
        table.flush()
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
        let client = [row.client, row.app?.split(separator: "/").last.map(String.init)].compactMap(\.self).joined(
            separator: " ")
        let name =
            (row.qname.isEmpty ? "-" : row.qname) + (row.count > 1 ? " (\(Quantity.count(row.count)) times)" : "")
        return [
            Table.Cell(LocalTime.text(row.microseconds), .dim), Table.Cell(client), Table.Cell(mark, ink),
            Table.Cell(row.qtype), Table.Cell(name, row.verdict == "block" ? .red : nil), Table.Cell(why),
            Table.Cell(answer, row.rcode == "SERVFAIL" || row.rcode == nil ? .yellow : .dim),
            Table.Cell(row.latency.map(Quantity.latency) ?? ""),
        ]
    }

    private static func members(_ row: LoggedQuery) -> [(String, JSONValue)] {
        [
            ("id", .integer(row.id)), ("time", .string(row.time)), ("client", .optional(row.client)),
            ("uid", .optional(row.uid)), ("pid", .optional(row.pid)), ("app", .optional(row.app)),
            ("link", .optional(row.link)), ("transport", .string(row.transport)),
            ("qname", .optional(row.qname.isEmpty ? nil : row.qname)),
            ("qtype", .string(row.qtype)), ("verdict", .string(row.verdict)), ("reason", .optional(row.reason)),
            ("list", .optional(row.list)), ("rule", .optional(row.rule)), ("rcode", .optional(row.rcode)),
            ("answer", .optional(row.answer)), ("upstream", .optional(row.upstream)), ("cached", .bool(row.cached)),
            ("dnssec", .optional(row.dnssec)), ("latency_us", .optional(row.latency)),
            ("count", .integer(row.count)), ("certainty", .optional(row.certainty)),
        ]
    }
}
