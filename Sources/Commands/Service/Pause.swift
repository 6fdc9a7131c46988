import ArgumentParser
import Blocklist
import Daemon
import Foundation
import Kernel

/// `webtun pause`
struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop blocking for a while.",
        discussion: """
            Queries are still captured, answered and logged, but nothing is blocked: for everybody, or for a client, a user
            or a program. With --group the lists and rules of a group do not count meanwhile. A pause outlives the daemon,
            and can be made while it does not run.

            Examples:
              webtun pause 5m
              webtun pause                      until webtun resume
              webtun pause until 18:00 --group kids
              webtun pause 1h --client 192.0.2.7
              webtun pause 10m --app firefox
            """)

    @Argument(
        help: ArgumentHelp(
            "How long, like 30s, 5m, 1h or 1h30m, or until a time of day: until 18:00.", valueName: "time"))
    var time: [String] = []
    @OptionGroup var scope: PauseScopeArguments
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        _ = try PauseTime(time)
    }

    func run() throws {
        let time = try PauseTime(time)
        let scope = try scope.scope
        let seconds = time.seconds
        var isRunning = true
        if scope == .all {
            do {
                let status = try ControlClient(state: global.stateDirectory).request(.pause(seconds: seconds))
                guard status.pausedUntil != nil else { throw CommandFailure("the running webtun did not pause") }
            } catch ControlClient.Failure.notRunning where BlocklistStore.exists(state: global.stateDirectory) {
                isRunning = false
            }
        }
        if scope != .all || !isRunning {
            let until = seconds.map { Clock.unixMicroseconds() + Int64($0) * 1_000_000 }
            try BlocklistStore(state: global.stateDirectory).pause(PolicyPause(scope, until: until))
        }
        let resume = self.scope.words.reduce("webtun resume") { "\($0) \($1)" }
        print(
            scope.label + "paused \(time.text(resume.printable))"
                + (isRunning ? "" : " (webtun is not running: in force when it starts)"))
    }
}

/// `webtun resume`
struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Block again after 'webtun pause'.",
        discussion: """
            Ends the pause of whatever is named, or of everybody. The exit status is 4 when webtun does not filter all the
            same; the reason is printed.

            Examples:
              webtun resume
              webtun resume --group kids
              webtun resume --client 192.0.2.7
            """)

    @OptionGroup var scope: PauseScopeArguments
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let scope = try scope.scope
        guard scope == .all else {
            guard try BlocklistStore(state: global.stateDirectory).resume(scope) else {
                throw CommandFailure("\(scope.label)not paused")
            }
            return print("\(scope.label)resumed")
        }
        do {
            let status = try ControlClient(state: global.stateDirectory).request(.resume)
            guard status.filtering else {
                throw CommandFailure(
                    "resumed, but not filtering: " + status.problems.joined(separator: "; "), status: .notFiltering)
            }
            print("filtering")
        } catch ControlClient.Failure.notRunning where BlocklistStore.exists(state: global.stateDirectory) {
            let wasPaused = try BlocklistStore(state: global.stateDirectory).resume(.all)
            print(wasPaused ? "resumed (webtun is not running)" : "not paused (webtun is not running)")
        }
        for pause in try BlocklistStore(state: global.stateDirectory).pauses() where pause.scope != .all {
            print("still paused: \(pause.scope.kind) \(pause.scope.text)".printable)
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
