import ArgumentParser
import Blocklist

/// `webtun list diff`
struct ListDiff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Compare two lists: what is only in the one, only in the other, and in both.",
        discussion: """
            An entry is the same when its name, what it does and how it matches are the same. With --only all entries of that
            part are printed, one name a line.

            Examples:
              webtun list diff ads tracking
              webtun list diff ads tracking --limit 100 --json
              webtun list diff ads tracking --only second | wc -l
            """)

    @Argument(help: ArgumentHelp("A list's name or id.", valueName: "list"))
    var first: String
    @Argument(help: ArgumentHelp("Another list's.", valueName: "list"))
    var second: String
    @Option(
        name: .customLong("limit"),
        help: ArgumentHelp("How many names of each part to show; 0: none.", valueName: "count"))
    var limit = 10
    @Option(
        name: .customLong("only"),
        help: ArgumentHelp("Print the names of a part: first, second or both.", valueName: "part"))
    var only: DiffPart?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit >= 0 else { throw ValidationError("--limit takes 0 or more") }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let names = [try store.list(first).name, try store.list(second).name]
        var samples: [ListDifference.Part: [ListedName]] = [:]
        let difference = try ListWork.withProgress("\(names[0]) and \(names[1])") { progress in
            try store.difference(first, second, progress: progress) { part, entry in
                if let only {
                    guard part == only.part else { return }
                    print(output.json ? ListDiff.json(entry).description : entry.name)
                } else if samples[part, default: []].count < limit {
                    samples[part, default: []].append(entry)
                }
            }
        }
        if only != nil { return }
        let parts: [(ListDifference.Part, Int, String, String)] = [
            (.onlyFirst, difference.onlyFirst, "only_first", "only in '\(names[0])'"),
            (.onlySecond, difference.onlySecond, "only_second", "only in '\(names[1])'"),
            (.both, difference.both, "both", "in both"),
        ]
        if output.json {
            print(
                JSONValue.object(
                    [("first", .string(names[0])), ("second", .string(names[1]))]
                        + parts.map { ($0.2, .integer(Int64($0.1))) }
                        + parts.map { ($0.2 + "_names", .array((samples[$0.0] ?? []).map(ListDiff.json))) }))
            return
        }
        let style = Style.output
        for (part, count, _, title) in parts {
            print("\(title.printable): \(style.paint(Quantity.count(count), .bold))")
            for entry in samples[part] ?? [] { print("  " + ListDiff.text(entry).printable) }
            let rest = count - (samples[part]?.count ?? 0)
            if limit > 0, rest > 0 { print("  and \(Quantity.count(rest)) more") }
        }
    }

    static func text(_ entry: ListedName) -> String {
        let words = words(entry.kind)
        return entry.name + (words.isEmpty ? "" : " (\(words.joined(separator: ", ")))")
    }

    /// What an entry does besides blocking a name and all below it.
    static func words(_ kind: EntryKind) -> [String] {
        [
            kind.contains(.allow) ? "allow" : nil, kind.contains(.exact) ? "exact" : nil,
            kind.contains(.below) ? "below" : nil, kind.contains(.important) ? "important" : nil,
            kind.contains(.address) ? "address" : nil,
        ].compactMap(\.self)
    }

    static func json(_ entry: ListedName) -> JSONValue {
        .object([
            ("name", .string(entry.name)), ("action", .string(entry.kind.contains(.allow) ? "allow" : "deny")),
            ("match", .string(match(entry.kind))), ("important", .bool(entry.kind.contains(.important))),
        ])
    }

    static func match(_ kind: EntryKind) -> String {
        kind.contains(.address)
            ? "address" : kind.contains(.exact) ? "exact" : kind.contains(.below) ? "below" : "suffix"
    }
}

/// A part of a comparison, as an argument.
enum DiffPart: String, CaseIterable, ExpressibleByArgument {
    case first, second, both

    var part: ListDifference.Part {
        switch self {
        case .first: .onlyFirst
        case .second: .onlySecond
        case .both: .both
        }
    }
}
