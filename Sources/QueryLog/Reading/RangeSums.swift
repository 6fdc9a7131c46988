internal import Wire

/// A half-open range of time in microseconds since 1970; nil: without end.
struct TimeRange {
    var since: Int64?
    var until: Int64?

    var lower: Int64 { since ?? .min }
    var upper: Int64 { until ?? .max }

    /// The whole hours inside, and what is left before and behind them, each within one hour.
    var split: (hours: Range<Int64>, edges: [Range<Int64>]) {
        let hour = HourCounts.hourMicroseconds
        let first = since.map { HourCounts.hour($0 + hour - 1) } ?? Int64.min / hour
        let end = until.map(HourCounts.hour) ?? Int64.max / hour
        guard first <= end else { return (0..<0, lower < upper ? [lower..<upper] : []) }
        var edges: [Range<Int64>] = []
        if since != nil, lower < first * hour { edges.append(lower..<first * hour) }
        if until != nil, end * hour < upper { edges.append(end * hour..<upper) }
        return (first..<end, edges)
    }
}

extension QueryLogReader {
    /// A run of ids to be counted, in the order of ids.
    enum Part {
        /// All of its rows count, and their summary is at hand: in columns 0 (sets), 1 (latencies) and 2 (names).
        case whole(within: Range<Int64>)
        /// Those of its rows count that lie in these times.
        case rows(first: Int64, last: Int64, times: [Range<Int64>])
    }

    /// Takes the runs of ids with rows in `ranges` (microseconds since 1970), each as a whole or row by row.
    ///
    /// - Parameter pending: a further range, in which only runs that the hours do not hold yet count.
    func parts(
        _ ranges: [Range<Int64>], pending: Range<Int64>? = nil,
        _ body: (Part, borrowing Statement) throws(QueryLogError) -> Void
    ) throws(QueryLogError) {
        let all = ranges + (pending.map { [$0] } ?? [])
        guard let lower = all.map(\.lowerBound).min(), let upper = all.map(\.upperBound).max() else { return }
        let spans = try connection.prepare(
            """
            SELECT m.sets, m.latencies, m.names, m.exact, s.first, s.last, s.oldest, s.newest
            FROM query_spans AS s LEFT JOIN query_summaries AS m ON m.last = s.last
            WHERE s.newest >= ? AND s.oldest < ? ORDER BY s.first
            """)
        spans.bind(1, lower == .min ? .min : lower - Schema.timeBase)
        spans.bind(2, upper == .max ? .max : upper - Schema.timeBase)
        while try spans.step() {
            let isPending = spans.isNull(3)
            let oldest = spans.integer(6) + Schema.timeBase
            let newest = spans.integer(7) + Schema.timeBase
            let wanted = (isPending ? all : ranges).filter { $0.lowerBound <= newest && oldest < $0.upperBound }
            if wanted.isEmpty { continue }
            if spans.integer(3) == 1, wanted.count == 1, wanted[0].lowerBound <= oldest, newest < wanted[0].upperBound {
                try body(.whole(within: wanted[0]), spans)
            } else {
                try body(.rows(first: spans.integer(4), last: spans.integer(5), times: wanted), spans)
            }
        }
    }

    /// The rows of a run in these times.
    func scan(
        _ columns: String, first: Int64, last: Int64, times: [Range<Int64>], _ body: (borrowing Statement) -> Void
    ) throws(QueryLogError) {
        let conditions = times.map { range -> String in
            let lower = range.lowerBound == .min ? "TRUE" : "time >= \(range.lowerBound - Schema.timeBase)"
            let upper = range.upperBound == .max ? "TRUE" : "time < \(range.upperBound - Schema.timeBase)"
            return "(\(lower) AND \(upper))"
        }
        let rows = try connection.prepare(
            """
            SELECT \(columns) FROM query_log WHERE id BETWEEN \(first) AND \(last)
            AND (\(conditions.joined(separator: " OR ")))
            """)
        while try rows.step() { body(rows) }
    }
}
