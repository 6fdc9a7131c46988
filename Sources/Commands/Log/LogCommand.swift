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

    @OptionGroup var tail: TailOptions
    @OptionGroup var selection: LogFilterOptions
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: LogOutputOptions

    func validate() throws {
        if tail.follow, selection.times.until != nil {
            throw ValidationError("--until and --follow exclude each other")
        }
    }

    func run() async throws {
        var printer = LogPrinter(output, isLive: tail.follow)
        try await LogTail.read(global.logPath, selection.filter(), tail, newest: { try $0.lastID() }) {
            reader, filter in
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
