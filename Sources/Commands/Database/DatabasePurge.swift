import ArgumentParser
import QueryLog

/// `webtun db purge`
struct DatabasePurge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge", abstract: "Remove queries and flows from the log for good.",
        discussion: """
            Everything that is named must hold. Names, addresses and programs that nothing is left of go too, and their bytes
            are overwritten. A running webtun goes on filtering and logging. Patterns know * ? [a-z].

            Examples:
              webtun db purge --before 30d
              webtun db purge --before 7d --allowed       keep what was blocked
              webtun db purge --client 192.0.2.17
              webtun db purge --name '*.example' --dry-run
              webtun db purge --all
            """)

    @Flag(name: .customLong("all"), help: "Everything.")
    var all = false
    @Option(
        name: .customLong("before"),
        help: ArgumentHelp("Only what is older: 90s, 15m, 1h, 2d, 1w ago, or an ISO 8601 time.", valueName: "when"))
    var before: Since?
    @Option(name: .customLong("client"), help: ArgumentHelp("Only clients that match.", valueName: "glob"))
    var client: String?
    @Option(name: .customLong("name"), help: ArgumentHelp("Only names that match.", valueName: "glob"))
    var name: String?
    @Flag(name: .customLong("allowed"), help: "Only what was not blocked or dropped.")
    var allowed = false
    @Flag(name: .customLong("dry-run"), help: "Only count.")
    var dryRun = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        let isLimited = before != nil || client != nil || name != nil || allowed
        if !all, !isLimited {
            throw ValidationError("say what to remove: --before, --client, --name, --allowed, or --all")
        }
        if all, isLimited { throw ValidationError("--all goes with nothing else") }
    }

    func run() throws {
        let selection = PurgeSelection(
            before: before?.microseconds, client: client, name: name, onlyAllowed: allowed)
        let log = try LogDatabase(path: global.logPath)
        let bar = ProgressBar("removing", total: nil, unit: .items("rows"))
        let count = try dryRun ? log.count(selection) : log.purge(selection) { bar.update($0, total: $1) }
        bar.finish()
        if output.json {
            print(JSONValue.object([(dryRun ? "would_remove" : "removed", .integer(count))]))
        } else {
            print("\(Quantity.count(count)) \(count == 1 ? "row" : "rows") \(dryRun ? "would be removed" : "removed")")
        }
    }
}
