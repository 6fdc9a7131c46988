/// Logged queries of one name and program with one outcome.
public struct ReplayedQueries: Sendable, Equatable {
    public var name: String
    /// The program's path; nil: not known.
    public var app: String?
    /// `block`, `allow` or `forward`, and why.
    public var verdict: String
    public var reason: String?
    public var queries: Int
}

extension QueryLogReader {
    /// Finds the queries whose names a judge picks out. Names are interned: each is judged once, however often it was asked
    /// for; then only runs of rows in which one of them occurs are read.
    ///
    /// - Parameters:
    ///   - since, until: microseconds since 1970; nil: from the first, to the last.
    ///   - judge: is given a name as logged, text in lower case.
    ///   - progress: names judged, and how many there are.
    /// - Returns: the queries, and how many there are of all names in that time.
    public func replay(
        since: Int64? = nil, until: Int64? = nil, progress: (Int64, Int64) -> Void = { _, _ in },
        judge: (String) -> Bool
    ) throws -> (found: [ReplayedQueries], total: Int) {
        let sums = try outcomeSums(TimeRange(since: since, until: until), latencies: false)
        try connection.execute("BEGIN")
        defer { try? connection.execute("COMMIT") }
        let total = sums.totals.reduce(0) { $0 + Int($1.value.queries) }
        var picked = IDSet()
        let all = try connection.integer("SELECT count(*) FROM names") ?? 0
        let names = try connection.prepare("SELECT id, text FROM names")
        var judged: Int64 = 0
        while try names.step() {
            judged += 1
            if judged & 0xFFF == 0 { progress(judged, all) }
            if let text = names.text(1), !text.isEmpty, judge(text) { picked.insert(names.integer(0)) }
        }
        guard !picked.isEmpty else { return ([], total) }
        var test = try RowTest(LogFilter(since: since, until: until), connection)
        test.names = picked
        return (try texts(of: counts(test)), total)
    }

    private struct Key: Hashable {
        var name: Int64
        var process: Int64
        var outcome: Int64
    }

    private func counts(_ test: RowTest) throws -> [Key: Int] {
        let fetch = try connection.prepare(
            "SELECT name, coalesce(process, -1), outcome, coalesce(count, 1) FROM query_log WHERE id = ?")
        var counts: [Key: Int] = [:]
        try search(test, newestFirst: false) { id in
            fetch.bind(1, id)
            defer { fetch.reset() }
            if try fetch.step() {
                let key = Key(name: fetch.integer(0), process: fetch.integer(1), outcome: fetch.integer(2))
                counts[key, default: 0] += Int(fetch.integer(3))
            }
            return true
        }
        return counts
    }

    /// The same text may have several ids: what has the same texts is added up.
    private func texts(of counts: [Key: Int]) throws -> [ReplayedQueries] {
        let name = try connection.prepare("SELECT text FROM names WHERE id = ?")
        let process = try connection.prepare("SELECT app FROM processes WHERE id = ?")
        let outcome = try connection.prepare("SELECT verdict, reason FROM outcomes WHERE id = ?")
        func text(_ statement: borrowing Statement, _ id: Int64, _ column: Int32 = 0) throws -> String? {
            statement.bind(1, id)
            defer { statement.reset() }
            return try statement.step() ? statement.text(column) : nil
        }
        struct Texts: Hashable {
            var name: String
            var app: String?
            var verdict: String
            var reason: String?
        }
        var sums: [Texts: Int] = [:]
        for (key, queries) in counts {
            let texts = Texts(
                name: try text(name, key.name) ?? "", app: try text(process, key.process),
                verdict: try text(outcome, key.outcome) ?? "", reason: try text(outcome, key.outcome, 1))
            sums[texts, default: 0] += queries
        }
        return sums.map {
            ReplayedQueries(
                name: $0.name, app: $0.app, verdict: $0.verdict, reason: $0.reason, queries: $1)
        }.sorted { ($1.queries, $0.name, $0.app ?? "") < ($0.queries, $1.name, $1.app ?? "") }
    }
}
