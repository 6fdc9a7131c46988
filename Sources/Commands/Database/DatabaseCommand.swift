import ArgumentParser
import Foundation
import QueryLog

/// `webtun db`
struct DatabaseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "db",
        abstract: "Look after the file of the query log.",
        discussion: """
            All of it works while webtun runs and writes, and without one.

            Examples:
              webtun db size --tables
              webtun db purge --before 30d
              webtun db check
              webtun db backup /var/backups/querylog.db
              sqlite3 -readonly "$(webtun db path)" "SELECT count(*) FROM queries"
            """,
        subcommands: [
            DatabasePath.self, DatabaseSize.self, DatabaseCheck.self, DatabasePurge.self, DatabaseVacuum.self,
            DatabaseBackup.self,
        ])
}

/// `webtun db path`
struct DatabasePath: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "path", abstract: "Print where the query log is.",
        discussion: """
            Exit status 1 when there is none.

            Examples:
              webtun db path
              sqlite3 -readonly "$(webtun db path)" ".schema"
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let exists = FileManager.default.fileExists(atPath: global.logPath)
        if output.json {
            print(JSONValue.object([("path", .string(global.logPath)), ("exists", .bool(exists))]))
        } else {
            print(global.logPath)
        }
        if !exists {
            throw output.json ? ExitStatus.error.exit : QueryLogError.missing(path: global.logPath) as any Error
        }
    }
}

/// `webtun db check`
struct DatabaseCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Look whether the query log is sound.",
        discussion: """
            Changes nothing. Exit status 1 when it is damaged. A running webtun that comes upon damage moves the file aside
            and begins a new one by itself.

            Examples:
              webtun db check
              webtun db check --quick --json
            """)

    @Flag(name: .customLong("quick"), help: "Leave out what takes long: whether rows point to what is there.")
    var quick = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let bar = ProgressBar("checking", total: nil, unit: .items("rows"))
        let problems = try LogDatabase.check(global.logPath, isQuick: quick) { bar.update($0, total: $1) }
        bar.finish()
        if output.json {
            print(
                JSONValue.object([
                    ("path", .string(global.logPath)), ("sound", .bool(problems.isEmpty)),
                    ("problems", .array(problems.map(JSONValue.string))),
                ]))
        } else if problems.isEmpty {
            print("\(global.logPath): sound")
        } else {
            for problem in problems { print("\(global.logPath): \(problem)") }
        }
        if !problems.isEmpty { throw ExitStatus.error.exit }
    }
}

/// `webtun db vacuum`
struct DatabaseVacuum: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vacuum", abstract: "Give the room of removed rows back to the file system.",
        discussion: """
            A running webtun does this by itself when a sixteenth of the file is free.

            Examples:
              webtun db vacuum
              webtun db vacuum --full         write the file anew, without gaps
            """)

    @Flag(
        name: .customLong("full"),
        help: "Write the whole file anew: needs as much room again, and rows of a running webtun wait meanwhile.")
    var full = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let log = try LogDatabase(path: global.logPath)
        let bar = ProgressBar("giving back", total: nil, unit: .bytes)
        let freed = try full ? log.rewrite() : log.vacuum { bar.update($0, total: $1) }
        bar.finish()
        if output.json {
            print(JSONValue.object([("freed_bytes", .integer(freed))]))
        } else {
            print("\(Quantity.bytes(max(0, freed))) given back")
        }
    }
}

/// `webtun db backup`
struct DatabaseBackup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Copy the query log into a file of its own.",
        discussion: """
            The copy is the log as it is at one moment, in one file that any SQLite reads; it appears when it is complete.

            Examples:
              webtun db backup /var/backups/querylog.db
              webtun db backup --force today.db
            """)

    @Argument(help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
    var file: String
    @Flag(name: .customLong("force"), help: "Replace a file that is there already.")
    var force = false
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let bar = ProgressBar("copying", total: nil, unit: .bytes)
        let bytes = try LogDatabase.backup(global.logPath, to: file, replaces: force) { bar.update($0, total: $1) }
        bar.finish()
        if output.json {
            print(JSONValue.object([("file", .string(file)), ("bytes", .integer(bytes))]))
        } else {
            print("\(file.printable): \(Quantity.bytes(bytes))")
        }
    }
}
