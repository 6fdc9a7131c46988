internal import GRDBSQLite
internal import Kernel
internal import Wire

/// The writer's hold on the database: opens it, writes transactions, keeps it within its limits, and decides what to do
/// after an error. The writer's thread alone.
final class WriterSession {
    private let path: String
    private let labels: LogLabels
    private let options: QueryLogWriter.Options
    private var store: RowStore?
    private var retention: Retention?
    /// `CLOCK_MONOTONIC` nanoseconds from which retention has work again.
    private var nextMaintenance: UInt64 = 0
    private var isLocked = false
    private var hasMaintenance = false

    private static let maintenancePeriod: UInt64 = 60_000_000_000
    /// The share of a second that retention may take: rows keep coming.
    private static let maintenanceBudget: UInt64 = 50_000_000

    init(path: String, labels: LogLabels, options: QueryLogWriter.Options) {
        self.path = path
        self.labels = labels
        self.options = options
    }

    func open() throws(QueryLogError) {
        let store = try RowStore(path, labels: labels, cachedNames: options.cachedNames)
        self.store = store
        retention = Retention(store.connection, options.limits)
    }

    /// Writes what is in the rings in one transaction and gives the room back.
    ///
    /// - Returns: rows written.
    func write(_ rings: [QueryRing]) throws(QueryLogError) -> Int64 {
        if let store, store.connection.hasMoved { close() }
        if store == nil { try open() }
        guard let store, rings.contains(where: { $0.used > 0 }) else {
            isLocked = false
            return 0
        }
        var count: Int64 = 0
        try store.begin()
        for ring in rings {
            // What comes in meanwhile waits for the next transaction.
            let end = ring.position + ring.used
            var position = ring.position
            while position < end,
                try ring.read(
                    &position,
                    { (row, qname, answer) throws(QueryLogError) in
                        try store.insert(row, qname: qname, answer: answer)
                    })
            {
                count += 1
            }
            ends.append(position)
        }
        try store.commit()
        for (ring, end) in zip(rings, ends) { ring.release(to: end) }
        ends.removeAll(keepingCapacity: true)
        isLocked = false
        return count
    }

    private var ends: [Int] = []

    /// Does some of retention's work when it is due, as long as `isQuiet`.
    func maintain(while isQuiet: () -> Bool) throws(QueryLogError) {
        let start = Clock.monotonic()
        if let store {
            while isQuiet(), Clock.monotonic() - start < WriterSession.maintenanceBudget,
                try Rollup.step(store.connection)
            {}
        }
        guard let retention, start >= nextMaintenance else { return }
        hasMaintenance = true
        while hasMaintenance, isQuiet(), Clock.monotonic() - start < WriterSession.maintenanceBudget {
            hasMaintenance = try retention.step(now: Clock.unixMicroseconds())
        }
        if !hasMaintenance { nextMaintenance = start + WriterSession.maintenancePeriod }
    }

    /// Milliseconds to sleep before the next transaction.
    func pause(isWritten: Bool, _ interval: Int) -> Int {
        isWritten ? interval : isLocked ? min(interval, 200) : interval
    }

    /// Undoes what was begun and makes the next `write` possible: a locked database is kept, a corrupt one is set aside,
    /// in all other cases it is opened anew.
    ///
    /// - Returns: the new path of a corrupt file.
    func recover(from error: QueryLogError) -> String? {
        ends.removeAll(keepingCapacity: true)
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
