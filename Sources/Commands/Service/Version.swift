import ArgumentParser

/// `webtun version`
struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the version.",
        discussion: """
            Examples:
              webtun version
              webtun version --json
            """)

    /// The version of this program.
    static let current = "0.1.0"

    @OptionGroup var output: OutputOptions

    func run() {
        if output.json {
            print(JSONValue.object([("version", .string(Version.current))]))
        } else {
            print("webtun \(Version.current)")
        }
    }
}
