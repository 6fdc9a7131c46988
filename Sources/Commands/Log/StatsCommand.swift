import ArgumentParser
import Foundation
import QueryLog

/// `webtun stats`
struct StatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Sum up the query log: totals, lists, latency, hours.",
        discussion: """
            Examples:
              webtun stats
              webtun stats --since 7d --json
            """)

    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Only from then on: 90s, 15m, 1h, 2d, 1w, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        let statistics = try QueryLogReader(path: global.logPath).statistics(since: since?.microseconds, now: now)
        if output.json {
            print(StatsCommand.json(statistics))
        } else {
            StatsCommand.printTotals(statistics)
            StatsCommand.printHours(statistics)
        }
    }

    private static func json(_ statistics: LogStatistics) -> JSONValue {
        let latency = { (histogram: LatencyHistogram) -> JSONValue in
            .object([
                ("p50", .optional(histogram.percentile(0.5))), ("p90", .optional(histogram.percentile(0.9))),
                ("p99", .optional(histogram.percentile(0.99))), ("mean", .optional(histogram.mean)),
            ])
        }
        return .object([
            ("queries", .integer(Int64(statistics.queries))), ("blocked", .integer(Int64(statistics.blocked))),
            ("allowed", .integer(Int64(statistics.allowed))), ("cached", .integer(Int64(statistics.cached))),
            ("failed", .integer(Int64(statistics.failed))), ("blocked_share", .number(statistics.blockedShare)),
            ("cached_share", .number(statistics.cachedShare)), ("latency_us", latency(statistics.latency)),
            ("upstream_latency_us", latency(statistics.upstreamLatency)),
            (
                "lists",
                .array(
                    statistics.lists.map {
                        .object([("list", .optional($0.list)), ("blocked", .integer(Int64($0.queries)))])
                    })
            ),
            (
                "hours",
                .array(
                    statistics.hours.map { hour in
                        let start = Date(timeIntervalSince1970: Double(hour.start) / 1_000_000)
                        return .object([
                            ("start", .string(start.formatted(.iso8601))), ("queries", .integer(Int64(hour.queries))),
                            ("blocked", .integer(Int64(hour.blocked))),
                        ])
                    })
            ),
        ])
    }

    private static func printTotals(_ statistics: LogStatistics) {
        let took = { (histogram: LatencyHistogram) -> String in
            [0.5, 0.9, 0.99].map { histogram.percentile($0).map(Quantity.latency) ?? "-" }.joined(separator: " / ")
        }
        var table = Table([.init("", .left), .init("", .right), .init("")])
        table.append(["queries", Table.Cell(Quantity.count(statistics.queries), .bold)])
        table.append([
            "blocked", Table.Cell(Quantity.count(statistics.blocked), .red),
            Table.Cell(Quantity.percent(statistics.blockedShare)),
        ])
        table.append(["allowed by a rule or list", Table.Cell(Quantity.count(statistics.allowed))])
        table.append([
            "from the cache", Table.Cell(Quantity.count(statistics.cached)),
            Table.Cell("\(Quantity.percent(statistics.cachedShare)) of what was not blocked"),
        ])
        table.append(["failed", Table.Cell(Quantity.count(statistics.failed))])
        for list in statistics.lists.prefix(5) {
            table.append([Table.Cell("by \(list.list ?? "your rules")"), Table.Cell(Quantity.count(list.queries))])
        }
        table.print(header: false)
        print("answered within (p50 / p90 / p99): \(took(statistics.latency))")
        print("by an upstream:                    \(took(statistics.upstreamLatency))")
    }

    /// A bar an hour, the blocked part of it in red.
    private static func printHours(_ statistics: LogStatistics) {
        guard let most = statistics.hours.map(\.queries).max(), most > 0 else { return }
        let style = Style.output
        let width = max(10, min(60, (Terminal.columns() ?? 80) - 20))
        let block = Terminal.drawsUnicode ? "█" : "#"
        for hour in statistics.hours where hour.queries > 0 {
            let full = max(1, hour.queries * width / most)
            let red = hour.queries == 0 ? 0 : hour.blocked * full / hour.queries
            let bar =
                style.paint(String(repeating: block, count: red), .red)
                + style.paint(String(repeating: block, count: full - red), .green)
            print("\(LocalTime.hour(hour.start))h \(bar) \(Quantity.count(hour.queries))")
        }
    }
}
