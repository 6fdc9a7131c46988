import ArgumentParser
import Blocklist

/// What `allow` and `deny` take.
struct RuleArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("Names, or with --regex patterns.", valueName: "name"))
    var names: [String]
    @Flag(help: "How the rule matches.")
    var match: MatchArgument = .suffix
    @Option(
        name: [.customShort("m"), .customLong("comment")],
        help: ArgumentHelp("Why the rule is there.", valueName: "comment"))
    var comment = ""
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func set(_ action: UserRule.Action) throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let rules = try store.setRules(names.map { .init(action, match.value, $0, comment: comment) })
        for rule in rules {
            print(
                output.json
                    ? RuleLs.json(rule).description : "\(rule.action) \(rule.match) \(rule.name) (rule \(rule.id))")
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
            A rule comes before all lists. Among rules the longer name wins, and at the same length allow.

            Examples:
              webtun allow shop.example
              webtun allow --exact www.example -m "the print shop"
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
            A rule comes before all lists. Among rules the longer name wins, and at the same length allow.

            Examples:
              webtun deny games.example
              webtun deny --regex '^ads?[0-9]*\\.'
            """)

    @OptionGroup var rule: RuleArguments

    func run() throws {
        try rule.set(.deny)
    }
}
