import ArgumentParser
import Blocklist
import Daemon

/// `webtun safesearch`
struct SafeSearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "safesearch",
        abstract: "Enforce the safe search of search engines.",
        discussion: """
            The names of an engine lead to the address under which it filters what it finds, as the engine documents it. Lists
            and rules that block a name come first; in a pause nothing is enforced. A running webtun follows within a second.

            Examples:
              webtun safesearch on
              webtun safesearch on google bing youtube:moderate
              webtun safesearch on --group kids
              webtun safesearch off youtube
              webtun safesearch ls
            """,
        subcommands: [SafeSearchOn.self, SafeSearchOff.self, SafeSearchLs.self])
}

/// `webtun safesearch on`
struct SafeSearchOn: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "on", abstract: "Enforce it, of all engines or of some.",
        discussion: """
            The data of the engines is read from the file given, else it is what was read before, else
            \(Configuration().lists.starter)/\(BlocklistStore.safeSearchFile). Without --group it is for the group 'default': who is in no other.

            Examples:
              webtun safesearch on
              webtun safesearch on google duckduckgo
              webtun safesearch on youtube:moderate
              webtun safesearch on --group kids --group guests
              webtun safesearch on --engines my-engines.safesearch
            """)

    @Argument(help: ArgumentHelp("Engines, each perhaps with a level: youtube:moderate.", valueName: "engine"))
    var engines: [String] = []
    @Option(
        name: .customLong("engines"), help: ArgumentHelp("A file of search engines.", valueName: "file"),
        completion: .file())
    var file: String?
    @OptionGroup var groups: GroupArguments
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        try store.loadSafeSearch(file, orStarter: Configuration().lists.starter)
        try store.setSafeSearch(true, engines, groups: groups.groups)
        try SafeSearchLs.report(store, output)
    }
}

/// `webtun safesearch off`
struct SafeSearchOff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "off", abstract: "Stop to enforce it, of all engines or of some.",
        discussion: """
            Without --group for everybody.

            Examples:
              webtun safesearch off
              webtun safesearch off youtube
              webtun safesearch off --group guests
            """)

    @Argument(help: ArgumentHelp("Engines; without one, all.", valueName: "engine"))
    var engines: [String] = []
    @OptionGroup var groups: GroupArguments
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        try store.setSafeSearch(false, engines, groups: groups.groups)
        try SafeSearchLs.report(store, output)
    }
}

/// `webtun safesearch ls`
struct SafeSearchLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Show the engines, and which are enforced.",
        discussion: """
            Examples:
              webtun safesearch ls
              webtun safesearch ls --json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let state = try store.safeSearch()
        let labels = try GroupLabels(store)
        output.list(
            state.engines, none: "no search engine is known; 'webtun safesearch on --engines FILE' reads them",
            [
                .init("ENGINE"), .init("SAFE SEARCH", elastic: true), .init("LEVELS"), .init("NAMES", .right),
                .init("DOCUMENTED AT", elastic: true),
            ],
            json: { SafeSearchLs.json($0, state, labels) }
        ) { engine in
            let word = SafeSearchLs.word(engine, state, labels)
            return [
                Table.Cell(engine.name), Table.Cell(word ?? "off", word == nil ? .dim : .green),
                Table.Cell(engine.targets.map(\.level).joined(separator: " ")), "\(engine.names.count)",
                Table.Cell(engine.source),
            ]
        }
    }

    /// `moderate`, or `strict for kids, moderate for default`; nil when it is off.
    private static func word(_ engine: SearchEngine, _ state: SafeSearchState, _ labels: GroupLabels) -> String? {
        let own = state.switches.filter { $0.engine == engine.name }
        if own.isEmpty { return nil }
        if own.count == 1, own[0].group == 0 { return own[0].level }
        return own.map { "\($0.level) for \(labels.name($0.group))" }.joined(separator: ", ")
    }

    /// One line, or one object an engine, after a switch was set.
    static func report(_ store: BlocklistStore, _ output: OutputOptions) throws {
        let state = try store.safeSearch()
        let labels = try GroupLabels(store)
        if output.json {
            for engine in state.engines { print(json(engine, state, labels)) }
            return
        }
        let words = state.engines.compactMap { engine -> String? in
            guard let word = word(engine, state, labels) else { return nil }
            return engine.targets.count == 1 && word == engine.targets[0].level
                ? engine.name : "\(engine.name) (\(word))"
        }
        print(words.isEmpty ? "safe search is off" : "safe search is on: \(words.joined(separator: ", "))".printable)
    }

    private static func json(_ engine: SearchEngine, _ state: SafeSearchState, _ labels: GroupLabels) -> JSONValue {
        let own = state.switches.filter { $0.engine == engine.name }
        return .object([
            ("engine", .string(engine.name)), ("on", .bool(!own.isEmpty)),
            ("groups", .object(own.map { (labels.name($0.group), .string($0.level)) })),
            ("levels", .array(engine.targets.map { .string($0.level) })),
            ("targets", .object(engine.targets.map { ($0.level, .array($0.values.map { .string($0) })) })),
            ("names", .array(engine.names.map { .string($0) })), ("source", .string(engine.source)),
        ])
    }
}
