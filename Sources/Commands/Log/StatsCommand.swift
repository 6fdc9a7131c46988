import ArgumentParser
import Foundation
import QueryLog

/// `webtun stats`
struct StatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Sum up the query log: totals, lists, latency, hours.",
        discussion: """
            Queries stay counted by the hour after their rows have been removed ([log] max_age).

            Examples:
              webtun stats
              webtun stats --since 7d --json
              webtun stats --since 2026-01-01 --until 2026-02-01
            """)

    @OptionGroup var times: TimeOptions
    @OptionGroup var global: GlobalOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        let end = min(now, times.until.map { $0.microseconds - 1 } ?? now)
        // A day unless more is asked for; a year of hours at most.
        let asked = times.since.map { (end - $0.microseconds) / StatsCommand.hour + 2 } ?? 24
        let statistics = try QueryLogReader(path: global.logPath).statistics(
            since: times.since?.microseconds, until: times.until?.microseconds, now: end,
            hours: Int(max(1, min(asked, 8784))))
        if output.json {
            print(StatsCommand.json(statistics))
        } else {
            StatsCommand.printTotals(statistics)
            HourChart(statistics.hours).print()
        }
    }

    private static let hour: Int64 = 3_600_000_000

    private static func json(_ statistics: LogStatistics) -> JSONValue {
        let latency = { (histogram: LatencyHistogram) -> JSONValue in
            .object([
                ("p50", .optional(histogram.percentile(0.5))), ("p90", .optional(histogram.percentile(0.9))),
                ("p99", .optional(histogram.percentile(0.99))), ("mean", .optional(histogram.mean)),
            ])
        }
        let moment = { (time: Int64?) -> JSONValue in
            time.map { .string(Date(timeIntervalSince1970: Double($0) / 1_000_000).formatted(.iso8601)) } ?? .null
        }
        return .object([
            ("oldest", moment(statistics.oldest)), ("newest", moment(statistics.newest)),
            ("queries", .integer(Int64(statistics.queries))), ("blocked", .integer(Int64(statistics.blocked))),
            ("allowed", .integer(Int64(statistics.allowed))), ("cached", .integer(Int64(statistics.cached))),
            ("resolved", .integer(Int64(statistics.resolved))), ("failed", .integer(Int64(statistics.failed))),
            ("blocked_share", .number(statistics.blockedShare)), ("cached_share", .number(statistics.cachedShare)),
            ("latency_us", latency(statistics.latency)), ("upstream_latency_us", latency(statistics.upstreamLatency)),
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
                        .object([
                            ("start", moment(hour.start)), ("queries", .integer(Int64(hour.queries))),
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
}
