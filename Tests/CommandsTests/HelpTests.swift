import ArgumentParser
import Testing

@testable import Commands

/// The help of every command: it has examples, and they are commands that webtun takes.
@Suite struct HelpTests {
    /// A command and the words that call it.
    struct Entry: CustomStringConvertible, Sendable {
        let words: [String]
        let type: any ParsableCommand.Type
        let isLeaf: Bool

        var description: String { words.joined(separator: " ") }
    }

    static let entries = collect(Webtun.self, [])

    static func collect(_ type: any ParsableCommand.Type, _ before: [String]) -> [Entry] {
        let configuration = type.configuration
        let words = before + [configuration.commandName ?? "\(type)".lowercased()]
        let below = configuration.subcommands + configuration.groupedSubcommands.flatMap(\.subcommands)
        return [Entry(words: words, type: type, isLeaf: below.isEmpty)] + below.flatMap { collect($0, words) }
    }

    /// The indented lines of a help text that begin with `webtun`, or what stands after `Example: ` or in `$(…)`.
    static func examples(in help: String) -> [String] {
        help.split(separator: "\n").compactMap { line -> String? in
            let text = line.drop { $0 == " " }
            if line.hasPrefix("  "), text.hasPrefix("webtun ") { return String(text) }
            if let inner = text.range(of: "$(webtun ") {
                return "webtun " + text[inner.upperBound...].prefix { $0 != ")" }
            }
            guard let mark = text.range(of: "Example: webtun ") else { return nil }
            return "webtun " + text[mark.upperBound...]
        }
    }

    /// The words of an example up to a remark (behind two spaces), a redirection or the next command.
    static func words(_ example: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var blanks = 0
        loop: for character in example {
            if let open = quote {
                if character == open { quote = nil } else { word?.append(character) }
                continue
            }
            blanks = character == " " ? blanks + 1 : 0
            switch character {
            case " " where blanks >= 2: break loop
            case " ":
                if let word { words.append(word) }
                word = nil
            case ">", "|", "&", "<": break loop
            case "'", "\"":
                quote = character
                word = word ?? ""
            default: word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words
    }

    @Test func everyCommandIsFound() {
        let names = Set(HelpTests.entries.map(\.description))
        for name in ["webtun", "webtun run", "webtun list add", "webtun rule rm", "webtun config check"] {
            #expect(names.contains(name))
        }
    }

    @Test(arguments: entries) func hasAnExampleOfItself(_ entry: Entry) {
        let help = Webtun.helpMessage(for: entry.type, columns: 1000)
        let own = HelpTests.examples(in: help).filter {
            let words = HelpTests.words($0)
            return words.starts(with: entry.words) || !entry.isLeaf && words.count > entry.words.count
        }
        #expect(!own.isEmpty, "\(help)")
    }

    @Test(arguments: entries) func examplesAreTaken(_ entry: Entry) {
        for example in HelpTests.examples(in: Webtun.helpMessage(for: entry.type, columns: 1000)) {
            // The first line of the usage shows options in brackets.
            guard !example.contains("[") && !example.contains("<") else { continue }
            let words = Array(HelpTests.words(example).dropFirst())
            guard words.first != "help" else { continue }
            #expect(throws: Never.self, "\(example)") { _ = try Webtun.parseAsRoot(words) }
        }
    }

    @Test func examplesAreReadAsAShellReadsThem() {
        #expect(HelpTests.words("webtun pause                      until webtun resume") == ["webtun", "pause"])
        #expect(HelpTests.words("webtun sql \"SELECT 1\" | head") == ["webtun", "sql", "SELECT 1"])
        #expect(HelpTests.words("webtun log --name '*.x y'") == ["webtun", "log", "--name", "*.x y"])
        #expect(HelpTests.words("webtun config check && webtun reload") == ["webtun", "config", "check"])
    }
}
