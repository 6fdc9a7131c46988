internal import Wire

/// The writing side of `querylog.db`: rows go in, interned, in transactions. One thread.
///
/// After any error the caller rolls back and, when it goes on, opens a new store.
final class RowStore {
    let connection: Connection
    private let interned: Interner
    private let insertRow: Statement
    private let insertSpan: Statement
    private let beginStatement: Statement
    private let commitStatement: Statement

    /// The id of the next row: above every id ever given.
    private var nextID: Int64
    private var span: Span
    private var committedSpan: Span
    private let epochRows: Int64
    private var isWarm = false

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
    /// - Parameter cachedNames: entries of one generation of the cache of names.
    init(
        _ path: String, labels: LogLabels, cachedNames: Int = 16_384, epochRows: Int64 = RowStore.epochRows
    ) throws(QueryLogError) {
        self.epochRows = epochRows
        try Schema.migrate(path)
        connection = try Connection(path, .readWrite)
        try connection.execute(
            """
            PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 100;
            PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 8388608; PRAGMA cache_size = -2048
            """)
        let lastRow = try connection.integer("SELECT max(id) FROM query_log") ?? 0
        let lastSpan = try connection.integer("SELECT max(last) FROM query_spans") ?? 0
        nextID = max(lastRow, lastSpan) + 1
        span = Span(first: nextID, last: nextID - 1)
        committedSpan = span
        interned = try Interner(connection, labels: labels, cachedNames: cachedNames)
        insertRow = try connection.prepare("INSERT INTO query_log VALUES (?,?,?,?,?,?,?,?,?,?)")
        insertSpan = try connection.prepare("INSERT OR REPLACE INTO query_spans VALUES (?,?,?,?)")
        beginStatement = try connection.prepare("BEGIN IMMEDIATE")
        commitStatement = try connection.prepare("COMMIT")
    }

    /// Starts a transaction.
    func begin() throws(QueryLogError) {
        try beginStatement.run()
        interned.start()
        if !isWarm {
            try interned.warm()
            isWarm = true
        }
    }

    /// Adds one row to the open transaction.
    func insert(_ row: borrowing QueryRow, qname: RawSpan, answer: RawSpan) throws(QueryLogError) {
        interned.epoch = Int32(truncatingIfNeeded: nextID / epochRows)
        let name = try interned.name(qname)
        let time = row.time - Schema.timeBase
        insertRow.bind(1, nextID)
        insertRow.bind(2, try interned.outcome(row))
        insertRow.bind(3, name)
        insertRow.bind(4, try interned.source(row))
        insertRow.bind(5, time)
        insertRow.bind(6, try interned.qtype(row.qtype))
        insertRow.bind(7, try interned.rule(row, qname: qname, name: name))
        insertRow.bind(8, try interned.answer(answer))
        insertRow.bind(9, row.latency < 0 ? nil : Int64(row.latency))
        insertRow.bind(10, try interned.process(row.owner))
        try insertRow.run()
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

    private func writeSpan() throws(QueryLogError) {
        guard !span.isEmpty else { return }
        insertSpan.bind(1, span.first)
        insertSpan.bind(2, span.last)
        insertSpan.bind(3, span.oldest)
        insertSpan.bind(4, span.newest)
        try insertSpan.run()
    }

    /// Undoes the open transaction, if there is one; the store can be used again.
    func rollback() {
        guard connection.isInTransaction else { return }
        try? connection.execute("ROLLBACK")
        // Ids given in the transaction are no longer true.
        interned.forget()
        isWarm = false
        span = committedSpan
        nextID = span.last + 1
    }
}
