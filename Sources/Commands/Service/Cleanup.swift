import ArgumentParser
import Daemon

/// `webtun cleanup`
struct Cleanup: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Undo whatever a webtun that died has left.",
        discussion: """
            Removes routing rules, the TUN device and the control socket of a webtun that was killed. Needs no daemon \
            and no network. A running webtun is left alone: stop it instead.

            Examples:
              webtun cleanup
            """)

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp("The configuration file that webtun ran with.", valueName: "file"),
        completion: .file(extensions: ["toml"]))
    var file: String?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let done = try Daemon.cleanup(state: global.stateDirectory, file: file)
        if output.json {
            for step in done { print(JSONValue.object([("done", .string(step))])) }
        } else {
            print(done.isEmpty ? "nothing to clean up" : done.map(\.printable).joined(separator: "\n"))
        }
    }
}
