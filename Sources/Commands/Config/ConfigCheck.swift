import ArgumentParser
import Daemon

/// `webtun config check`
struct ConfigCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Find mistakes in a configuration file.",
        discussion: """
            Every mistake is printed with file, line and reason; the exit status is 1 when there are any.

            Examples:
              webtun config check
              webtun config check etc/webtun.toml
            """)

    @Argument(
        help: ArgumentHelp("The file to check.", discussion: "Default: \(Configuration.defaultFile)."),
        completion: .file(extensions: ["toml"]))
    var file: String = Configuration.defaultFile
    @OptionGroup var output: OutputOptions

    func run() throws {
        do {
            _ = try Configuration.load(file: file)
        } catch {
            guard output.json else {
                for problem in error.problems { print(problem.description.printable) }
                throw ExitStatus.error.exit
            }
            for problem in error.problems {
                print(
                    JSONValue.object([
                        ("place", .string(problem.place)), ("key", .optional(problem.key)),
                        ("reason", .string(problem.reason)),
                    ]))
            }
            throw ExitStatus.error.exit
        }
        if !output.json { print("\(file.printable): fine") }
    }
}
