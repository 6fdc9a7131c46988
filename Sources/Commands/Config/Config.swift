import ArgumentParser

/// `webtun config`
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show or check the configuration.",
        discussion: """
            Examples:
              webtun config show
              webtun config check etc/webtun.toml
            """,
        subcommands: [ConfigShow.self, ConfigCheck.self])
}
