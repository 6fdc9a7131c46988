import ArgumentParser
import Blocklist

/// `webtun group ls`
struct GroupLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show the groups, what is in them and whether they are in force now.",
        discussion: """
            Examples:
              webtun group ls
              webtun group ls --json | jq -r 'select(.state == "on") | .name'
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let overview = try BlocklistStore(state: global.stateDirectory).overview()
        output.list(
            overview.groups, none: "no groups; 'webtun group add' makes some",
            [
                .init("GROUP", elastic: true), .init("STATE"), .init("LISTS", .right), .init("RULES", .right),
                .init("CLIENTS", .right), .init("TIMES", elastic: true), .init("COMMENT", elastic: true),
            ],
            json: { GroupLs.json($0, overview) }
        ) { group in
            let lists = overview.members(group, of: overview.lists, \.groups).count
            let rules =
                overview.members(group, of: overview.rules, \.groups).count
                + overview.members(group, of: overview.flows, \.groups).count
            let times = group.schedules.map { "\($0.id): \($0)" }.joined(separator: "; ")
            return [
                Table.Cell(group.name), GroupLs.cell(overview.states[group.id] ?? .on), "\(lists)", "\(rules)",
                "\(overview.members(group, of: overview.clients, \.groups).count)",
                Table.Cell(times.isEmpty ? "always" : times), Table.Cell(group.comment),
            ]
        }
    }

    private static func cell(_ state: GroupState) -> Table.Cell {
        switch state {
        case .on: Table.Cell("on", .green)
        case .disabled: Table.Cell("disabled", .dim)
        case .off: Table.Cell("off now", .dim)
        case .paused: Table.Cell("paused", .yellow)
        }
    }

    static func json(_ group: PolicyGroup, _ overview: PolicyOverview) -> JSONValue {
        let pause = overview.pauses.first { $0.scope == .group(group.name) }
        return .object([
            ("id", .integer(Int64(group.id))), ("name", .string(group.name)),
            ("state", .string((overview.states[group.id] ?? .on).rawValue)), ("enabled", .bool(group.enabled)),
            ("lists", .array(overview.members(group, of: overview.lists, \.groups).map { .string($0.name) })),
            ("rules", .array(overview.members(group, of: overview.rules, \.groups).map { .integer(Int64($0.id)) })),
            ("flows", .array(overview.members(group, of: overview.flows, \.groups).map { .integer(Int64($0.id)) })),
            (
                "clients",
                .array(overview.members(group, of: overview.clients, \.groups).map { .string($0.subject.text) })
            ),
            ("schedules", .array(group.schedules.map(json))), ("paused", .bool(pause != nil)),
            ("paused_until", .optional(Moment.iso(pause?.until))), ("comment", .string(group.comment)),
            ("added", .optional(Moment.iso(group.added))),
        ])
    }

    private static func json(_ schedule: GroupSchedule) -> JSONValue {
        .object([
            ("id", .integer(Int64(schedule.id))), ("days", .string("\(schedule.days)")),
            ("from", .string(ClockTime.text(schedule.from))), ("to", .string(ClockTime.text(schedule.to))),
            ("zone", .optional(schedule.zone)),
        ])
    }
}
