import ArgumentParser
import Daemon
import Foundation

/// `webtun status`
struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell whether this machine is filtered now.",
        discussion: """
            The exit status is 0 when a query sent now by a captured link would be filtered, else 4.

            Examples:
              webtun status
              webtun status --wait 10 && echo filtered
              webtun status --json | jq .blocked
            """)

    @Option(
        name: .customLong("wait"),
        help: ArgumentHelp("Wait until it is filtered, so many seconds at most.", valueName: "seconds"))
    var patience: Double = 0
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard patience >= 0, patience <= 86_400 else { throw ValidationError("--wait takes 0 to 86400 seconds") }
    }

    func run() async throws {
        let status = try await status()
        if output.json {
            print(StatusText.json(status))
        } else if let status {
            print(StatusText.text(status, style: .output), terminator: "")
        } else {
            print("webtun is not running with the state directory \(global.stateDirectory.printable)")
        }
        if status?.filtering != true { throw ExitStatus.notFiltering.exit }
    }

    /// Nil: not running. Asks until it filters or the patience ends.
    private func status() async throws -> DaemonStatus? {
        let client = ControlClient(state: global.stateDirectory)
        let end = ContinuousClock.now + .seconds(patience)
        while true {
            var status: DaemonStatus?
            do {
                status = try client.request(.status)
            } catch {
                guard case .notRunning = error else { throw error }
            }
            if status?.filtering == true || ContinuousClock.now >= end { return status }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
