import ArgumentParser
import Glibc
import QueryLog

/// `webtun log`
struct LogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "Show the queries that were answered, oldest first.",
        discussion: """
            Times are local in tables and UTC in JSON and CSV, which have the columns of the view `queries`. Everything
            that is asked for must hold.

            Examples:
              webtun log                              the last 50
              webtun log -f --blocked                 follow what is blocked
              webtun log --name '*.example' --since 1h
              webtun log --client 192.0.2.0/24 --type HTTPS --rcode NXDOMAIN
              webtun log --list ads --since 2d --until 1d --csv > yesterday.csv
              webtun log --limit 1000 --json | jq -r .qname | sort | uniq -c
            """)

    @Flag(name: [.customShort("f"), .customLong("follow")], help: "Go on with new queries until interrupted.")
    var follow = false
    @Option(name: .customLong("limit"), help: ArgumentHelp("The last so many; 0: all.", valueName: "number"))
    var limit: Int?
    @OptionGroup var selection: LogFilterOptions
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: LogOutputOptions

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit takes 0 or a positive number") }
        if follow, selection.until != nil { throw ValidationError("--until and --follow exclude each other") }
    }

    func run() async throws {
        var filter = try selection.filter()
        filter.limit = limit ?? (filter.since == nil ? (follow ? 10 : 50) : nil)
        if filter.limit == 0 { filter.limit = nil }
        var printer = LogPrinter(output, isLive: follow)
        try await LogTail.read(global.logPath, follow: follow, newest: { try $0.lastID() }) { reader, after in
            if let after {
                filter.limit = nil
                filter.after = after
            }
            var last: Int64 = 0
            try reader.rows(filter) { row in
                last = max(last, row.id)
                printer.add(row)
            }
            printer.flush()
            return last
        }
    }
}
