import ArgumentParser
import Blocklist

/// Lists and rules that exist.
struct MemberArguments: ParsableArguments {
    @Option(
        name: .customLong("list"), parsing: .upToNextOption,
        help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var lists: [String] = []
    @Option(
        name: .customLong("rule"), parsing: .upToNextOption,
        help: ArgumentHelp("Rules on names, by id ('webtun rule ls').", valueName: "id"))
    var rules: [Int32] = []
    @Option(
        name: .customLong("flow"), parsing: .upToNextOption,
        help: ArgumentHelp("Flow rules, by id ('webtun flow ls').", valueName: "id"))
    var flows: [Int32] = []

    func validate() throws {
        guard !lists.isEmpty || !rules.isEmpty || !flows.isEmpty else {
            throw ValidationError("name lists, rules or flow rules with --list, --rule or --flow")
        }
    }

    var members: BlocklistStore.GroupMembers { .init(lists: lists, rules: rules, flows: flows) }

    /// What they are, for people.
    var text: String {
        let parts = lists.map { "list '\($0)'" } + rules.map { "rule \($0)" } + flows.map { "flow rule \($0)" }
        return parts.joined(separator: ", ").printable
    }
}

/// `webtun group assign`
struct GroupAssign: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "assign", abstract: "Let lists and rules belong to a group.",
        discussion: """
            They stay in the groups that they belong to already, also in 'default', unless with --only. Clients, users and
            programs are assigned with 'webtun client'.

            Examples:
              webtun group assign kids --list games videos --rule 7
              webtun group assign kids --list games --only
            """)

    @Argument(help: ArgumentHelp("The group.", valueName: "group"))
    var name: String
    @OptionGroup var members: MemberArguments
    @Flag(name: .customLong("only"), help: "To this group and no other.")
    var isOnly = false
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try BlocklistStore(state: global.stateDirectory).assign(members.members, to: name, isOnly ? .only : .add)
        print("\(members.text): in group '\(name.printable)'\(isOnly ? " alone" : "")")
    }
}

/// `webtun group unassign`
struct GroupUnassign: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unassign", abstract: "Take lists and rules out of a group; they must be in another one.",
        discussion: "Example: webtun group unassign default --list games")

    @Argument(help: ArgumentHelp("The group.", valueName: "group"))
    var name: String
    @OptionGroup var members: MemberArguments
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try BlocklistStore(state: global.stateDirectory).assign(members.members, to: name, .remove)
        print("\(members.text): no longer in group '\(name.printable)'")
    }
}
