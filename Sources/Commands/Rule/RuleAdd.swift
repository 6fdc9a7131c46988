import ArgumentParser
import Blocklist

/// What `allow` and `deny` take.
struct RuleArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "Names, or with --regex patterns. With --app or --user none: every name.", valueName: "name"))
    var names: [String] = []
    @Flag(help: "How the rule matches.")
    var match: MatchArgument = .suffix
    @Option(
        name: [.customShort("m"), .customLong("comment")],
        help: ArgumentHelp("Why the rule is there.", valueName: "comment"))
    var comment = ""
    @OptionGroup var owner: OwnerArguments
    @OptionGroup var groups: GroupArguments
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard names.isEmpty else { return }
        guard owner.app != nil || owner.user != nil else {
            throw ValidationError("Missing expected argument '<name> ...'")
        }
        guard match == .suffix else { throw ValidationError("--\(match.rawValue) needs a name") }
    }

    func set(_ action: UserRule.Action) throws {
        let owner = try owner.owner
        let names = names.isEmpty ? [UserRule.everyName] : names
        let store = try BlocklistStore(state: global.stateDirectory)
        let rules = try store.setRules(
            names.map { .init(action, match.value, $0, comment: comment, owner: owner, groups: groups.groups) })
        let labels = try GroupLabels(store)
        for rule in rules {
            print(
                output.json
                    ? RuleLs.json(rule, labels).description
                    : "\(RuleLs.text(rule, labels)) (rule \(rule.id))".printable)
        }
    }
}

enum MatchArgument: String, EnumerableFlag {
    case exact
    case suffix
    case regex

    static func help(for value: MatchArgument) -> ArgumentHelp? {
        switch value {
        case .exact: "The name alone."
        case .suffix: "The name and everything below it."
        case .regex: "Every name in which the regular expression is found."
        }
    }

    var value: UserRule.Match {
        switch self {
        case .exact: .exact
        case .suffix: .suffix
        case .regex: .regex
        }
    }
}

/// `webtun allow`
struct Allow: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Allow names, whatever the lists say.",
        discussion: """
            A rule comes before all lists. Among rules those for a program or user win, then the longer name, and at the same
            length allow.

            Examples:
              webtun allow shop.example
              webtun allow --exact www.example -m "the print shop"
              webtun allow updates.example --app apt
            """)

    @OptionGroup var rule: RuleArguments

    func run() throws {
        try rule.set(.allow)
    }
}

/// `webtun deny`
struct Deny: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Block names.",
        discussion: """
            A rule comes before all lists. Among rules those for a program or user win, then the longer name, and at the same
            length allow.

            Examples:
              webtun deny games.example
              webtun deny --regex '^ads?[0-9]*\\.'
              webtun deny videos.example --user alice
              webtun deny --app telemetryd
              webtun deny games.example --group kids
            """)

    @OptionGroup var rule: RuleArguments

    func run() throws {
        try rule.set(.deny)
    }
}
