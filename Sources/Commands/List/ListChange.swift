import ArgumentParser
import Blocklist

/// `webtun list update`
struct ListUpdate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Read the files of lists again, and fetch those on the web.",
        discussion: """
            A list that is gone, empty, cut, a web page or much smaller than before leaves the names as they were; 'webtun
            list ls' shows the reason. A list that has not changed since is not fetched, unless with --force.

            Examples:
              webtun list update                all lists
              webtun list update ads --max-shrink 100%
              webtun list update ads
            """)

    @Argument(help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var names: [String] = []
    @Flag(name: .customLong("force"), help: "Fetch what has not changed, too.")
    var force = false
    @Option(
        name: .customLong("max-shrink"),
        help: ArgumentHelp("How many of its names a fetched list may lose this time.", valueName: "percent"))
    var maxShrink: Percent?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let lists = try names.isEmpty ? store.lists() : names.map { try store.list($0) }
        let fetcher = try ListWork.fetcher(lists.map(\.source))
        var failed = false
        for list in lists {
            do {
                let update = try ListWork.withProgress(list.name) {
                    try store.update(
                        list.name, fetcher: fetcher, force: force, maxShrink: maxShrink?.value, progress: $0)
                }
                try show(update, store)
            } catch let error as BlocklistError {
                guard case .listRefused = error else { throw error }
                failed = true
                Terminal.complain("webtun: list '\(list.name)': \(error); its names stay as they were")
            }
        }
        try ListWork.compile(store)
        if failed { throw ExitStatus.error.exit }
    }

    private func show(_ update: BlocklistStore.Update, _ store: BlocklistStore) throws {
        switch update {
        case .updated(let report):
            ListWork.complain(report)
            print(output.json ? ListWork.json(report).description : ListWork.summary(report, "updated"))
        case .unchanged(let list):
            print(
                output.json
                    ? try ListLs.json(list, GroupLabels(store)).description : "unchanged '\(list.name.printable)'")
        }
    }
}

/// `webtun list enable`
struct ListEnable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "enable", abstract: "Put lists in force again.", discussion: "Example: webtun list enable ads")

    @OptionGroup var lists: ListNames

    func run() throws {
        try lists.change("enabled") { try $0.setEnabled($1, true) }
    }
}

/// `webtun list disable`
struct ListDisable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disable", abstract: "Put lists out of force, without removing them.",
        discussion: "Example: webtun list disable ads")

    @OptionGroup var lists: ListNames

    func run() throws {
        try lists.change("disabled") { try $0.setEnabled($1, false) }
    }
}

/// `webtun list rm`
struct ListRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove lists. Their files stay.", discussion: "Example: webtun list rm ads")

    @OptionGroup var lists: ListNames

    func run() throws {
        try lists.change("removed") { try $0.removeLists($1) }
    }
}
