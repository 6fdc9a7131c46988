/// What a stretch of the log sums up to.
public struct LogStatistics: Sendable {
    public struct Hour: Sendable, Equatable {
        /// Microseconds since 1970, a whole hour in UTC.
        public var start: Int64
        public var queries = 0
        public var blocked = 0
    }

    public var queries = 0
    public var blocked = 0
    /// Passed by a rule or list that allows.
    public var allowed = 0
    /// Answered from the cache, or by an upstream.
    public var cached = 0
    public var resolved = 0
    /// Answered with SERVFAIL or not at all.
    public var failed = 0
    /// Times of the oldest and newest query, microseconds since 1970; the oldest is exact to the hour when its row is gone.
    public var oldest: Int64?
    public var newest: Int64?
    /// Blocked queries by list, most first; nil: by a rule of the user.
    public var lists: [(list: String?, queries: Int)] = []
    /// Of all answers; of those that had to ask an upstream.
    public var latency = LatencyHistogram()
    public var upstreamLatency = LatencyHistogram()
    /// The last hours with queries or without, oldest first.
    public var hours: [Hour] = []

    /// Of all queries, 0…1.
    public var blockedShare: Double { queries == 0 ? 0 : Double(blocked) / Double(queries) }
    /// Of the queries that cache or upstream answered, 0…1.
    public var cachedShare: Double { cached + resolved == 0 ? 0 : Double(cached) / Double(cached + resolved) }
}

extension QueryLogReader {
    /// Sums up the queries of a time: whole hours from the hourly sums, which outlive the rows, the rest from the rows.
    ///
    /// - Parameters:
    ///   - since, until: microseconds since 1970; nil: from the first, to the last.
    ///   - now: the end of the last of the hours, microseconds since 1970.
    ///   - hours: how many hours are told one by one.
    public func statistics(
        since: Int64? = nil, until: Int64? = nil, now: Int64, hours: Int = 24
    ) throws -> LogStatistics {
        let sums = try outcomeSums(TimeRange(since: since, until: until), latencies: true)
        var statistics = LogStatistics()
        statistics.latency = sums.answered
        statistics.upstreamLatency = sums.resolved
        statistics.oldest = sums.oldest
        statistics.newest = sums.newest
        var lists: [String?: Int] = [:]
        for (id, sum) in sums.totals {
            let outcome = sums.table[id]
            let queries = Int(sum.queries)
            statistics.queries &+= queries
            if outcome.isBlocked {
                statistics.blocked &+= queries
                lists[outcome.list, default: 0] &+= queries
            }
            if outcome.isAllowed { statistics.allowed &+= queries }
            if outcome.isCached { statistics.cached &+= queries }
            if outcome.isResolved { statistics.resolved &+= queries }
            if outcome.isFailed { statistics.failed &+= queries }
        }
        statistics.lists = lists.map { (list: $0.key, queries: $0.value) }
            .sorted { ($1.queries, $0.list ?? "") < ($0.queries, $1.list ?? "") }
        let last = HourCounts.hour(now)
        statistics.hours = (0..<Int64(hours)).map { index in
            let hour = last - Int64(hours) + 1 + index
            let sum = sums.hours[hour] ?? (0, 0)
            return .init(start: hour * HourCounts.hourMicroseconds, queries: sum.queries, blocked: sum.blocked)
        }
        return statistics
    }

    /// Queries by outcome, and what else stands in the same places.
    struct OutcomeSums {
        var table: OutcomeTable
        /// Queries of an outcome and the sum of their latencies in microseconds.
        var totals: [Int64: (queries: Int64, latency: Int64)] = [:]
        var hours: [Int64: (queries: Int, blocked: Int)] = [:]
        var answered = LatencyHistogram()
        var resolved = LatencyHistogram()
        /// Microseconds since 1970.
        var oldest: Int64?
        var newest: Int64?

        fileprivate mutating func add(_ outcome: Int64, hour: Int64, queries: Int64, latency: Int64) {
            var total = totals[outcome] ?? (0, 0)
            total.queries &+= queries
            total.latency &+= latency
            totals[outcome] = total
            var sum = hours[hour] ?? (0, 0)
            sum.queries &+= Int(queries)
            if table[outcome].isBlocked { sum.blocked &+= Int(queries) }
            hours[hour] = sum
        }

        fileprivate mutating func see(_ oldest: Int64, _ newest: Int64) {
            self.oldest = min(self.oldest ?? oldest, oldest)
            self.newest = max(self.newest ?? newest, newest)
        }
    }

    /// - Parameter latencies: whether the histograms are wanted.
    func outcomeSums(_ range: TimeRange, latencies: Bool) throws(QueryLogError) -> OutcomeSums {
        try connection.execute("BEGIN")
        defer { try? connection.execute("COMMIT") }
        var sums = OutcomeSums(table: try OutcomeTable(connection))
        let (hours, edges) = range.split
        try addHours(hours, latencies, &sums)
        let hour = HourCounts.hourMicroseconds
        let pending: Range<Int64>? =
            hours.isEmpty
            ? nil
            : (range.since == nil ? .min : hours.lowerBound * hour)..<(range.until == nil
                ? .max : hours.upperBound * hour)
        try parts(edges, pending: pending) { (part, spans) throws(QueryLogError) in
            try addRows(part, spans, &sums)
        }
        let bounds = try connection.prepare(
            "SELECT min(oldest), max(newest) FROM query_spans WHERE newest >= ? AND oldest < ?")
        bounds.bind(1, range.since.map { $0 - Schema.timeBase } ?? .min)
        bounds.bind(2, range.until.map { $0 - Schema.timeBase } ?? .max)
        if try bounds.step(), !bounds.isNull(0), !sums.totals.isEmpty {
            sums.see(
                max(range.lower, bounds.integer(0) + Schema.timeBase),
                min(range.upper, bounds.integer(1) + Schema.timeBase))
        }
        return sums
    }

    private func addHours(
        _ hours: Range<Int64>, _ latencies: Bool, _ sums: inout OutcomeSums
    ) throws(QueryLogError) {
        guard !hours.isEmpty else { return }
        let find = try connection.prepare(
            "SELECT hour, outcome, queries, latency FROM query_hours WHERE hour >= ? AND hour < ?")
        find.bind(1, hours.lowerBound)
        find.bind(2, hours.upperBound)
        var first: Int64?
        while try find.step() {
            let hour = find.integer(0)
            first = first ?? hour
            sums.add(find.integer(1), hour: hour, queries: find.integer(2), latency: find.integer(3))
        }
        // An hour whose rows are gone begins before those that are left.
        if let first {
            let oldest = try connection.integer("SELECT min(oldest) FROM query_spans").map { $0 + Schema.timeBase }
            let start = first * HourCounts.hourMicroseconds
            if oldest.map({ $0 >= start + HourCounts.hourMicroseconds }) ?? true { sums.see(start, start) }
        }
        guard latencies else { return }
        let histograms = try connection.prepare(
            "SELECT answered, resolved FROM query_hour_latencies WHERE hour >= ? AND hour < ?")
        histograms.bind(1, hours.lowerBound)
        histograms.bind(2, hours.upperBound)
        while try histograms.step() {
            histograms.withBlob(0) { sums.answered.merge($0) }
            histograms.withBlob(1) { sums.resolved.merge($0) }
        }
    }

    private func addRows(
        _ part: Part, _ spans: borrowing Statement, _ sums: inout OutcomeSums
    ) throws(QueryLogError) {
        switch part {
        case .rows(let first, let last, let times):
            try scan("outcome, time, latency, coalesce(count, 1)", first: first, last: last, times: times) { row in
                let outcome = row.integer(0)
                let latency = row.optionalInteger(2).map { max(0, $0) }
                let queries = row.integer(3)
                sums.add(
                    outcome, hour: HourCounts.hour(row.integer(1) + Schema.timeBase), queries: queries,
                    latency: (latency ?? 0) &* queries)
                guard let latency else { return }
                sums.answered.add(latency, times: Int(queries))
                if sums.table[outcome].isResolved { sums.resolved.add(latency, times: Int(queries)) }
            }
        case .whole(let times):
            // Inside an edge, which is inside one hour.
            let hour = HourCounts.hour(times.lowerBound)
            spans.withBlob(0) { bytes in
                var offset = 0
                _ = IDCounts.read(bytes, &offset) { count in
                    sums.add(count.id, hour: hour, queries: count.queries, latency: 0)
                    return true
                }
            }
            spans.withBlob(1) { bytes in
                var offset = 0
                sums.answered.merge(bytes, &offset)
                sums.resolved.merge(bytes, &offset)
                _ = IDCounts.read(bytes, &offset) { count in
                    sums.totals[count.id]?.latency &+= count.queries
                    return true
                }
            }
        }
    }
}
