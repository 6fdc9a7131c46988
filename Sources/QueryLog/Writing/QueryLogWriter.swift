internal import Glibc
internal import Kernel
internal import Synchronization

/// Writes what the engines push into `querylog.db`: one thread at low priority, one transaction a second, earlier when a
/// ring is a quarter full.
///
/// Rows wait in memory until the transaction that holds them is committed. When the database is locked, full, read-only or
/// out of reach, they wait longer, up to `Options.waitingBytes` and the size of the rings; what no longer fits is dropped
/// and counted, and writing goes on by itself when it can. A corrupt file is set aside and a new one begun. Safe from any
/// thread.
public final class QueryLogWriter: Sendable {
    public struct Options: Sendable {
        public var limits = QueryLogLimits()
        public var privacy = QueryLogPrivacy()
        /// Bytes of rows that may wait for the database, besides those in the rings.
        public var waitingBytes = 4 << 20
        /// Rows of a second above which queries that repeat are added up in one row with a count.
        public var foldsAbove = 30_000
        /// Milliseconds between transactions.
        public var interval = 1000
        /// Of the writer's thread: 0…19; less while a ring fills up (`Haste`).
        public var niceness: Int32 = 19
        /// Names whose ids are kept in memory, 16 bytes each. What is forgotten gets another row when it comes again, and the
        /// fewer rows there are the sooner a search for names ends.
        public var cachedNames = 262_144

        public init() {}
    }

    public enum State: Sendable, Equatable {
        case writing
        /// Rows wait in memory; the reason is for people.
        case waiting(reason: String)
        case stopped
    }

    public struct Status: Sendable {
        public var state: State
        /// Rows committed since the start, and queries that were added to one of them instead of getting their own.
        public var writtenRows: Int64
        public var foldedRows: Int64
        /// Rows that were lost because the rings were full, or that `stop` could not write.
        public var droppedRows: Int64
        /// Bytes that wait in memory.
        public var waitingBytes: Int
        /// Files that were found corrupt and moved to these paths since the start.
        public var setAside: [String]
    }

    private struct Shared {
        var state = State.writing
        var written: Int64 = 0
        var folded: Int64 = 0
        var waiting = 0
        var lost: Int64 = 0
        var setAside: [String] = []
        /// Limits that the thread has not taken yet.
        var limits: QueryLogLimits?
        var thread: LowPriorityThread?
    }

    public let path: String
    private let rings: QueryRings
    private let labels: LogLabels
    private let options: Options
    private let shared = Mutex(Shared())
    private let stopping = Atomic<Bool>(false)
    private let flushesAsked = Atomic<Int>(0)
    private let flushesDone = Atomic<Int>(0)

    /// Opens the database, making or migrating it, and starts the thread.
    ///
    /// - Parameters:
    ///   - path: of `querylog.db`; its directory must exist.
    ///   - rings: at least one; each has one producer.
    /// - Throws: `QueryLogError.newer` or `.foreign` when the file is not for this program. Any other trouble does not
    ///   throw: the writer starts in the state `waiting` and goes on trying.
    public init(path: String, rings: [QueryRing], labels: LogLabels, options: Options = Options()) throws {
        self.path = path
        self.rings = QueryRings(rings)
        self.labels = labels
        self.options = options
        let session = WriterSession(path: path, labels: labels, options: options)
        do throws(QueryLogError) {
            try session.open()
        } catch {
            switch error {
            case .newer, .foreign: throw error
            default: recover(session, error)
            }
        }
        let thread = try start(session)
        shared.withLock { $0.thread = thread }
    }

    public var status: Status {
        let (dropped, waiting) = (rings.dropped, rings.used)
        return shared.withLock {
            Status(
                state: $0.state, writtenRows: $0.written, foldedRows: $0.folded,
                droppedRows: $0.lost + Int64(dropped), waitingBytes: $0.waiting + waiting, setAside: $0.setAside)
        }
    }

    public var state: State { shared.withLock { $0.state } }

    /// Keeps to other limits than those of the options, within a second or so.
    public func setLimits(_ limits: QueryLogLimits) {
        shared.withLock { $0.limits = limits }
    }

    /// Has everything written that was pushed before the call, and waits for it.
    ///
    /// - Returns: false when it could not be written within `seconds`.
    @discardableResult
    public func flush(seconds: Double = 5) -> Bool {
        let ticket = flushesAsked.add(1, ordering: .acquiringAndReleasing).newValue
        rings.wake()
        let end = Clock.monotonic() + UInt64(seconds * 1e9)
        while flushesDone.load(ordering: .acquiring) < ticket {
            if Clock.monotonic() > end { return false }
            usleep(1000)
        }
        return true
    }

    /// Writes what is left, ends the thread and closes the database. When the database cannot be written, tries for two
    /// seconds; rows lost then are counted. Call it when the engines have stopped pushing; the thread keeps the writer
    /// alive until then. The first call counts.
    public func stop() {
        guard let thread = shared.withLock({ $0.thread.take() }) else { return }
        stopping.store(true, ordering: .releasing)
        rings.wake()
        thread.join()
        shared.withLock { $0.state = .stopped }
    }

    // MARK: - The thread

    /// The session lives in the thread alone after it has been handed over.
    private struct Handover: @unchecked Sendable {
        let session: WriterSession
    }

    private func start(_ session: WriterSession) throws -> LowPriorityThread {
        let handover = Handover(session: session)
        return try LowPriorityThread("querylog", niceness: options.niceness) {
            self.run(handover.session)
        }
    }

    private func run(_ session: WriterSession) {
        var stopEnd: UInt64?
        var nextWrite: UInt64 = 0
        var isWritten = true
        var haste = Haste(options)
        // The flush that is being worked on, and where the rings stood when it was asked for.
        var tried = 0
        var targets: [Int] = []
        while true {
            let isStopping = stopping.load(ordering: .acquiring)
            let flush = flushesAsked.load(ordering: .acquiring)
            haste.look(rings.rings, taken: session.totalTaken)
            session.collect(rings)
            let now = Clock.monotonic()
            if flush != tried { targets = rings.ends }
            if isStopping || flush != tried || now >= nextWrite || isWritten && session.isFull {
                tried = flush
                isWritten = write(session)
                let isFlushed = isWritten && rings.areEmptied(to: targets)
                if isFlushed { flushesDone.store(flush, ordering: .releasing) }
                if isWritten {
                    if isStopping && session.waiting.rows == 0 && rings.isEmpty { return }
                    maintain(session)
                } else if isStopping {
                    let end = stopEnd ?? now + 2_000_000_000
                    stopEnd = end
                    if now >= end {
                        abandon(session)
                        return
                    }
                }
                let isUrgent = isWritten && !isFlushed
                let pause = isUrgent ? 0 : isStopping ? 50 : session.pause(isWritten: isWritten, interval)
                nextWrite = Clock.monotonic() + UInt64(pause) * 1_000_000
            }
            shared.withLock { $0.waiting = session.waiting.bytes }
            rings.sleep(until: nextWrite, wakesWhenFilling: !session.isStuck)
        }
    }

    /// Milliseconds between transactions; counters are added up for a minute.
    private var interval: Int {
        options.privacy.level == .counters
            ? max(options.interval, min(60_000, options.interval * 60)) : options.interval
    }

    /// Writes what was collected. False when the database refused; the rows go on waiting then.
    private func write(_ session: WriterSession) -> Bool {
        do throws(QueryLogError) {
            let (rows, queries) = try session.write()
            shared.withLock {
                $0.written += Int64(rows)
                $0.folded += queries - Int64(rows)
                $0.waiting = 0
                $0.state = .writing
            }
            return true
        } catch {
            recover(session, error)
            return false
        }
    }

    private func maintain(_ session: WriterSession) {
        if let limits = shared.withLock({ $0.limits.take() }) { session.use(limits) }
        do throws(QueryLogError) {
            try session.maintain(while: { [rings] in rings.isCalm })
        } catch {
            recover(session, error)
        }
    }

    private func recover(_ session: WriterSession, _ error: QueryLogError) {
        let aside = session.recover(from: error)
        shared.withLock {
            $0.state = .waiting(reason: error.description)
            if let aside { $0.setAside.append(aside) }
        }
    }

    /// Counts and releases what could not be written before the end.
    private func abandon(_ session: WriterSession) {
        let count = session.waiting.queries + rings.discard()
        shared.withLock { $0.lost += count }
    }
}
