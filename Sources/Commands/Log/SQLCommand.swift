import ArgumentParser
import QueryLog

/// `webtun sql`
struct SQLCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sql",
        abstract: "Ask the query log in SQL; it cannot be changed.",
        discussion: """
            The view `queries` has the columns id, time, client, uid, pid, app, link, transport, qname, qtype, verdict,
            reason, list, rule, rcode, answer, upstream, cached, dnssec, latency_us. The view `hours` counts queries by hour,
            also after their rows are gone: hour, verdict, reason, list, rcode, upstream, cached, dnssec, queries,
            mean_latency_us.

            Examples:
              webtun sql "SELECT verdict, count(*) FROM queries GROUP BY 1"
              webtun sql "SELECT qname, count(*) AS n FROM queries WHERE verdict = 'block' GROUP BY 1 ORDER BY n DESC LIMIT 10"
              webtun sql --csv "SELECT hour, sum(queries) FROM hours GROUP BY 1" > hours.csv
              webtun sql --json "SELECT * FROM queries ORDER BY id DESC LIMIT 1"
            """)

    @Argument(help: "One SELECT statement.")
    var statement: String
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: LogOutputOptions

    func run() throws {
        let log = try ReadOnlySQL(path: global.logPath)
        var names: [String] = []
        var table = Table([])
        var isFirst = true
        try log.run(statement) { columns in
            names = columns
            if output.csv { print(CSV.line(columns)) }
        } row: { values in
            if output.json {
                print(JSONValue.object(zip(names, values.map(SQLCommand.json)).map { ($0, $1) }))
                return
            }
            if output.csv {
                print(CSV.line(values.map(SQLCommand.text)))
                return
            }
            if isFirst {
                isFirst = false
                table = Table(
                    zip(names, values).map { .init($0.uppercased(), $1.isNumber ? .right : .left, elastic: true) })
            }
            table.append(values.map { Table.Cell(SQLCommand.text($0)) })
        }
        if !isFirst { table.print() }
    }

    private static func json(_ value: LogValue) -> JSONValue {
        switch value {
        case .null: .null
        case .integer(let number): .integer(number)
        case .real(let number): .number(number)
        case .text(let text): .string(text)
        case .blob(let bytes): .string(hex(bytes))
        }
    }

    private static func text(_ value: LogValue) -> String {
        switch value {
        case .null: ""
        case .integer(let number): String(number)
        case .real(let number): String(number)
        case .text(let text): text
        case .blob(let bytes): "x'\(hex(bytes))'"
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension LogValue {
    var isNumber: Bool {
        switch self {
        case .integer, .real: true
        default: false
        }
    }
}
