import ArgumentParser
import Blocklist

/// `webtun rule`
struct RuleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rule",
        abstract: "Show, remove and take back the rules made with 'allow' and 'deny'.",
        discussion: """
            Examples:
              webtun rule ls
              webtun rule rm games.example
              webtun rule rm 7
              webtun rule undo
            """,
        subcommands: [RuleLs.self, RuleRemove.self, RuleUndoCommand.self])
}

/// `webtun rule ls`
struct RuleLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show all rules.",
        discussion: """
            Examples:
              webtun rule ls
              webtun rule ls --json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let rules = try store.rules()
        let labels = try GroupLabels(store)
        output.list(
            rules, none: "no rules; 'webtun deny NAME' and 'webtun allow NAME' make some",
            [
                .init("ID", .right), .init("ACTION"), .init("MATCH"), .init("NAME", elastic: true),
                .init("APP", elastic: true), .init("USER"), .init("GROUPS", elastic: true), .init("ADDED"),
                .init("COMMENT", elastic: true),
            ],
            json: { RuleLs.json($0, labels) }
        ) { rule in
            [
                "\(rule.id)", Table.Cell(rule.action.rawValue, rule.action == .deny ? .red : .green),
                Table.Cell(rule.match.rawValue), Table.Cell(rule.name),
                Table.Cell(rule.owner.app ?? ""), Table.Cell(rule.owner.user ?? ""),
                Table.Cell(labels.text(rule.groups)),
                Table.Cell(Moment.text(rule.added)),
                Table.Cell(rule.comment),
            ]
        }
    }

    /// A rule in a line, such as `deny suffix games.example user alice`.
    static func text(_ rule: UserRule, _ labels: GroupLabels) -> String {
        let parts: [String?] = [
            "\(rule.action) \(rule.match) \(rule.name)", rule.owner.app.map { "app \($0)" },
            rule.owner.user.map { "user \($0)" }, labels.remark(rule.groups),
        ]
        return parts.compactMap(\.self).joined(separator: " ")
    }

    static func json(_ rule: UserRule, _ labels: GroupLabels) -> JSONValue {
        .object([
            ("id", .integer(Int64(rule.id))), ("action", .string(rule.action.rawValue)),
            ("match", .string(rule.match.rawValue)), ("name", .string(rule.name)), ("comment", .string(rule.comment)),
            ("app", .optional(rule.owner.app)), ("user", .optional(rule.owner.user)),
            ("uid", .optional(rule.owner.uid)), ("groups", labels.json(rule.groups)),
            ("added", .optional(Moment.iso(rule.added))),
        ])
    }
}

/// `webtun rule rm`
struct RuleRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove rules.",
        discussion: """
            By id, or by name: then all rules of that name.

            Examples:
              webtun rule rm games.example
              webtun rule rm 7 12
            """)

    @Argument(help: ArgumentHelp("Rules, by id or name.", valueName: "rule"))
    var rules: [String]
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let labels = try GroupLabels(store)
        for rule in try store.removeRules(rules) {
            print("removed \(RuleLs.text(rule, labels))".printable)
        }
    }
}
