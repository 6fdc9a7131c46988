import ArgumentParser
import Foundation
import QueryLog

/// `webtun db size`
struct DatabaseSize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "size", abstract: "Tell how large the query log is, and how much is in it.",
        discussion: """
            Examples:
              webtun db size
              webtun db size --tables         what takes the room; reads the whole file
              webtun db size --json
            """)

    @Flag(name: .customLong("tables"), help: "Tell the tables apart; reads the whole file.")
    var tables = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let size = try LogSize(of: global.logPath, tables: tables)
        if output.json {
            print(json(size))
            return
        }
        var table = Table([.init(""), .init("", .right), .init("")])
        table.append(["file", Table.Cell(Quantity.bytes(size.fileBytes), .bold), Table.Cell(global.logPath, .dim)])
        table.append(["  free", Table.Cell(Quantity.bytes(size.freeBytes))])
        table.append(["wal", Table.Cell(Quantity.bytes(size.walBytes))])
        table.append(["queries", Table.Cell(Quantity.count(size.queries))])
        table.append(["flows", Table.Cell(Quantity.count(size.flows))])
        if let bytes = size.bytesPerRow { table.append(["bytes a row", Table.Cell(Quantity.decimal(bytes, 1))]) }
        if let oldest = size.oldest, let newest = size.newest {
            table.append(["oldest", Table.Cell(LocalTime.text(oldest))])
            table.append(["newest", Table.Cell(LocalTime.text(newest))])
        }
        table.print(header: false)
        guard tables else { return }
        var parts = Table([.init("TABLE"), .init("ROWS", .right), .init("SIZE", .right)])
        for part in size.tables {
            parts.append([
                Table.Cell(part.name), Table.Cell(Quantity.count(part.rows)), Table.Cell(Quantity.bytes(part.bytes)),
            ])
        }
        print("")
        parts.print()
    }

    private func json(_ size: LogSize) -> JSONValue {
        let time = { (microseconds: Int64?) -> JSONValue in
            .optional(microseconds.map { Date(timeIntervalSince1970: Double($0) / 1_000_000).formatted(.iso8601) })
        }
        var members: [(String, JSONValue)] = [
            ("path", .string(global.logPath)), ("bytes", .integer(size.fileBytes)),
            ("wal_bytes", .integer(size.walBytes)), ("free_bytes", .integer(size.freeBytes)),
            ("queries", .integer(size.queries)), ("flows", .integer(size.flows)),
            ("bytes_per_row", size.bytesPerRow.map(JSONValue.number) ?? .null), ("oldest", time(size.oldest)),
            ("newest", time(size.newest)),
        ]
        if tables {
            members.append(
                (
                    "tables",
                    .array(
                        size.tables.map {
                            .object([
                                ("table", .string($0.name)), ("rows", .integer($0.rows)), ("bytes", .integer($0.bytes)),
                            ])
                        })
                ))
        }
        return .object(members)
    }
}
