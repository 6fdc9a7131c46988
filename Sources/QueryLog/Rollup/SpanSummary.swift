internal import Wire

/// What a run of rows sums up to: which interned ids occur, how often, how often blocked, and how long answers took.
///
/// It answers two questions without the rows: "can one of them pass this filter?" and "how many are there of each?".
/// Kept in three blobs, so that a search reads no more of it than it needs: sets (outcomes, sources, processes, qtypes),
/// latencies, names. A value; any thread.
struct SpanSummary {
    var outcomes = IDCounts()
    var sources = IDCounts()
    var processes = IDCounts()
    var qtypes = IDCounts()
    var names = IDCounts()
    /// Latencies of all answers, and of those an upstream was asked for.
    var answered = LatencyHistogram()
    var resolved = LatencyHistogram()
    /// Sums of latencies by outcome, in microseconds, as the `queries` of counts.
    var latencySums = IDCounts()

    var sets: [UInt8] {
        var bytes: [UInt8] = []
        for counts in [outcomes, sources, processes, qtypes] { counts.append(to: &bytes) }
        return bytes
    }

    var latencies: [UInt8] {
        var bytes: [UInt8] = []
        answered.append(to: &bytes)
        resolved.append(to: &bytes)
        latencySums.append(to: &bytes)
        return bytes
    }

    /// The order of `sets`.
    enum Kind: Int {
        case outcomes, sources, processes, qtypes
    }
}

/// How often each of many ids occurs, in the order of ids.
///
/// As bytes: the number of ids; then for each, as varints, the difference to the id before and `queries << 2 | kind`,
/// where kind 0 says that none was blocked, 1 that all were, 2 that the number of blocked ones follows.
struct IDCounts: Equatable {
    struct Count: Equatable {
        var id: Int64
        var queries: Int64
        var blocked: Int64
    }

    var counts: [Count] = []

    init() {}

    /// A row's share.
    struct Entry {
        var id: Int64
        var queries: Int64
        var isBlocked: Bool
    }

    /// Sorts the entries, whose ids are not negative.
    init(_ entries: inout [Entry]) {
        entries.sort { $0.id < $1.id }
        for entry in entries {
            if entry.id != counts.last?.id { counts.append(Count(id: entry.id, queries: 0, blocked: 0)) }
            counts[counts.count - 1].queries += entry.queries
            if entry.isBlocked { counts[counts.count - 1].blocked += entry.queries }
        }
    }

    func append(to bytes: inout [UInt8]) {
        Varint.append(UInt64(counts.count), to: &bytes)
        var last: Int64 = 0
        for count in counts {
            Varint.append(UInt64(count.id - last), to: &bytes)
            last = count.id
            let kind: UInt64 = count.blocked == 0 ? 0 : count.blocked == count.queries ? 1 : 2
            Varint.append(UInt64(count.queries) << 2 | kind, to: &bytes)
            if kind == 2 { Varint.append(UInt64(count.blocked), to: &bytes) }
        }
    }

    /// Calls `body` with every count until it returns false. Returns nil when the bytes are no counts; else whether it
    /// came to the end, `offset` then being behind it.
    @inline(__always)
    static func read(_ bytes: RawSpan, _ offset: inout Int, _ body: (Count) -> Bool) -> Bool? {
        guard let number = Varint.read(bytes, &offset) else { return nil }
        var id: UInt64 = 0
        for _ in 0..<number {
            guard let step = Varint.read(bytes, &offset), let coded = Varint.read(bytes, &offset) else { return nil }
            let (sum, overflow) = id.addingReportingOverflow(step)
            guard !overflow, sum <= UInt64(Int64.max) else { return nil }
            id = sum
            var blocked: UInt64 = 0
            switch coded & 3 {
            case 0: break
            case 1: blocked = coded >> 2
            default:
                guard let some = Varint.read(bytes, &offset), some <= coded >> 2 else { return nil }
                blocked = some
            }
            guard body(Count(id: Int64(id), queries: Int64(coded >> 2), blocked: Int64(blocked))) else { return false }
        }
        return true
    }
}
