import ArgumentParser
import Daemon
import Logging

/// `webtun run`
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Filter this machine, in the foreground, until stopped.",
        discussion: """
            Needs root, or the capabilities CAP_NET_ADMIN and CAP_BPF. When it filters it prints a line that begins \
            with "webtun: filtering". SIGTERM and SIGINT undo everything; SIGHUP reads the configuration anew. Options \
            win over the configuration file.

            Examples:
              webtun run
              webtun run --link eth0 --upstream 192.0.2.53 --upstream 2001:db8::53
              webtun run --serve docker0                 filter containers too, each by its own address
              webtun run --mode full                     judge every flow, not only queries
              webtun run --capture route --dry-run       print what would be changed
            """)

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "The configuration file.", discussion: "Default: \(Configuration.defaultFile), when it exists.",
            valueName: "file"),
        completion: .file(extensions: ["toml"]))
    var file: String?
    @Option(
        name: .customLong("link"),
        help: ArgumentHelp(
            "A link whose outgoing queries are captured, like eth0 or wl*; may be repeated.",
            discussion: "Default: every link but the loopback.", valueName: "link"),
        completion: .shellCommand("ls /sys/class/net"))
    var links: [String] = []
    @Option(
        name: .customLong("serve"),
        help: ArgumentHelp("A link with clients behind this machine; may be repeated.", valueName: "link"),
        completion: .shellCommand("ls /sys/class/net"))
    var serve: [String] = []
    @Option(
        help: ArgumentHelp(
            "What is captured: dns, or full: everything, judged flow by flow.", valueName: "mode"),
        completion: .list(["dns", "full"]))
    var mode: String?
    @Option(
        help: ArgumentHelp("How: auto, link or route.", valueName: "backend"),
        completion: .list(["auto", "link", "route"]))
    var capture: String?
    @Option(
        name: .customLong("upstream"),
        help: ArgumentHelp(
            "A server to ask, as address or address:port; may be repeated.",
            discussion: "Default: those the machine uses.", valueName: "server"))
    var upstreams: [String] = []
    @Option(
        help: ArgumentHelp(
            "What happens to queries when webtun runs but cannot work: closed (no answer) or open (unfiltered).",
            valueName: "way"),
        completion: .list(["open", "closed"]))
    var fail: String?
    @Option(
        help: ArgumentHelp(
            "The folder of lists that are loaded on the first run.", discussion: "Default: that of the configuration.",
            valueName: "dir"),
        completion: .directory)
    var starter: String?
    @Flag(help: "Print the changes to the system that would be made, and make none.")
    var dryRun = false
    @Flag(help: "Print a line for each packet read: for looking on, not for busy links.")
    var verbosePackets = false
    @Flag(name: .shortAndLong, help: "Say more.")
    var verbose = false
    @Flag(name: .shortAndLong, help: "Say only what is wrong.")
    var quiet = false
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if verbose && quiet { throw ValidationError("--verbose and --quiet exclude each other") }
        let problems = Configuration.problems(in: overrides)
        guard problems.isEmpty else {
            throw ValidationError(problems.map(\.description).joined(separator: "\n"))
        }
    }

    func run() async throws {
        let level: Logger.Level = verbose ? .debug : quiet ? .warning : .notice
        var logger = Logger(label: "webtun") { _ in ConsoleLog(level: level) }
        logger.logLevel = level
        var options = Daemon.Options(
            version: Version.current, state: global.stateDirectory, file: file, overrides: overrides)
        options.printsPackets = verbosePackets
        let daemon = Daemon(options, logger: logger)
        if dryRun {
            print(try daemon.plan())
        } else {
            try await daemon.run()
        }
    }

    /// The options that were given, as keys of the configuration.
    private var overrides: [Configuration.Override] {
        var overrides: [Configuration.Override] = []
        func set(_ option: String, _ key: String, _ text: String?) {
            if let text { overrides.append(.init(key, .string(text), option: "--\(option)")) }
        }
        func set(_ option: String, _ key: String, _ texts: [String]) {
            if !texts.isEmpty { overrides.append(.init(key, .strings(texts), option: "--\(option)")) }
        }
        set("capture", "capture.backend", capture)
        set("mode", "capture.mode", mode)
        set("link", "capture.links", links)
        set("serve", "capture.serve", serve)
        set("fail", "capture.fail", fail)
        set("starter", "lists.starter", starter)
        set("upstream", "dns.upstream", upstreams)
        return overrides
    }
}
