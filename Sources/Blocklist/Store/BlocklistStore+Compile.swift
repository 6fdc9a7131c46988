import GRDB
import GRDBSQLite
import Glibc
import Kernel

extension BlocklistStore {
    /// Makes `blocklist.index` of the lists in force, unless it is of their generation already.
    ///
    /// The index is built beside the old one, brought to the disk and renamed over it: whoever opens it finds either
    /// the old one or the new one, whole. One process compiles at a time (`blocklist.lock`); others wait.
    ///
    /// - Parameter force: even when the index seems right.
    /// - Returns: whether an index was made.
    @discardableResult
    public func compile(force: Bool = false, progress: ProgressHandler = { _ in }) throws -> Bool {
        let lock = try CompileLock(state: state, wait: true)!
        return try compile(holding: lock, force: force, progress: progress)
    }

    /// As `compile`, but gives up (nil) when another process is compiling.
    func compileUnlessBusy() throws -> Bool? {
        guard let lock = try CompileLock(state: state, wait: false) else { return nil }
        return try compile(holding: lock, force: false, progress: { _ in })
    }

    private func compile(
        holding lock: borrowing CompileLock, force: Bool, progress: ProgressHandler
    ) throws -> Bool {
        let new = indexPath + ".new"
        let built = try read { db in
            let counters = try BlocklistStore.counters(db)
            if !force, let header = try? IndexImage.peek(path: indexPath), header.identity == counters.identity,
                header.generation == counters.generation
            {
                return false
            }
            do {
                try BlocklistStore.build(db, counters, to: new, progress)
            } catch {
                unsafe unlink(new)
                throw error
            }
            return true
        }
        guard built else { return false }
        guard unsafe rename(new, indexPath) == 0 else {
            throw BlocklistError.system("rename \(new) to \(indexPath)", "\(Errno.current())")
        }
        let directory = unsafe Descriptor(owning: open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        guard fsync(directory.number) == 0 else {
            throw BlocklistError.system("fsync \(state)", "\(Errno.current())")
        }
        return true
    }

    /// - Parameter excluding: a list that is left out.
    static func build(
        _ db: Database, _ counters: Counters, to path: String, excluding: Int32? = nil, _ progress: ProgressHandler
    ) throws {
        let lists = try Row.fetchAll(
            db, sql: "SELECT * FROM list WHERE enabled AND entries > 0 AND id IS NOT ? ORDER BY id",
            arguments: [excluding]
        ).map(BlockList.init)
        let total = lists.reduce(0) { $0 + $1.entries }
        var builder = try IndexBuilder(
            .init(
                database: counters.identity, generation: counters.generation,
                seed: counters.identity &* 0x9E37_79B9_7F4A_7C15), expected: total)
        var done = 0
        let takenBack = try TakenBack(db)
        for (position, list) in lists.enumerated() {
            var classes = ListClasses(list, slot: UInt16(clamping: position))
            try unsafe EntryScan(db, list: list.id).forEach { id, kind, name, options throws(BlocklistError) in
                guard unsafe takenBack.isEmpty || !takenBack.contains(kind, name, options) else { return }
                let number = try classes.number(kind, options: options, in: &builder)
                if kind.contains(.pattern) {
                    try unsafe builder.addPattern(name, class: number, line: id.line)
                } else if kind.contains(.address) {
                    try unsafe builder.addAddress(name, class: number, line: id.line)
                } else {
                    try unsafe builder.add(name, class: number, line: id.line)
                }
                done += 1
                if done & 0xFFFF == 0 {
                    progress(WorkProgress(phase: .compiling, done: Int64(done), total: Int64(total)))
                }
            }
        }
        _ = try builder.build(into: IndexSink(path: path))
    }

    /// The policy in force for a daemon that starts: of the index of before when one of the lists as they are cannot be made,
    /// as on a full disk. `PolicyFollower` makes it when that is possible.
    ///
    /// - Parameter told: called with the reason when it is the index of before.
    public func snapshotToStart(told: (any Error) -> Void) throws -> PolicySnapshot {
        do {
            return try snapshot()
        } catch {
            guard let policy = try? PolicySnapshot(store: self, stale: true) else { throw error }
            told(error)
            return policy
        }
    }

    /// The policy in force; compiles first when the index is missing, stale or corrupt.
    ///
    /// - Parameters:
    ///   - now: when groups are to be in force, microseconds since 1970, UTC; by default the present.
    ///   - neighbours: which addresses belong to which devices.
    public func snapshot(
        at now: Int64? = nil, neighbours: Neighbours = [:], progress: ProgressHandler = { _ in }
    ) throws -> PolicySnapshot {
        do {
            return try PolicySnapshot(store: self, now: now, neighbours: neighbours)
        } catch let error as BlocklistError {
            switch error {
            case .indexMissing, .indexStale: try compile(progress: progress)
            case .indexCorrupt: try compile(force: true, progress: progress)
            default: throw error
            }
            return try PolicySnapshot(store: self, now: now, neighbours: neighbours)
        }
    }
}

/// The classes of one list's entries, numbered as they come.
private struct ListClasses {
    private let list: BlockList
    private let slot: UInt16
    /// By kind, of entries without options; -1: there was none yet.
    private var plain = [Int](repeating: -1, count: Int(EntryKind.count))
    private var others: [String: Int] = [:]

    init(_ list: BlockList, slot: UInt16) {
        self.list = list
        self.slot = slot
    }

    @inline(__always)
    mutating func number(
        _ kind: EntryKind, options: String, in builder: inout IndexBuilder
    ) throws(BlocklistError) -> Int {
        if options.isEmpty, plain[Int(kind.rawValue)] >= 0 { return plain[Int(kind.rawValue)] }
        return try add(kind, options, &builder)
    }

    private mutating func add(
        _ kind: EntryKind, _ options: String, _ builder: inout IndexBuilder
    ) throws(BlocklistError) -> Int {
        let key = "\(kind.rawValue) \(options)"
        if let known = others[key] { return known }
        let number = try builder.add(
            .init(list: list.id, kind: kind, title: list.name, lines: list.lines, options: options, slot: slot))
        if options.isEmpty { plain[Int(kind.rawValue)] = number }
        others[key] = number
        return number
    }
}

/// The lock on `blocklist.lock` that a compiling process holds; the kernel drops it with the process.
struct CompileLock: ~Copyable {
    private let file: Descriptor

    /// - Returns: nil when `wait` is false and another process holds the lock.
    init?(state: String, wait: Bool) throws(BlocklistError) {
        let path = state + "/blocklist.lock"
        let number = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw .system("open \(path)", "\(Errno.current())") }
        let file = Descriptor(owning: number)
        while flock(number, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            if errno == EWOULDBLOCK { return nil }
            throw .system("lock \(path)", "\(Errno.current())")
        }
        self.file = file
    }
}

/// Reads the entries of a list in order, without an object a row.
struct EntryScan {
    private let db: Database
    private let list: Int32

    init(_ db: Database, list: Int32) {
        self.db = db
        self.list = list
    }

    func forEach(
        _ body: (
            _ id: EntryID, _ kind: EntryKind, _ name: UnsafeRawBufferPointer, _ options: String
        ) throws(BlocklistError) -> Void
    ) throws(BlocklistError) {
        guard let connection = unsafe db.sqliteConnection else { throw .database("blocklist.db", "connection closed") }
        func check(_ code: CInt, _ wanted: CInt) throws(BlocklistError) {
            guard code == wanted else {
                throw unsafe .database("blocklist.db", String(cString: sqlite3_errmsg(connection)))
            }
        }
        var prepared: OpaquePointer?
        let sql = "SELECT id, kind, name, options FROM entry WHERE id BETWEEN ? AND ? ORDER BY id"
        try unsafe check(sqlite3_prepare_v2(connection, sql, -1, &prepared, nil), SQLITE_OK)
        let statement = unsafe prepared
        defer { unsafe sqlite3_finalize(statement) }
        let range = EntryID.range(of: Int64(list))
        try unsafe check(sqlite3_bind_int64(statement, 1, range.lowerBound), SQLITE_OK)
        try unsafe check(sqlite3_bind_int64(statement, 2, range.upperBound), SQLITE_OK)
        while true {
            let code = unsafe sqlite3_step(statement)
            if code == SQLITE_DONE { return }
            try check(code, SQLITE_ROW)
            let text = unsafe sqlite3_column_text(statement, 2)
            let count = unsafe Int(sqlite3_column_bytes(statement, 2))
            let kind = EntryKind(
                rawValue: UInt8(truncatingIfNeeded: unsafe sqlite3_column_int(statement, 1)) & (EntryKind.count - 1))
            let options =
                kind.contains(.hasOptions)
                ? unsafe sqlite3_column_text(statement, 3).map { unsafe String(cString: $0) } ?? "" : ""
            try unsafe body(
                EntryID(raw: sqlite3_column_int64(statement, 0)),
                kind, UnsafeRawBufferPointer(start: text, count: count), options)
        }
    }
}
