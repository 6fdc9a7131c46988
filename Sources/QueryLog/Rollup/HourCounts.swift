/// Sums of rows by hour and outcome, on their way into `query_hours` and `query_hour_latencies`.
struct HourCounts {
    private struct Hour {
        var outcomes: [Int64: (queries: Int64, latency: Int64)] = [:]
        var answered = LatencyHistogram()
        var resolved = LatencyHistogram()
    }

    private var hours: [Int64: Hour] = [:]

    /// Adds one row.
    ///
    /// - Parameters:
    ///   - time: microseconds since 1970.
    ///   - latency: microseconds; nil when no answer was given.
    ///   - isResolved: whether an upstream was asked for it.
    ///   - queries: how many the row stands for.
    mutating func add(time: Int64, outcome: Int64, latency: Int64?, isResolved: Bool, queries: Int64) {
        let hour = HourCounts.hour(time)
        let latencySum = max(0, latency ?? 0) * queries
        hours[hour, default: Hour()].outcomes[outcome, default: (0, 0)].queries += queries
        hours[hour]?.outcomes[outcome]?.latency += latencySum
        guard let latency else { return }
        hours[hour]?.answered.add(latency, times: Int(queries))
        if isResolved { hours[hour]?.resolved.add(latency, times: Int(queries)) }
    }

    /// Whole hours since 1970.
    static func hour(_ time: Int64) -> Int64 {
        time >= 0 ? time / hourMicroseconds : (time - hourMicroseconds + 1) / hourMicroseconds
    }

    static let hourMicroseconds: Int64 = 3_600_000_000

    /// Adds the sums to those in the database. Inside a transaction.
    func write(_ connection: Connection) throws(QueryLogError) {
        let add = try connection.prepare(
            """
            INSERT INTO query_hours (hour, outcome, queries, latency) VALUES (?, ?, ?, ?) ON CONFLICT (hour, outcome)
            DO UPDATE SET queries = queries + excluded.queries, latency = latency + excluded.latency
            """)
        let find = try connection.prepare("SELECT answered, resolved FROM query_hour_latencies WHERE hour = ?")
        let replace = try connection.prepare("INSERT OR REPLACE INTO query_hour_latencies VALUES (?, ?, ?)")
        for (number, hour) in hours {
            for (outcome, sums) in hour.outcomes {
                add.bind(1, number)
                add.bind(2, outcome)
                add.bind(3, sums.queries)
                add.bind(4, sums.latency)
                try add.run()
            }
            var (answered, resolved) = (hour.answered, hour.resolved)
            find.bind(1, number)
            if try find.step() {
                find.withBlob(0) { answered.merge($0) }
                find.withBlob(1) { resolved.merge($0) }
            }
            find.reset()
            replace.bind(1, number)
            replace.bind(2, bytes: answered.bytes)
            replace.bind(3, bytes: resolved.bytes)
            try replace.run()
        }
    }
}
