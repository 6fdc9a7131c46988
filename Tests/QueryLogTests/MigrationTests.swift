import Foundation
import Testing
import Wire

@testable import QueryLog

/// A log of every schema that there was is brought up to date with its rows, by the writer and for no one else.
@Suite struct MigrationTests {
    let scratch = Scratch()

    /// Makes a log as the first version left it: three rows, a span, in WAL mode.
    func makeFirst() throws {
        let connection = try Connection(scratch.database, .readWrite)
        try connection.execute("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
        try connection.execute(MigrationTests.first)
        try connection.execute(
            """
            CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
            INSERT INTO grdb_migrations VALUES ('queries');
            INSERT INTO names VALUES (1, 'ads.example', 0), (2, 'www.example', 0);
            INSERT INTO sources VALUES (1, '192.0.2.10', 'eth0', 'udp');
            INSERT INTO outcomes VALUES (1, 'block', 'list', 'starter', 'NOERROR', NULL, 0, NULL);
            INSERT INTO outcomes VALUES (2, 'forward', NULL, NULL, 'NOERROR', '192.0.2.53', 1, 'secure');
            INSERT INTO answers VALUES (1, '0.0.0.0', 0), (2, '198.51.100.7', 0);
            INSERT INTO qtypes VALUES (1, 'A');
            INSERT INTO query_log VALUES (1, 1, 1, 1, 1000000, 1, 1, 1, 12, NULL);
            INSERT INTO query_log VALUES (2, 2, 2, 1, 2000000, 1, NULL, 2, 80, NULL);
            INSERT INTO query_log VALUES (3, 2, 2, 1, 3000000, 28, NULL, NULL, 90, NULL);
            INSERT INTO query_spans VALUES (1, 3, 1000000, 3000000);
            """)
    }

    @Test func theFirstSchemaIsBroughtUpToDate() throws {
        try makeFirst()
        let before = try rows(scratch.database, "SELECT * FROM queries ORDER BY id")
        let ring = try QueryRing(capacity: 64 << 10)
        let writer = try QueryLogWriter(
            path: scratch.database, rings: [ring], labels: testLabels, options: testOptions())
        ring.push(
            row(time: 1_767_225_610_000_000), qname: Name("new.example")!.bytes, answer: AnswerDigest().bytes)
        writer.stop()
        #expect(writer.status.setAside.isEmpty)
        let after = try rows(scratch.database, "SELECT * FROM queries ORDER BY id")
        #expect(after.count == 4)
        // What the view told before it tells now, in the same columns, and one query is one.
        for (old, new) in zip(before, after) {
            #expect(Array(new.prefix(old.count)) == old)
            #expect(new[old.count] == "1")
        }
        #expect(after[3][0] == "4")
        #expect(after[3][8] == "new.example")
        #expect(try rows(scratch.database, "SELECT count(*) FROM flows") == [["0"]])
        #expect(try rows(scratch.database, "PRAGMA integrity_check") == [["ok"]])
    }

    /// A migration that was released is never changed: the first schema made now is the one that is written down here.
    @Test func theFirstStepIsAsItWas() throws {
        try makeFirst()
        let now = Scratch()
        let connection = try Connection(now.database, .readWrite)
        try connection.execute(Schema.queries)
        let sql = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '%grdb%' ORDER BY name"
        #expect(try rows(now.database, sql) == rows(scratch.database, sql))
    }

    @Test func readersLeaveAnOldLogAsItIs() throws {
        try makeFirst()
        _ = try QueryLogReader(path: scratch.database)
        #expect(try rows(scratch.database, "SELECT identifier FROM grdb_migrations") == [["queries"]])
    }

    private static let first = """
        PRAGMA application_id = 2004119916;

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
            strftime('%Y-%m-%dT%H:%M:%S', (l.time + 1767225600000000) / 1000000, 'unixepoch')
                || printf('.%06dZ', (l.time + 1767225600000000) % 1000000) AS time,
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
