import ArgumentParser

/// `webtun config`
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show or check the configuration.",
        subcommands: [ConfigShow.self, ConfigCheck.self])
}
