import ArgumentParser
import Blocklist

/// A format of lists; `auto`: guessed from the file.
struct FormatArgument: ExpressibleByArgument {
    /// nil: guessed.
    var format: ListFormat?

    init(_ format: ListFormat? = nil) {
        self.format = format
    }

    init?(argument: String) {
        if argument == "auto" { return }
        guard let format = ListFormat(rawValue: argument) else { return nil }
        self.format = format
    }

    static var allValueStrings: [String] { ["auto"] + ListFormat.allCases.map(\.rawValue) }

    var defaultValueDescription: String { format?.rawValue ?? "auto" }
}

/// `webtun list add`
struct ListAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add a list from a file or from the web.",
        discussion: """
            A file is read once; 'webtun list update' reads it again. A list on the web (http, https) is fetched now, and
            by the running daemon again and again. Lines that cannot be taken are told with file, line and reason; the
            others count. What holds no names, or is a web page, is refused as a whole.

            Examples:
              webtun list add ads.txt
              webtun list add https://lists.example/ads.txt --every 12h
              webtun list add /etc/blocked.hosts --format hosts --name house
              webtun list add exceptions.txt --allow
              webtun list add malware.ip.txt --format ip
              webtun list add games.txt --group kids
              webtun list add policy.zone --format rpz
              webtun list add /etc/hosts.lan --records
            """)

    @Argument(help: ArgumentHelp("The list's file or address.", valueName: "file|url"), completion: .file())
    var files: [String]
    @Option(
        name: .customLong("name"),
        help: ArgumentHelp("What to call the list.", discussion: "Default: the file's name.", valueName: "name"))
    var name: String?
    @Option(name: .customLong("format"), help: ArgumentHelp("The file's format.", valueName: "format"))
    var format = FormatArgument()
    @Flag(name: .customLong("allow"), help: "Allow the names instead of blocking them.")
    var allow = false
    @Flag(name: .customLong("exact"), help: "Each line stands for its name alone, not for names below it.")
    var exact = false
    @Flag(
        name: .customLong("records"),
        help: "Answer with the list's own data: real addresses of hosts lines, address= and local-data.")
    var records = false
    @Option(
        name: .customLong("every"),
        help: ArgumentHelp("How often to fetch it: 30m, 12h, 7d, or never.", valueName: "time"))
    var every = Interval(seconds: 86_400)
    @Option(
        name: .customLong("max-shrink"),
        help: ArgumentHelp("How many of its names it may lose when fetched again.", valueName: "percent"))
    var maxShrink = Percent(value: 50)
    @OptionGroup var groups: GroupArguments
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard name == nil || files.count == 1 else { throw ValidationError("--name goes with one file") }
        guard name != "" else { throw ValidationError("--name needs a name") }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let options = BlocklistStore.ListOptions(
            name: name, format: format.format, allow: allow, exact: exact,
            records: records,
            subscription: Subscription(every: every.seconds, maxShrink: maxShrink.value), groups: groups.groups)
        let fetcher = try ListWork.fetcher(files)
        var failed = false
        var added = false
        for file in files {
            do {
                let report = try ListWork.withProgress(file) {
                    try store.add(file, options, fetcher: fetcher, progress: $0)
                }
                added = true
                ListWork.complain(report)
                print(output.json ? ListWork.json(report).description : ListWork.summary(report, "added"))
            } catch let error as BlocklistError {
                failed = true
                Terminal.complain("webtun: \(error)")
            }
        }
        if added { try ListWork.compile(store) }
        if failed { throw ExitStatus.error.exit }
    }
}

/// A span of time as a user writes it, such as `90s`, `30m`, `12h`, `7d`, `1w`, or `never`.
struct Interval: ExpressibleByArgument, Equatable {
    /// nil: never.
    var seconds: Int64?

    init(seconds: Int64?) {
        self.seconds = seconds
    }

    init?(argument: String) {
        if argument == "never" { return }
        guard let seconds = TimeSpan.seconds(argument), 60...31_536_000 ~= seconds else { return nil }
        self.seconds = seconds
    }

    var defaultValueDescription: String { seconds.map { "\($0 / 3600)h" } ?? "never" }
}

/// A percentage, with its sign or without.
struct Percent: ExpressibleByArgument, Equatable {
    var value: Int

    init(value: Int) {
        self.value = value
    }

    init?(argument: String) {
        guard let value = Int(argument.hasSuffix("%") ? String(argument.dropLast()) : argument), 0...100 ~= value else {
            return nil
        }
        self.value = value
    }

    var defaultValueDescription: String { "\(value)%" }
}
