internal import Wire

/// A `LogFilter` as sets of interned ids, so that a row is tested with a few bits, and a run of rows by its summary.
struct RowTest {
    var outcomes: IDSet?
    var sources: IDSet?
    var processes: IDSet?
    var qtypes: IDSet?
    var names: IDSet?
    /// Microseconds since `Schema.timeBase`: not before; before.
    var since: Int64?
    var until: Int64?
    var after: Int64?

    /// Looks the ids up. One pass over the names when the filter has one.
    init(_ filter: LogFilter, _ connection: Connection) throws(QueryLogError) {
        since = filter.since.map { $0 - Schema.timeBase }
        until = filter.until.map { $0 - Schema.timeBase }
        after = filter.after
        if filter.verdicts != nil || filter.list != nil || filter.rcode != nil || filter.upstream != nil {
            outcomes = IDSet(try OutcomeTable(connection).ids { RowTest.passes($0, filter) })
        }
        if let client = filter.client {
            var ids = IDSet()
            let find = try connection.prepare("SELECT id, client FROM sources WHERE client IS NOT NULL")
            while try find.step() {
                if let address = find.text(1).flatMap({ IPAddress($0) }), client.matches(address) {
                    ids.insert(find.integer(0))
                }
            }
            sources = ids
        }
        if let app = filter.app { processes = try IDQuery.programs(app).ids(connection) }
        if let qtype = filter.qtype { qtypes = IDSet([Int64(qtype.code)]) }
        if let name = filter.name { names = try IDQuery.names(name).ids(connection) }
    }

    private static func passes(_ outcome: OutcomeTable.Outcome, _ filter: LogFilter) -> Bool {
        switch filter.verdicts {
        case .blocked where !outcome.isBlocked: return false
        case .allowed where outcome.isBlocked: return false
        case .passed where !outcome.isAllowed: return false
        case .forwarded where outcome.verdict != "forward": return false
        default: break
        }
        if let list = filter.list, outcome.list != list { return false }
        if let upstream = filter.upstream, outcome.upstream != upstream { return false }
        if let rcode = filter.rcode { return rcode == "none" ? outcome.rcode == nil : outcome.rcode == rcode }
        return true
    }

    /// Whether no row at all can pass.
    var isHopeless: Bool {
        [outcomes, sources, processes, qtypes, names].contains { $0?.isEmpty == true }
    }

    /// Whether a row of a run may pass that has the sets of ids `bytes` (`SpanSummary.sets`).
    func mayPass(sets bytes: RawSpan) -> Bool {
        var offset = 0
        for wanted in [outcomes, sources, processes, qtypes] {
            if !RowTest.meets(wanted, bytes, &offset) { return false }
        }
        return true
    }

    /// Whether a row of a run may pass that has the names `bytes`.
    func mayPass(names bytes: RawSpan) -> Bool {
        var offset = 0
        return RowTest.meets(names, bytes, &offset)
    }

    /// Whether one of the ids is wanted. Bytes that cannot be read say nothing, so that the rows are looked at.
    private static func meets(_ wanted: IDSet?, _ bytes: RawSpan, _ offset: inout Int) -> Bool {
        var isFound = wanted == nil
        guard
            IDCounts.read(
                bytes, &offset,
                { count in
                    if let wanted, wanted.contains(count.id) { isFound = true }
                    return true
                }) != nil
        else { return true }
        return isFound
    }

    /// The condition on `query_log` with the parameters ?1 and ?2 for the first and last id, which leaves out most rows
    /// that do not pass; `passes` has the last word.
    var condition: LogConditions {
        var conditions = LogConditions(reserved: 2)
        conditions.add("id BETWEEN ?1 AND ?2")
        for (column, set) in [
            ("outcome", outcomes), ("source", sources), ("process", processes), ("qtype", qtypes), ("name", names),
        ] {
            if let set { conditions.add("\(column) BETWEEN \(set.least) AND \(set.greatest)") }
        }
        if let since { conditions.add("time >= ?", .integer(since)) }
        if let until { conditions.add("time < ?", .integer(until)) }
        return conditions
    }

    /// The condition on `query_spans AS s`: which runs may have rows that pass, by their times and ids.
    var spanCondition: LogConditions {
        var conditions = LogConditions()
        if let after { conditions.add("s.last > ?", .integer(after)) }
        if let since { conditions.add("s.newest >= ?", .integer(since)) }
        if let until { conditions.add("s.oldest < ?", .integer(until)) }
        return conditions
    }

    /// Columns that `passes` reads.
    static let columns = "id, outcome, source, process, qtype, name"

    func passes(_ row: borrowing Statement) -> Bool {
        if let outcomes, !outcomes.contains(row.integer(1)) { return false }
        if let sources, !sources.contains(row.integer(2)) { return false }
        if let processes, !processes.contains(row.integer(3)) { return false }
        if let qtypes, !qtypes.contains(row.integer(4)) { return false }
        if let names, !names.contains(row.integer(5)) { return false }
        return true
    }
}
