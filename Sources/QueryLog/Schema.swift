internal import GRDB
internal import GRDBSQLite

/// The tables and views of `querylog.db`, made by named, forward-only migrations.
///
/// A row of `query_log` or `flow_log` holds integers that point into small tables, so that it takes about 30 bytes. Both take
/// their ids from one sequence, in the order of writing; `query_spans` knows the times between which each run of ids lies,
/// so a range of time is a range of ids and no index on the time is needed, whatever the clock did. Only the views `queries`
/// and `flows` are for others to build on. A migration is never changed once it is released.
enum Schema {
    /// Times are kept as microseconds since 2026-01-01T00:00:00Z: 6 bytes a row instead of 8 until the middle of 2030.
    static let timeBase: Int64 = 1_767_225_600_000_000

    /// "wtql": marks the file as a query log (`PRAGMA application_id`).
    static let applicationID: Int32 = 0x7774_716c

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("queries") { database in
            try database.execute(sql: queries)
        }
        migrator.registerMigration("flows") { database in
            try database.execute(sql: flows)
        }
        migrator.registerMigration("rollups") { try $0.execute(sql: RollupSchema.rollups) }
        return migrator
    }

    static var knownMigrations: Set<String> { Set(migrator.migrations) }

    /// Brings the file to this version, creating it when it is not there.
    ///
    /// - Throws: `QueryLogError`: `newer`, `foreign`, or `sqlite` when SQLite cannot (locked, full, read-only, corrupt).
    static func migrate(_ path: String) throws(QueryLogError) {
        do {
            var configuration = Configuration()
            configuration.busyMode = .timeout(0.2)
            configuration.prepareDatabase { database in
                // auto_vacuum can be chosen only before the first page is written.
                guard try Int.fetchOne(database, sql: "PRAGMA page_count") == 0 else { return }
                try database.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
            }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.write { database in
                try check(database, path)
            }
            try migrator.migrate(queue)
            try queue.close()
        } catch let error as QueryLogError {
            throw error
        } catch let error as DatabaseError {
            throw .sqlite(
                action: "open \(path)", code: error.extendedResultCode.rawValue,
                message: error.message ?? error.resultCode.description)
        } catch {
            throw .sqlite(action: "open \(path)", code: SQLITE_ERROR, message: "\(error)")
        }
    }

    private static func check(_ database: Database, _ path: String) throws {
        guard try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") != 0 else { return }
        guard try Int32.fetchOne(database, sql: "PRAGMA application_id") == applicationID else {
            throw QueryLogError.foreign(path: path)
        }
        let applied = try migrator.appliedIdentifiers(database)
        if let unknown = applied.subtracting(knownMigrations).min() {
            throw QueryLogError.newer(path: path, migration: unknown)
        }
    }

    static let queries = """
        PRAGMA application_id = \(applicationID);

        -- Names of questions and rules; one may stand here twice. seen: the epoch (a run of row ids) of the last use, so
        -- that unused ones can go.
        CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL, seen INTEGER NOT NULL);

        -- Where a query came from.
        CREATE TABLE sources (id INTEGER PRIMARY KEY, client TEXT, link TEXT, transport TEXT NOT NULL);
        CREATE INDEX sources_client ON sources (client);

        -- What became of it, but for the rule.
        CREATE TABLE outcomes (
            id INTEGER PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT, list TEXT, rcode TEXT, upstream TEXT,
            cached INTEGER NOT NULL, dnssec TEXT
        );

        -- First addresses and CNAME chains. The same text may stand here twice.
        CREATE TABLE answers (id INTEGER PRIMARY KEY, text TEXT NOT NULL, seen INTEGER NOT NULL);

        CREATE TABLE processes (id INTEGER PRIMARY KEY, uid INTEGER, pid INTEGER, app TEXT);
        CREATE INDEX processes_pid ON processes (pid);

        CREATE TABLE qtypes (code INTEGER PRIMARY KEY, name TEXT NOT NULL);

        -- time: microseconds since 2026-01-01T00:00:00Z. latency: microseconds. rule: an id of names.
        CREATE TABLE query_log (
            id INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, name INTEGER NOT NULL, source INTEGER NOT NULL,
            time INTEGER NOT NULL, qtype INTEGER NOT NULL, rule INTEGER, answer INTEGER, latency INTEGER, process INTEGER
        );

        -- The rows first...last lie between the times oldest...newest.
        CREATE TABLE query_spans (
            first INTEGER PRIMARY KEY, last INTEGER NOT NULL, oldest INTEGER NOT NULL, newest INTEGER NOT NULL
        );

        CREATE VIEW queries AS
        SELECT
            l.id AS id,
            strftime('%Y-%m-%dT%H:%M:%S', (l.time + \(timeBase)) / 1000000, 'unixepoch')
                || printf('.%06dZ', (l.time + \(timeBase)) % 1000000) AS time,
            s.client AS client,
            (SELECT uid FROM processes WHERE id = l.process) AS uid,
            (SELECT pid FROM processes WHERE id = l.process) AS pid,
            (SELECT app FROM processes WHERE id = l.process) AS app,
            s.link AS link,
            s.transport AS transport,
            (SELECT text FROM names WHERE id = l.name) AS qname,
            coalesce((SELECT name FROM qtypes WHERE code = l.qtype), 'TYPE' || l.qtype) AS qtype,
            o.verdict AS verdict,
            o.reason AS reason,
            o.list AS list,
            (SELECT text FROM names WHERE id = l.rule) AS rule,
            o.rcode AS rcode,
            (SELECT text FROM answers WHERE id = l.answer) AS answer,
            o.upstream AS upstream,
            o.cached AS cached,
            o.dnssec AS dnssec,
            l.latency AS latency_us
        FROM query_log AS l
            CROSS JOIN outcomes AS o ON o.id = l.outcome
            CROSS JOIN sources AS s ON s.id = l.source;
        """
}
