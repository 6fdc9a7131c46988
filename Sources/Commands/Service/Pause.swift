import ArgumentParser
import Daemon

/// `webtun pause`
struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop blocking for a while.",
        discussion: """
            Queries are still captured, answered and logged, but nothing is blocked.

            Examples:
              webtun pause 5m
              webtun pause                      until webtun resume
            """)

    @Argument(help: ArgumentHelp("How long, like 30s, 5m, 1h or 1h30m.", valueName: "time"))
    var time: String?
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if let time, Seconds.parse(time) == nil {
            throw ValidationError("'\(time)' is no time; write 30s, 5m, 1h or 1h30m")
        }
    }

    func run() throws {
        let client = ControlClient(state: global.stateDirectory)
        let status = try client.request(.pause(seconds: time.flatMap(Seconds.parse)))
        guard status.pausedUntil != nil else { throw CommandFailure("the running webtun did not pause") }
        print(time.map { "paused for \($0)" } ?? "paused until 'webtun resume'")
    }
}

/// `webtun resume`
struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Block again after 'webtun pause'.",
        discussion: """
            The exit status is 4 when webtun does not filter all the same; the reason is printed.

            Examples:
              webtun resume
            """)

    @OptionGroup var global: GlobalOptions

    func run() throws {
        let status = try ControlClient(state: global.stateDirectory).request(.resume)
        if status.filtering {
            print("filtering")
        } else {
            throw CommandFailure(
                "resumed, but not filtering: " + status.problems.joined(separator: "; "), status: .notFiltering)
        }
    }
}

/// `webtun reload`
struct Reload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read configuration and lists anew.",
        discussion: """
            When the new configuration has a mistake it is reported and the old one stays in force. Keys that take \
            effect only at the next start are named.

            Examples:
              webtun reload
              webtun config check && webtun reload
            """)

    @OptionGroup var global: GlobalOptions

    func run() throws {
        let notes = try ControlClient(state: global.stateDirectory, patience: 60).reload()
        print("reloaded")
        for note in notes { print(note.printable) }
    }
}
