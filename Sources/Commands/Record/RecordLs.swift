import ArgumentParser
import Blocklist

/// `webtun record ls`
struct RecordLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show the records, all or those of names.",
        discussion: """
            Examples:
              webtun record ls
              webtun record ls nas.lan
              webtun record ls --json
            """)

    @Argument(help: ArgumentHelp("Names; without one, all.", valueName: "name"))
    var names: [String] = []
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var records = try BlocklistStore(state: global.stateDirectory).records()
        if !names.isEmpty {
            let wanted = try Set(
                names.map {
                    $0.hasPrefix("*.") ? "*." + (try DomainName(String($0.dropFirst(2))).text) : try DomainName($0).text
                })
            records.removeAll { !wanted.contains($0.name) }
        }
        output.list(
            records, none: "no records; 'webtun record add NAME ADDRESS' makes one",
            [
                .init("NAME", elastic: true), .init("TTL", .right), .init("TYPE"), .init("DATA", elastic: true),
                .init("ADDED"), .init("COMMENT", elastic: true),
            ],
            json: { RecordLs.json($0) }
        ) { record in
            [
                Table.Cell(record.name), "\(record.record.ttl)", Table.Cell("\(record.record.type)"),
                Table.Cell(record.record.text), Table.Cell(Moment.text(record.added)), Table.Cell(record.comment),
            ]
        }
    }

    /// A record in a line, as a zone file has it.
    static func text(_ record: StoredRecord) -> String {
        "\(record.name) \(record.record.ttl) \(record.record.type) \(record.record.text)"
    }

    static func json(_ record: StoredRecord) -> JSONValue {
        .object([
            ("name", .string(record.name)), ("type", .string("\(record.record.type)")),
            ("ttl", .integer(Int64(record.record.ttl))), ("data", .string(record.record.text)),
            ("comment", .string(record.comment)), ("added", .optional(Moment.iso(record.added))),
        ])
    }
}
