import ArgumentParser
import Blocklist

/// The formats `list add` takes.
enum FormatArgument: String, CaseIterable, ExpressibleByArgument {
    case auto
    case hosts
    case domains
    case ip
    case adblock
    case dnsmasq
    case unbound
}

/// `webtun list add`
struct ListAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add a list from a file.",
        discussion: """
            The file is read once; 'webtun list update' reads it again. Lines that cannot be taken are told with file,
            line and reason; the others count. A file that holds no names, or is a web page, is refused as a whole.

            Examples:
              webtun list add ads.txt
              webtun list add /etc/blocked.hosts --format hosts --name house
              webtun list add exceptions.txt --allow
              webtun list add malware.ip.txt --format ip
            """)

    @Argument(help: ArgumentHelp("The list's file.", valueName: "file"), completion: .file())
    var files: [String]
    @Option(
        name: .customLong("name"),
        help: ArgumentHelp("What to call the list.", discussion: "Default: the file's name.", valueName: "name"))
    var name: String?
    @Option(name: .customLong("format"), help: ArgumentHelp("The file's format.", valueName: "format"))
    var format: FormatArgument = .auto
    @Flag(name: .customLong("allow"), help: "Allow the names instead of blocking them.")
    var allow = false
    @Flag(name: .customLong("exact"), help: "Each line stands for its name alone, not for names below it.")
    var exact = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard name == nil || files.count == 1 else { throw ValidationError("--name goes with one file") }
        guard name != "" else { throw ValidationError("--name needs a name") }
    }

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        let options = BlocklistStore.ListOptions(
            name: name, format: ListFormat(rawValue: format.rawValue), allow: allow, exact: exact)
        var failed = false
        var added = false
        for file in files {
            do {
                let report = try ListWork.withProgress(file) { try store.add(file, options, progress: $0) }
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
