import ArgumentParser
import Blocklist
import Daemon

/// `webtun bypass`
struct BypassCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bypass",
        abstract: "Close the ways around the machine's DNS.",
        discussion: """
            One switch for DNS over TLS, HTTPS and QUIC to known resolvers, the names by which programs ask whether they may
            use them, and what lets a flow hide a blocked name. Names are blocked in every mode, flows are cut in full mode.
            Your rules and allow lists come first: 'webtun allow dns.google' makes an exception.

            Examples:
              webtun bypass on
              webtun bypass report
              webtun bypass on --resolvers my-resolvers.bypass
              webtun bypass off
            """,
        subcommands: [BypassOn.self, BypassOff.self, BypassReport.self])
}

/// `webtun bypass on`
struct BypassOn: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "on", abstract: "Put the protection in force.",
        discussion: """
            The resolver data is read from the file given, else it is what was read before, else
            \(Configuration().lists.starter)/\(BlocklistStore.resolverFile).

            Examples:
              webtun bypass on
              webtun bypass on --resolvers blocklists/resolvers.bypass
            """)

    @Option(
        name: .customLong("resolvers"), help: ArgumentHelp("A file of resolver data.", valueName: "file"),
        completion: .file())
    var resolvers: String?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        try store.loadResolvers(resolvers, orStarter: Configuration().lists.starter)
        try store.setBypass(true)
        try BypassReport.printSwitch(store, output)
    }
}

/// `webtun bypass off`
struct BypassOff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "off", abstract: "Put the protection out of force; its data stays.",
        discussion: "Example: webtun bypass off")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let store = try BlocklistStore(state: global.stateDirectory)
        try store.setBypass(false)
        try BypassReport.printSwitch(store, output)
    }
}
