import ArgumentParser
import Blocklist
import Foundation

/// `webtun list ls`
struct ListLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "Show all lists.",
        discussion: """
            Examples:
              webtun list ls
              webtun list ls --json | jq -r 'select(.error) | .name'
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let lists = try store.lists()
        let labels = try GroupLabels(store)
        output.list(
            lists, none: "no lists; 'webtun list add FILE' adds one",
            [
                .init("ID", .right), .init("LIST", elastic: true), .init("KIND"), .init("STATE"),
                .init("NAMES", .right), .init("REFUSED", .right), .init("FORMAT"), .init("GROUPS", elastic: true),
                .init("UPDATED"),
                .init("SOURCE", elastic: true),
            ],
            json: { ListLs.json($0, labels) }
        ) { list in
            let state: Table.Cell =
                list.error != nil
                ? Table.Cell("update failed", .red) : list.enabled ? Table.Cell("on", .green) : Table.Cell("off", .dim)
            return [
                "\(list.id)", Table.Cell(list.name), Table.Cell(ListLs.kind(list)), state,
                Table.Cell(Quantity.count(list.entries)),
                Table.Cell(Quantity.count(list.refused), list.refused > 0 ? .yellow : nil),
                Table.Cell(list.detected ?? list.format), Table.Cell(labels.text(list.groups)),
                Table.Cell(Moment.text(list.updated)),
                Table.Cell(list.source),
            ]
        }
        if output.json { return }
        Terminal.flush()
        for list in lists {
            guard let error = list.error else { continue }
            Terminal.complain(
                "webtun: list '\(list.name)': last update failed: \(list.source): \(error); the names of "
                    + "\(Moment.text(list.updated)) stay in force")
        }
    }

    static func kind(_ list: BlockList) -> String {
        (list.allow ? "allow" : "deny") + (list.exact ? " exact" : "") + (list.records ? " records" : "")
    }

    static func json(_ list: BlockList, _ labels: GroupLabels) -> JSONValue {
        .object([
            ("id", .integer(Int64(list.id))), ("name", .string(list.name)), ("source", .string(list.source)),
            ("format", .string(list.format)), ("detected", .optional(list.detected)),
            ("action", .string(list.allow ? "allow" : "deny")), ("match", .string(list.exact ? "exact" : "suffix")),
            ("records", .bool(list.records)), ("enabled", .bool(list.enabled)), ("lines", .integer(Int64(list.lines))),
            ("names", .integer(Int64(list.entries))), ("skipped", .integer(Int64(list.skipped))),
            ("refused", .integer(Int64(list.refused))), ("added", .optional(Moment.iso(list.added))),
            ("updated", .optional(Moment.iso(list.updated))), ("checked", .optional(Moment.iso(list.checked))),
            ("error", .optional(list.error)), ("every", .optional(list.every)),
            ("due", .optional(Moment.iso(list.due))), ("groups", labels.json(list.groups)),
        ])
    }
}

/// Points in time for people and for JSON.
enum Moment {
    /// `2026-11-24T08:01:02Z`; nil for nil. Takes microseconds since 1970, UTC.
    static func iso(_ microseconds: Int64?) -> String? {
        microseconds.map { Date(timeIntervalSince1970: Double($0) / 1_000_000).formatted(.iso8601) }
    }

    /// `2026-11-24 08:01`, or `never`.
    static func text(_ microseconds: Int64?) -> String {
        iso(microseconds).map { String($0.prefix(16)).replacingOccurrences(of: "T", with: " ") } ?? "never"
    }
}
