import GRDB

extension Schema {
    /// Local records, forward zones, and safe search.
    static func registerLocal(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("local records, forwarding, safe search") { db in
            try db.execute(
                sql: """
                    CREATE TABLE record (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        name TEXT NOT NULL,             -- as stored names are; '*.' in front: every name below
                        type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 65535),
                        ttl INTEGER NOT NULL,           -- seconds
                        data BLOB NOT NULL,             -- in wire form, uncompressed
                        text TEXT NOT NULL,             -- the data as people write it
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL,         -- microseconds since 1970, UTC
                        UNIQUE (name, type, data)
                    );
                    CREATE TABLE forward (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        zone TEXT NOT NULL UNIQUE,      -- as stored names are: it and every name below
                        servers TEXT,                   -- address:port, space between; NULL: never forwarded
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL
                    );

                    -- What is known of search engines, and the file it was read from.
                    CREATE TABLE safesearch (
                        id INTEGER PRIMARY KEY,
                        line INTEGER NOT NULL,          -- of the file, from 1
                        engine TEXT NOT NULL,
                        source TEXT NOT NULL,           -- where the engine documents it
                        kind TEXT NOT NULL CHECK (kind IN ('target', 'name')),
                        level TEXT NOT NULL,            -- of a target
                        value TEXT NOT NULL             -- a name, or an address
                    );
                    CREATE TABLE safesearch_file (
                        id INTEGER PRIMARY KEY CHECK (id = 1), path TEXT NOT NULL, read INTEGER NOT NULL
                    );
                    -- The engines whose safe search is enforced.
                    CREATE TABLE safesearch_on (engine TEXT PRIMARY KEY, level TEXT NOT NULL) WITHOUT ROWID;
                    """)
            for table in ["record", "forward", "safesearch", "safesearch_on"] {
                for event in ["INSERT", "UPDATE", "DELETE"] {
                    try db.execute(
                        sql: """
                            CREATE TRIGGER \(table)_\(event.lowercased()) AFTER \(event) ON \(table) BEGIN
                                UPDATE state SET rules = rules + 1;
                            END;
                            """)
                }
            }
        }
    }

    /// Safe search for each group. Behind `registerGroups`.
    static func registerSafeSearchGroups(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("safe search of groups") { db in
            try db.execute(
                sql: """
                    CREATE TABLE safesearch_of (
                        engine TEXT NOT NULL,
                        policy_group INTEGER NOT NULL DEFAULT 0 REFERENCES policy_group(id) ON DELETE CASCADE,
                        level TEXT NOT NULL,
                        PRIMARY KEY (engine, policy_group)
                    ) WITHOUT ROWID;
                    INSERT INTO safesearch_of (engine, level) SELECT engine, level FROM safesearch_on;
                    DROP TABLE safesearch_on;
                    ALTER TABLE safesearch_of RENAME TO safesearch_on;
                    """)
            for event in ["INSERT", "UPDATE", "DELETE"] {
                try db.execute(
                    sql: """
                        CREATE TRIGGER safesearch_on_\(event.lowercased()) AFTER \(event) ON safesearch_on BEGIN
                            UPDATE state SET rules = rules + 1;
                        END;
                        """)
            }
        }
    }
}
