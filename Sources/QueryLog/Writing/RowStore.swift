internal import Wire

/// The writing side of `querylog.db`: rows go in, interned, in transactions. One thread.
///
/// After any error the caller rolls back and, when it goes on, opens a new store.
final class RowStore {
    let connection: Connection
    private let names: Interner
    private let few: FewInterner
    private let flows: FlowStore
    private let insertRow: Statement
    private let insertSpan: Statement
    private let dataVersion: Statement
    private let beginStatement: Statement
    private let commitStatement: Statement

    /// The id of the next row: above every id ever given.
    private var nextID: Int64
    private var span: Span
    private var committedSpan: Span
    private let epochRows: Int64
    private var isWarm = false
    /// Changes when another connection has committed (`PRAGMA data_version`).
    private var knownVersion: Int64

    /// A run of ids and the times their rows lie between.
    struct Span {
        var first: Int64
        var last: Int64
        var oldest: Int64 = .max
        var newest: Int64 = .min

        /// Spans are closed at this many ids: small enough to be skipped precisely, large enough to be few.
        static let size: Int64 = 8192

        var isEmpty: Bool { oldest > newest }
    }

    /// Names and answers note the last epoch that used them: a run of this many row ids. Counting rows instead of days,
    /// what no row needs any more is known exactly, whatever the clock did.
    static let epochRows: Int64 = 1 << 18

    /// Opens the database, creating or migrating it.
    ///
    /// - Parameter cachedNames: entries of the cache of names.
    init(
        _ path: String, labels: LogLabels, privacy: QueryLogPrivacy = QueryLogPrivacy(), cachedNames: Int = 262_144,
        epochRows: Int64 = RowStore.epochRows
    ) throws(QueryLogError) {
        self.epochRows = epochRows
        try Schema.migrate(path)
        connection = try Connection(path, .readWrite)
        try connection.execute(
            """
            PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 100;
            PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 8388608; PRAGMA cache_size = -1024
            """)
        nextID = try RowStore.nextID(connection)
        span = Span(first: nextID, last: nextID - 1)
        committedSpan = span
        names = try Interner(connection, labels: labels, cachedNames: cachedNames)
        few = try FewInterner(connection, labels: labels, privacy: privacy)
        flows = try FlowStore(connection, names: names, few: few)
        insertRow = try connection.prepare("INSERT INTO query_log VALUES (?,?,?,?,?,?,?,?,?,?,?)")
        insertSpan = try connection.prepare("INSERT OR REPLACE INTO query_spans VALUES (?,?,?,?,?,NULL)")
        dataVersion = try connection.prepare("PRAGMA data_version")
        beginStatement = try connection.prepare("BEGIN IMMEDIATE")
        commitStatement = try connection.prepare("COMMIT")
        knownVersion = try RowStore.read(dataVersion)
    }

    private static func nextID(_ connection: Connection) throws(QueryLogError) -> Int64 {
        var last: Int64 = 0
        for sql in [
            "SELECT max(id) FROM query_log", "SELECT max(id) FROM flow_log", "SELECT max(last) FROM query_spans",
        ] {
            last = max(last, try connection.integer(sql) ?? 0)
        }
        return last + 1
    }

    private static func read(_ statement: borrowing Statement) throws(QueryLogError) -> Int64 {
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : 0
    }

    /// Starts a transaction.
    func begin() throws(QueryLogError) {
        try beginStatement.run()
        let version = try RowStore.read(dataVersion)
        if version != knownVersion {
            // Another program has changed something: what is remembered of the database need not be true.
            knownVersion = version
            names.forget()
            few.forget()
            isWarm = false
            nextID = max(nextID, try RowStore.nextID(connection))
            closeSpan()
        }
        names.start()
        few.start()
        if !isWarm {
            try names.warm()
            isWarm = true
        }
    }

    /// Adds the row of a query to the open transaction.
    func insert(_ row: borrowing QueryRow, qname: RawSpan, answer: RawSpan) throws(QueryLogError) {
        names.epoch = Int32(truncatingIfNeeded: nextID / epochRows)
        let name = qname.byteCount == 0 ? 0 : try names.name(qname)
        let time = row.time - Schema.timeBase
        insertRow.bind(1, nextID)
        insertRow.bind(2, try few.outcome(row))
        insertRow.bind(3, name)
        insertRow.bind(4, try few.source(row))
        insertRow.bind(5, time)
        insertRow.bind(6, try few.qtype(row.qtype))
        insertRow.bind(7, try names.rule(row.match, row.rule, labels: row.labels, qname: qname, name: name))
        insertRow.bind(8, try names.answer(answer))
        insertRow.bind(9, row.latency < 0 ? nil : Int64(row.latency))
        insertRow.bind(10, try few.process(row))
        insertRow.bind(11, row.count == 1 ? nil : Int64(row.count))
        try insertRow.run()
        try advance(time)
    }

    /// Writes what is told of a flow in the open transaction.
    func insert(_ row: borrowing FlowRow, name: RawSpan) throws(QueryLogError) {
        names.epoch = Int32(truncatingIfNeeded: nextID / epochRows)
        if try flows.write(row, name: name, id: nextID) { try advance(row.time - Schema.timeBase) }
    }

    /// Counts the id as given.
    private func advance(_ time: Int64) throws(QueryLogError) {
        if nextID - span.first >= Span.size {
            try writeSpan()
            span = Span(first: nextID, last: nextID)
        }
        span.last = nextID
        span.oldest = min(span.oldest, time)
        span.newest = max(span.newest, time)
        nextID += 1
    }

    /// Makes the open transaction durable against a crash of the process.
    func commit() throws(QueryLogError) {
        try writeSpan()
        try commitStatement.run()
        committedSpan = span
    }

    /// Begins a new span with the next row, so that others may change the facts of those that are there.
    func closeSpan() {
        span = Span(first: nextID, last: nextID - 1)
        committedSpan = span
    }

    private func writeSpan() throws(QueryLogError) {
        guard !span.isEmpty else { return }
        insertSpan.bind(1, span.first)
        insertSpan.bind(2, span.last)
        insertSpan.bind(3, span.oldest)
        insertSpan.bind(4, span.newest)
        insertSpan.bind(5, span.last - span.first + 1)
        try insertSpan.run()
    }

    /// Undoes the open transaction, if there is one; the store can be used again.
    func rollback() {
        guard connection.isInTransaction else { return }
        try? connection.execute("ROLLBACK")
        // Ids given in the transaction are no longer true.
        names.forget()
        few.forget()
        isWarm = false
        span = committedSpan
        nextID = span.last + 1
    }
}
