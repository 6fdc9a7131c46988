import ArgumentParser
import Blocklist
import Daemon
import Glibc

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
            \(SafeSearchOn.defaultFile).

            Examples:
              webtun safesearch on
              webtun safesearch on google duckduckgo
              webtun safesearch on youtube:moderate
              webtun safesearch on --engines my-engines.safesearch
            """)

    static let defaultFile = Configuration().lists.starter + "/" + BlocklistStore.safeSearchFile

    @Argument(help: ArgumentHelp("Engines, each perhaps with a level: youtube:moderate.", valueName: "engine"))
    var engines: [String] = []
    @Option(
        name: .customLong("engines"), help: ArgumentHelp("A file of search engines.", valueName: "file"),
        completion: .file())
    var file: String?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        if let file {
            try store.loadSafeSearch(file)
        } else if try store.safeSearch().engines.isEmpty, unsafe access(SafeSearchOn.defaultFile, F_OK) == 0 {
            try store.loadSafeSearch(SafeSearchOn.defaultFile)
        }
        try store.setSafeSearch(true, engines)
        try SafeSearchLs.report(store, output)
    }
}

/// `webtun safesearch off`
struct SafeSearchOff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "off", abstract: "Stop to enforce it, of all engines or of some.",
        discussion: """
            Examples:
              webtun safesearch off
              webtun safesearch off youtube
            """)

    @Argument(help: ArgumentHelp("Engines; without one, all.", valueName: "engine"))
    var engines: [String] = []
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        try store.setSafeSearch(false, engines)
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
        let state = try BlocklistStore(state: global.stateDirectory).safeSearch()
        if output.json {
            for engine in state.engines { print(SafeSearchLs.json(engine, state)) }
            return
        }
        if state.engines.isEmpty {
            print("no search engine is known; 'webtun safesearch on --engines FILE' reads them")
            return
        }
        var table = Table([
            .init("ENGINE"), .init("SAFE SEARCH"), .init("LEVELS"), .init("NAMES", .right),
            .init("DOCUMENTED AT", elastic: true),
        ])
        for engine in state.engines {
            let level = state.levels[engine.name]
            table.append([
                Table.Cell(engine.name), Table.Cell(level ?? "off", level == nil ? .dim : .green),
                Table.Cell(engine.targets.map(\.level).joined(separator: " ")), "\(engine.names.count)",
                Table.Cell(engine.source),
            ])
        }
        table.print()
    }

    /// One line, or one object an engine, after a switch was set.
    static func report(_ store: BlocklistStore, _ output: OutputOptions) throws {
        let state = try store.safeSearch()
        if output.json {
            for engine in state.engines { print(json(engine, state)) }
            return
        }
        let words = state.engines.compactMap { engine in
            state.levels[engine.name].map { engine.targets.count > 1 ? "\(engine.name) (\($0))" : engine.name }
        }
        print(words.isEmpty ? "safe search is off" : "safe search is on: \(words.joined(separator: ", "))".printable)
    }

    private static func json(_ engine: SearchEngine, _ state: SafeSearchState) -> JSONValue {
        .object([
            ("engine", .string(engine.name)), ("on", .bool(state.levels[engine.name] != nil)),
            ("level", .optional(state.levels[engine.name])),
            ("levels", .array(engine.targets.map { .string($0.level) })),
            (
                "targets",
                .object(engine.targets.map { ($0.level, .array($0.values.map { .string($0) })) })
            ),
            ("names", .array(engine.names.map { .string($0) })), ("source", .string(engine.source)),
        ])
    }
}
