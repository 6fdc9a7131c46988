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
    /// Times of the oldest and newest row, microseconds since 1970.
    public var oldest: Int64?
    public var newest: Int64?
    /// Blocked queries by list, most first; nil: by a rule of the user.
    public var lists: [(list: String?, queries: Int)] = []
    /// Of all answers; of those that had to ask an upstream.
    public var latency = LatencyHistogram()
    public var upstreamLatency = LatencyHistogram()
    /// The last 24 hours with rows or without, oldest first.
    public var hours: [Hour] = []

    /// Of all queries, 0…1.
    public var blockedShare: Double { queries == 0 ? 0 : Double(blocked) / Double(queries) }
    /// Of the queries that cache or upstream answered, 0…1.
    public var cachedShare: Double { cached + resolved == 0 ? 0 : Double(cached) / Double(cached + resolved) }
}

extension QueryLogReader {
    /// Sums up the rows since a time, in one pass over them.
    ///
    /// - Parameters:
    ///   - since: microseconds since 1970; nil: all rows.
    ///   - now: the end of the last of the 24 hours, microseconds since 1970.
    public func statistics(since: Int64? = nil, now: Int64) throws -> LogStatistics {
        var statistics = LogStatistics()
        let outcomes = try outcomes()
        let hour: Int64 = 3_600_000_000
        let lastHour = now - now % hour
        statistics.hours = (0..<24).map { .init(start: lastHour - Int64(23 - $0) * hour) }
        var lists: [String?: Int] = [:]
        try scan("l.outcome, l.time, l.latency", LogFilter(since: since)) { row in
            let outcome = outcomes[row.integer(0)] ?? Outcome()
            let time = row.integer(1) + Schema.timeBase
            statistics.queries += 1
            statistics.oldest = min(statistics.oldest ?? time, time)
            statistics.newest = max(statistics.newest ?? time, time)
            if outcome.isBlocked {
                statistics.blocked += 1
                lists[outcome.list, default: 0] += 1
            }
            if outcome.isAllowed { statistics.allowed += 1 }
            if outcome.isCached { statistics.cached += 1 }
            if outcome.isResolved { statistics.resolved += 1 }
            if outcome.isFailed { statistics.failed += 1 }
            if !row.isNull(2) {
                statistics.latency.add(row.integer(2))
                if outcome.isResolved { statistics.upstreamLatency.add(row.integer(2)) }
            }
            let slot = (time - statistics.hours[0].start) / hour
            if time >= statistics.hours[0].start, slot < 24 {
                statistics.hours[Int(slot)].queries += 1
                if outcome.isBlocked { statistics.hours[Int(slot)].blocked += 1 }
            }
        }
        statistics.lists = lists.map { (list: $0.key, queries: $0.value) }
            .sorted { ($1.queries, $0.list ?? "") < ($0.queries, $1.list ?? "") }
        return statistics
    }

    /// What statistics need of an outcome.
    struct Outcome {
        var isBlocked = false
        var isAllowed = false
        var isCached = false
        var isResolved = false
        var isFailed = false
        var list: String?
    }

    func outcomes() throws(QueryLogError) -> [Int64: Outcome] {
        let statement = try connection.prepare("SELECT id, verdict, list, rcode, upstream, cached FROM outcomes")
        var outcomes: [Int64: Outcome] = [:]
        while try statement.step() {
            let cached = statement.integer(5) != 0
            let blocked = statement.text(1) == "block"
            outcomes[statement.integer(0)] = Outcome(
                isBlocked: blocked, isAllowed: statement.text(1) == "allow", isCached: cached && !blocked,
                isResolved: !cached && !blocked && !statement.isNull(4),
                isFailed: statement.isNull(3) || statement.text(3) == "SERVFAIL", list: statement.text(2))
        }
        return outcomes
    }

    /// Steps through columns of `query_log AS l`, in the order of ids.
    func scan(
        _ columns: String, _ filter: LogFilter, _ body: (borrowing Statement) -> Void
    ) throws(QueryLogError) {
        let condition = filter.condition()
        let statement = try connection.prepare("SELECT \(columns) FROM query_log AS l WHERE \(condition.sql)")
        condition.bind(statement)
        while try statement.step() { body(statement) }
    }
}
