import ArgumentParser
import Blocklist

/// `webtun list update`
struct ListUpdate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Read the files of lists again.",
        discussion: """
            A file that is gone, empty or no list leaves the names as they were; 'webtun list ls' shows the reason.

            Examples:
              webtun list update                all lists
              webtun list update ads
            """)

    @Argument(help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var names: [String] = []
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let lists = try names.isEmpty ? store.lists() : names.map { try store.list($0) }
        var failed = false
        for list in lists {
            do {
                let report = try ListWork.withProgress(list.name) { try store.update("\(list.name)", progress: $0) }
                ListWork.complain(report)
                print(output.json ? ListWork.json(report).description : ListWork.summary(report, "updated"))
            } catch let error as BlocklistError {
                guard case .listRefused = error else { throw error }
                failed = true
                Terminal.complain("webtun: list '\(list.name)': \(error); its names stay as they were")
            }
        }
        try ListWork.compile(store)
        if failed { throw ExitStatus.error.exit }
    }
}

/// `webtun list enable`
struct ListEnable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "enable", abstract: "Put lists in force again.", discussion: "Example: webtun list enable ads")

    @Argument(help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var names: [String]
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try ListWork.change(names, in: global.stateDirectory, "enabled") { try $0.setEnabled(names, true) }
    }
}

/// `webtun list disable`
struct ListDisable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disable", abstract: "Put lists out of force, without removing them.",
        discussion: "Example: webtun list disable ads")

    @Argument(help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var names: [String]
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try ListWork.change(names, in: global.stateDirectory, "disabled") { try $0.setEnabled(names, false) }
    }
}

/// `webtun list rm`
struct ListRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove lists. Their files stay.", discussion: "Example: webtun list rm ads")

    @Argument(help: ArgumentHelp("Lists, by name or id.", valueName: "list"))
    var names: [String]
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try ListWork.change(names, in: global.stateDirectory, "removed") { try $0.removeLists(names) }
    }
}
