import ArgumentParser
import Blocklist

/// `webtun flow ls`
struct FlowLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show all flow rules, those that are asked first on top.",
        discussion: "Example: webtun flow ls --json | jq -r 'select(.port == 25) | .id'")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let rules = try store.flowRules().sorted(by: FlowRule.isAskedBefore)
        let labels = try GroupLabels(store)
        output.list(
            rules, none: "no flow rules; 'webtun flow deny' and 'webtun flow allow' make some",
            [
                .init("ID", .right), .init("ACTION"), .init("REMOTE", elastic: true), .init("PORT"), .init("PROTO"),
                .init("NAME", elastic: true), .init("APP", elastic: true), .init("USER"),
                .init("GROUPS", elastic: true), .init("ADDED"), .init("COMMENT", elastic: true),
            ],
            json: { FlowLs.json($0, labels) }
        ) { rule in
            let conditions = rule.conditions
            return [
                "\(rule.id)", Table.Cell(rule.action.rawValue, rule.action == .deny ? .red : .green),
                Table.Cell(conditions.remote?.description ?? ""), Table.Cell(FlowLs.ports(conditions) ?? ""),
                Table.Cell(conditions.proto.map(FlowProtocol.text) ?? ""), Table.Cell(FlowLs.name(conditions) ?? ""),
                Table.Cell(conditions.owner.app ?? ""), Table.Cell(conditions.owner.user ?? ""),
                Table.Cell(labels.text(rule.groups)), Table.Cell(Moment.text(rule.added)), Table.Cell(rule.comment),
            ]
        }
    }

    private static func ports(_ conditions: FlowConditions) -> String? {
        conditions.ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
    }

    private static func name(_ conditions: FlowConditions) -> String? {
        conditions.name.map { conditions.isExact ? "\($0) exact" : $0 }
    }

    /// A rule in a line, such as `deny 203.0.113.0/24 port 25 tcp`.
    static func text(_ rule: FlowRule, _ labels: GroupLabels? = nil) -> String {
        let conditions = rule.conditions
        let parts: [String?] = [
            rule.action.rawValue, conditions.remote?.description, name(conditions),
            ports(conditions).map { "port \($0)" }, conditions.proto.map(FlowProtocol.text),
            conditions.owner.app.map { "app \($0)" }, conditions.owner.user.map { "user \($0)" },
            labels?.remark(rule.groups),
        ]
        return parts.compactMap(\.self).joined(separator: " ")
    }

    static func json(_ rule: FlowRule, _ labels: GroupLabels? = nil) -> JSONValue {
        let conditions = rule.conditions
        return .object([
            ("id", .integer(Int64(rule.id))), ("action", .string(rule.action.rawValue)), ("direction", .string("out")),
            ("remote", .optional(conditions.remote?.description)), ("port", .optional(conditions.ports?.lowerBound)),
            ("port_end", .optional(conditions.ports?.upperBound)),
            ("proto", .optional(conditions.proto.map(FlowProtocol.text))), ("name", .optional(conditions.name)),
            ("match", .optional(conditions.name.map { _ in conditions.isExact ? "exact" : "suffix" })),
            ("app", .optional(conditions.owner.app)), ("user", .optional(conditions.owner.user)),
            ("uid", .optional(conditions.owner.uid)), ("groups", labels?.json(rule.groups) ?? .null),
            ("comment", .string(rule.comment)),
            ("added", .optional(Moment.iso(rule.added))),
        ])
    }
}

/// `webtun flow rm`
struct FlowRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove flow rules by id.", discussion: "Example: webtun flow rm 3 4")

    @Argument(help: ArgumentHelp("Rules, by id.", valueName: "id"))
    var ids: [String]
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let labels = try GroupLabels(store)
        for rule in try store.removeFlowRules(ids) {
            print("removed \(FlowLs.text(rule, labels))".printable)
        }
    }
}
