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
        let answer = try await ask()
        if output.json {
            print(StatusText.json(answer))
        } else {
            switch answer {
            case .status(let status): print(StatusText.text(status, style: .output), terminator: "")
            case .notRunning: print("webtun is not running with the state directory \(global.stateDirectory.printable)")
            case .silent(let reason): print(reason.printable)
            }
        }
        guard case .status(let status) = answer, status.filtering else { throw ExitStatus.notFiltering.exit }
    }

    /// What asking the daemon gives.
    enum Answer {
        case status(DaemonStatus)
        case notRunning
        /// It is there and does not answer.
        case silent(String)
    }

    /// Asks until it filters or the patience ends.
    private func ask() async throws -> Answer {
        let client = ControlClient(state: global.stateDirectory, patience: 3)
        let end = ContinuousClock.now + .seconds(patience)
        while true {
            let answer: Answer
            do {
                answer = .status(try client.request(.status))
            } catch {
                switch error {
                case .notRunning: answer = .notRunning
                case .noAnswer: answer = .silent("\(error)")
                default: throw error
                }
            }
            if case .status(let status) = answer, status.filtering { return answer }
            if ContinuousClock.now >= end { return answer }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
