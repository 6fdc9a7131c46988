internal import Wire

/// One line of a ranking.
public struct TopEntry: Sendable, Equatable {
    public var text: String
    public var queries: Int
    public var blocked: Int
    /// Of upstreams: the mean time of their answers, microseconds.
    public var meanLatency: Int64?

    public init(text: String, queries: Int, blocked: Int, meanLatency: Int64? = nil) {
        self.text = text
        self.queries = queries
        self.blocked = blocked
        self.meanLatency = meanLatency
    }
}

/// What can be ranked by the number of queries.
public enum TopKind: String, Sendable, CaseIterable {
    /// Names asked for; names blocked.
    case names, blocked
    /// Programs, as far as known; clients; lists that decided; servers that were asked (answers of the cache are nobody's).
    case apps, clients, lists, upstreams
}

extension QueryLogReader {
    /// The most frequent, most first, equal ones by text.
    ///
    /// Names, programs and clients are counted as far back as there are rows; lists and upstreams as far as hours are kept.
    ///
    /// - Parameters:
    ///   - since, until: microseconds since 1970; nil: from the first, to the last.
    ///   - limit: how many.
    public func top(
        _ kind: TopKind, since: Int64? = nil, until: Int64? = nil, limit: Int = 10
    ) throws -> [TopEntry] {
        let range = TimeRange(since: since, until: until)
        switch kind {
        case .names: return try top(range, .name, "SELECT id, text FROM names", limit)
        case .blocked: return try top(range, .name, "SELECT id, text FROM names", limit, onlyBlocked: true)
        case .apps: return try top(range, .process, "SELECT id, app FROM processes", limit)
        case .clients: return try top(range, .source, "SELECT id, client FROM sources", limit)
        case .lists:
            return try topOutcomes(range, limit) { $0.list }
        case .upstreams:
            return try topOutcomes(range, limit, latency: true) { $0.isResolved ? $0.upstream : nil }
        }
    }

    private func topOutcomes(
        _ range: TimeRange, _ limit: Int, latency: Bool = false, _ text: (OutcomeTable.Outcome) -> String?
    ) throws(QueryLogError) -> [TopEntry] {
        let sums = try outcomeSums(range, latencies: false)
        var entries: [String: (entry: TopEntry, latency: Int64)] = [:]
        for (id, sum) in sums.totals {
            let outcome = sums.table[id]
            guard let text = text(outcome), sum.queries > 0 else { continue }
            var found = entries[text] ?? (TopEntry(text: text, queries: 0, blocked: 0), 0)
            found.entry.queries += Int(sum.queries)
            if outcome.isBlocked { found.entry.blocked += Int(sum.queries) }
            found.latency += sum.latency
            entries[text] = found
        }
        return ranked(
            entries.values.map { value in
                var entry = value.entry
                if latency { entry.meanLatency = value.latency / Int64(entry.queries) }
                return entry
            }, limit)
    }

    private func ranked(_ entries: [TopEntry], _ limit: Int) -> [TopEntry] {
        Array(entries.sorted { ($1.queries, $0.text) < ($0.queries, $1.text) }.prefix(limit))
    }

    // MARK: - By interned ids

    private enum Column: String {
        case name, source, process
    }

    private struct Count {
        var queries = 0
        var blocked = 0
    }

    /// - Parameter texts: the ids of the column and their texts; several ids can have the same.
    private func top(
        _ range: TimeRange, _ column: Column, _ texts: String, _ limit: Int, onlyBlocked: Bool = false
    ) throws(QueryLogError) -> [TopEntry] {
        try connection.execute("BEGIN")
        defer { try? connection.execute("COMMIT") }
        let counts = try counts(column, range)
        // Texts are told apart by 64 bits of a hash with the process's random seed, so that only those that come out on
        // top are copied.
        var sums: [Int: (id: Int64, queries: Int, blocked: Int)] = [:]
        sums.reserveCapacity(min(counts.count, 1 << 18))
        try eachText(texts, counts) { id, hash in
            let count = counts[Int(id)]
            var sum = sums[hash] ?? (id, 0, 0)
            sum.queries &+= onlyBlocked ? count.blocked : count.queries
            sum.blocked &+= count.blocked
            sums[hash] = sum
        }
        // Equal counts are ordered by text, so all with as many queries as the last one come along.
        let most = sums.values.map(\.queries).sorted(by: >)
        guard let least = most.isEmpty ? nil : most[min(limit, most.count) - 1] else { return [] }
        let find = try connection.prepare("\(texts) WHERE id = ?")
        var entries: [TopEntry] = []
        for sum in sums.values where sum.queries >= max(least, 1) {
            find.bind(1, sum.id)
            if try find.step(), let text = find.text(1) {
                entries.append(TopEntry(text: text, queries: sum.queries, blocked: sum.blocked))
            }
            find.reset()
        }
        return ranked(entries, limit)
    }

    /// Calls `body` with each id that occurs and the hash of its text, if it has one.
    private func eachText(
        _ texts: String, _ counts: [Count], _ body: (Int64, Int) -> Void
    ) throws(QueryLogError) {
        let used = counts.indices.filter { counts[$0].queries > 0 }
        guard let first = used.first, let last = used.last else { return }
        func visit(_ row: borrowing Statement) {
            guard !row.isNull(1) else { return }
            body(row.integer(0), row.withText(1) { bytes in unsafe bytes.withUnsafeBytes { unsafe hash($0) } })
        }
        // Few of many are looked up, many of all are read in their order.
        if used.count < (last - first) / 16 {
            let find = try connection.prepare("\(texts) WHERE id = ?")
            for id in used {
                find.bind(1, Int64(id))
                if try find.step() { visit(find) }
                find.reset()
            }
        } else {
            let all = try connection.prepare("\(texts) WHERE id BETWEEN \(first) AND \(last)")
            while try all.step() {
                if counts[Int(all.integer(0))].queries > 0 { visit(all) }
            }
        }
    }

    /// Queries by interned id. The ids are small and dense, so they index an array.
    private func counts(_ column: Column, _ range: TimeRange) throws(QueryLogError) -> [Count] {
        let outcomes = try OutcomeTable(connection)
        // Ids that the table never gave can only stand in damaged sums.
        let table = column == .process ? "processes" : "\(column.rawValue)s"
        let greatest = Int(min(1 << 31, try connection.integer("SELECT max(id) FROM \(table)") ?? -1))
        var counts = [Count](repeating: Count(), count: greatest + 1)
        func add(_ id: Int64, _ queries: Int, _ blocked: Int) {
            guard id >= 0, id < counts.count else { return }
            let index = Int(id)
            counts[index].queries &+= queries
            counts[index].blocked &+= blocked
        }
        guard range.lower < range.upper else { return [] }
        try parts([range.lower..<range.upper]) { (part, spans) throws(QueryLogError) in
            switch part {
            case .rows(let first, let last, let times):
                try scan("\(column.rawValue), outcome, coalesce(count, 1)", first: first, last: last, times: times) {
                    row in
                    guard !row.isNull(0) else { return }
                    let queries = Int(row.integer(2))
                    add(row.integer(0), queries, outcomes[row.integer(1)].isBlocked ? queries : 0)
                }
            case .whole:
                spans.withBlob(column == .name ? 2 : 0) { bytes in
                    var offset = 0
                    if column != .name {
                        let kind: SpanSummary.Kind = column == .source ? .sources : .processes
                        for _ in 0..<kind.rawValue { _ = IDCounts.read(bytes, &offset) { _ in true } }
                    }
                    _ = IDCounts.read(bytes, &offset) { count in
                        add(count.id, Int(count.queries), Int(count.blocked))
                        return true
                    }
                }
            }
        }
        return counts
    }
}

/// 64 bits of SipHash with the process's random seed.
private func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
    var hasher = Hasher()
    unsafe hasher.combine(bytes: bytes)
    return hasher.finalize()
}
