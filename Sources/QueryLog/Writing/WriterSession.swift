internal import GRDBSQLite
internal import Kernel
internal import Wire

/// The writer's hold on rows and database: takes rows out of the rings, opens the database, writes transactions, keeps it
/// within its limits, and decides what to do after an error. The writer's thread alone.
final class WriterSession {
    private let path: String
    private let labels: LogLabels
    private var options: QueryLogWriter.Options
    private let batch: RowBatch
    private var store: RowStore?
    private var retention: Retention?
    /// `CLOCK_MONOTONIC` nanoseconds from which retention has work again.
    private var nextMaintenance: UInt64 = 0
    private var ageing = AgeingClock()
    private var isLocked = false
    private var hasMaintenance = false
    /// Rows taken since the second began, and when it did.
    private var takenRows = 0
    private(set) var totalTaken = 0
    private var second: UInt64 = 0

    private static let maintenancePeriod: UInt64 = 60_000_000_000
    /// The share of a second that retention may take: rows keep coming.
    private static let maintenanceBudget: UInt64 = 500_000_000

    init(path: String, labels: LogLabels, options: QueryLogWriter.Options) {
        self.path = path
        self.labels = labels
        self.options = options
        batch = RowBatch(limit: options.waitingBytes, privacy: options.privacy)
    }

    /// Keeps to other limits, from the next maintenance on, which is soon.
    func use(_ limits: QueryLogLimits) {
        options.limits = limits
        retention?.limits = limits
        nextMaintenance = 0
    }

    func open() throws(QueryLogError) {
        let store = try RowStore(
            path, labels: labels, privacy: options.privacy, cachedNames: options.cachedNames)
        self.store = store
        retention = Retention(store, options.limits)
    }

    // MARK: - Rows

    /// Rows that wait out of the rings, their bytes, and the queries they stand for.
    var waiting: (bytes: Int, rows: Int, queries: Int64) { (batch.byteCount, batch.rows, batch.queries) }

    /// Whether rows should be written before the interval is over.
    var isFull: Bool { batch.byteCount * 4 > batch.limit }
    /// Whether the rings cannot be emptied.
    var isStuck: Bool { batch.byteCount + RowBatch.largest > batch.limit }

    /// Takes rows out of the rings, as many as there is room for.
    func collect(_ rings: QueryRings) {
        let now = Clock.monotonic()
        if now - second > 1_000_000_000 {
            second = now
            takenRows = 0
        }
        // What comes in meanwhile waits for the next time.
        for (ring, end) in zip(rings.rings, rings.ends) {
            let taken = batch.take(ring, upTo: end, folding: takenRows >= foldsAbove)
            takenRows += taken
            totalTaken += taken
        }
    }

    /// Counters are always added up.
    private var foldsAbove: Int { options.privacy.keepsFlows ? options.foldsAbove : 0 }

    /// Writes what was collected in one transaction.
    ///
    /// - Returns: rows written, and the queries they stand for.
    func write() throws(QueryLogError) -> (rows: Int, queries: Int64) {
        if let store, store.connection.hasMoved { close() }
        if store == nil { try open() }
        guard let store, batch.rows > 0 else {
            isLocked = false
            return (0, 0)
        }
        try store.begin()
        try batch.forEach(
            query: { (row, qname, answer) throws(QueryLogError) in
                try store.insert(row, qname: qname, answer: answer)
            },
            flow: { (row, name) throws(QueryLogError) in try store.insert(row, name: name) })
        try store.commit()
        let written = (batch.rows, batch.queries)
        batch.removeAll()
        isLocked = false
        return written
    }

    // MARK: - Retention and recovery

    /// Sums up and does some of retention's work when it is due, as long as `isQuiet`. A step of each at least: a thread that
    /// others keep from the processor spends its time waiting.
    func maintain(while isQuiet: () -> Bool) throws(QueryLogError) {
        let start = Clock.monotonic()
        let end = start + WriterSession.maintenanceBudget
        guard let store, let retention, isQuiet() else { return }
        var hasRuns = true
        repeat {
            hasRuns = try Rollup.step(store.connection)
        } while hasRuns && isQuiet() && Clock.monotonic() < end
        guard start >= nextMaintenance else { return }
        let now = ageing.now(wall: Clock.unixMicroseconds(), monotonic: Clock.monotonic())
        repeat {
            hasMaintenance = try retention.step(now: now)
        } while hasMaintenance && isQuiet() && Clock.monotonic() < end
        if !hasMaintenance { nextMaintenance = start + WriterSession.maintenancePeriod }
    }

    /// Milliseconds to sleep before the next transaction.
    func pause(isWritten: Bool, _ interval: Int) -> Int {
        isWritten ? interval : isLocked ? min(interval, 200) : min(interval, 1000)
    }

    /// Undoes what was begun and makes the next `write` possible: a locked database is kept, a corrupt one is set aside,
    /// in all other cases it is opened anew.
    ///
    /// - Returns: the new path of a corrupt file.
    func recover(from error: QueryLogError) -> String? {
        store?.rollback()
        isLocked = false
        switch error.primaryCode {
        case SQLITE_BUSY, SQLITE_LOCKED:
            isLocked = true
            return nil
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            close()
            return try? SetAside.move(path, time: Int(Clock.unixMicroseconds() / 1_000_000))
        default:
            close()
            return nil
        }
    }

    private func close() {
        retention = nil
        store = nil
    }
}
