import GRDB
import Glibc
import Kernel
import Synchronization

/// The lists and rules of a machine: `blocklist.db` in the state directory (SQLite through GRDB: WAL, `synchronous=FULL`,
/// one writer at a time among all processes).
///
/// Opening creates the directory and the database when they are missing, and brings an older database forward. Calls
/// block while another process writes, at most five seconds. Any thread; calls on one store wait for each other.
/// Errors are `BlocklistError`.
public final class BlocklistStore: Sendable {
    /// The state directory.
    public let state: String
    /// Whether this store made the database.
    public let isNew: Bool
    let queue: DatabaseQueue

    public var databasePath: String { BlocklistStore.databasePath(state) }
    public var indexPath: String { BlocklistStore.indexPath(state) }

    /// Whether a state directory has a database.
    public static func exists(state: String) -> Bool { unsafe access(databasePath(state), F_OK) == 0 }

    static func databasePath(_ state: String) -> String { state + "/blocklist.db" }
    static func indexPath(_ state: String) -> String { state + "/blocklist.index" }

    /// - Throws: `BlocklistError.system`, `.database`, `.locked`, `.newerSchema`.
    public init(state: String) throws {
        self.state = state
        let path = BlocklistStore.databasePath(state)
        try BlocklistStore.makeDirectory(state)
        isNew = unsafe access(path, F_OK) != 0
        queue = try BlocklistStore.translate(path) {
            let queue = try DatabaseQueue(path: path, configuration: BlocklistStore.configuration)
            let migrator = Schema.migrator
            let newer = try queue.read { db in
                try db.tableExists("grdb_migrations") && migrator.hasBeenSuperseded(db)
            }
            if newer { throw BlocklistError.newerSchema(path) }
            if try !queue.read(migrator.hasCompletedMigrations) { try migrator.migrate(queue) }
            return queue
        }
    }

    static var configuration: Configuration {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA synchronous = FULL; PRAGMA cache_size = -16000")
        }
        return configuration
    }

    private static func makeDirectory(_ path: String) throws(BlocklistError) {
        var made = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            made += made.isEmpty && part.isEmpty ? "/" : made.isEmpty || made == "/" ? "\(part)" : "/\(part)"
            guard !part.isEmpty else { continue }
            if unsafe mkdir(made, 0o755) != 0 && errno != EEXIST && errno != EISDIR {
                throw .system("create directory \(made)", "\(Errno.current())")
            }
        }
    }

    /// Runs `body`; errors of SQLite become those of this module.
    static func translate<T>(_ path: String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as DatabaseError {
            switch error.resultCode {
            case .SQLITE_BUSY, .SQLITE_LOCKED: throw BlocklistError.locked(path)
            default: throw BlocklistError.database(path, error.message ?? "\(error.resultCode)")
            }
        }
    }

    /// Reads in one snapshot of the database.
    func read<T>(_ body: (Database) throws -> T) throws -> T {
        try BlocklistStore.translate(databasePath) { try queue.read(body) }
    }

    /// Writes in one transaction, undone when `body` throws.
    func write<T>(_ body: (Database) throws -> T) throws -> T {
        try BlocklistStore.translate(databasePath) { try queue.write(body) }
    }

    /// Microseconds since 1970, UTC.
    static func now() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    /// What the database says of itself.
    struct Counters: Equatable {
        /// Random, given when the database was made.
        var identity: UInt64
        /// Counts changes of lists.
        var generation: UInt64
        /// Counts changes of rules.
        var rules: UInt64
    }

    static func counters(_ db: Database) throws -> Counters {
        guard let row = try Row.fetchOne(db, sql: "SELECT identity, generation, rules FROM state") else {
            throw BlocklistError.database("blocklist.db", "table 'state' is empty")
        }
        let identity: Int64 = row["identity"]
        let generation: Int64 = row["generation"]
        let rules: Int64 = row["rules"]
        return Counters(
            identity: UInt64(bitPattern: identity), generation: UInt64(bitPattern: generation),
            rules: UInt64(bitPattern: rules))
    }

    static func nextGeneration(_ db: Database) throws {
        try db.execute(sql: "UPDATE state SET generation = generation + 1")
    }
}
