public import ArgumentParser
import Glibc

/// The command `webtun`.
public struct Webtun: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "webtun",
        abstract: "Filter the DNS of this machine, transparently.",
        discussion: """
            Examples:
              webtun run                        filter this machine until stopped
              webtun list add ads.txt           block the names of a list
              webtun status                     is this machine filtered now?
              webtun help run                   more about a command

            Exit status: 0 fine or allowed, 1 error, 3 blocked, 4 not filtering, 64 wrong usage.
            """,
        version: "webtun \(Version.current)",
        groupedSubcommands: [
            CommandGroup(
                name: "Filtering",
                subcommands: [
                    Run.self, Status.self, Pause.self, Resume.self, Reload.self, QueryCommand.self,
                    Cleanup.self,
                ]),
            CommandGroup(
                name: "List and rule",
                subcommands: [
                    ListCommand.self, Allow.self, Deny.self, RuleCommand.self, FlowCommand.self, GroupCommand.self,
                    ClientCommand.self, BypassCommand.self, SafeSearchCommand.self, Why.self, Search.self,
                    ExportCommand.self, ImportCommand.self,
                ]),
            CommandGroup(name: "Name", subcommands: [RecordCommand.self, ForwardCommand.self]),
            CommandGroup(
                name: "Log",
                subcommands: [
                    LogCommand.self, FlowsCommand.self, TopCommand.self, StatsCommand.self, SQLCommand.self,
                    DatabaseCommand.self,
                ]),
            CommandGroup(name: "More", subcommands: [Config.self, Completion.self, Version.self]),
        ])

    public init() {}

    /// Runs the command that the arguments of the process name, and exits.
    public static func main() async {
        Glibc.exit(await run(Array(CommandLine.arguments.dropFirst())))
    }

    /// Runs the command that `arguments` name. Writes what it has to say to standard output and errors to standard
    /// error; returns the exit status.
    public static func run(_ arguments: [String]) async -> Int32 {
        do {
            var command = try parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return ExitStatus.success.rawValue
        } catch {
            return report(error)
        }
    }

    private static func report(_ error: any Error) -> Int32 {
        if let code = error as? ExitCode { return code.rawValue }
        if let failure = error as? CommandFailure {
            complain(failure.message)
            return failure.status.rawValue
        }
        switch exitCode(for: error) {
        case .success:
            print(fullMessage(for: error))
            return ExitStatus.success.rawValue
        case .validationFailure:
            complain(message(for: error) + "\nSee 'webtun help'.")
            return ExitCode.validationFailure.rawValue
        default:
            complain(message(for: error))
            return ExitStatus.error.rawValue
        }
    }

    private static func complain(_ message: String) {
        for (number, line) in message.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            Terminal.complain((number == 0 ? "webtun: " : "") + line)
        }
    }
}
