import GRDB

/// The tables of `blocklist.db`. Migrations only go forward, and are never edited once released.
enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("lists, entries, rules") { db in
            try db.execute(
                sql: """
                    CREATE TABLE state (
                        id INTEGER PRIMARY KEY CHECK (id = 1),
                        identity INTEGER NOT NULL,      -- random: which database an index was made from
                        generation INTEGER NOT NULL,    -- counts changes of lists; an index carries the one it was made from
                        rules INTEGER NOT NULL          -- counts changes of rules
                    );
                    INSERT INTO state VALUES (1, random(), 0, 0);

                    CREATE TABLE list (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        name TEXT NOT NULL UNIQUE,
                        source TEXT NOT NULL,           -- where it is read from: an absolute path
                        format TEXT NOT NULL,           -- as asked for, 'auto' included
                        detected TEXT,                  -- as last read
                        allow INTEGER NOT NULL DEFAULT 0,
                        exact INTEGER NOT NULL DEFAULT 0,
                        enabled INTEGER NOT NULL DEFAULT 1,
                        prefix TEXT NOT NULL DEFAULT '',-- stands before the name on most lines
                        lines INTEGER NOT NULL DEFAULT 0,
                        entries INTEGER NOT NULL DEFAULT 0,
                        skipped INTEGER NOT NULL DEFAULT 0,
                        refused INTEGER NOT NULL DEFAULT 0,
                        added INTEGER NOT NULL,         -- microseconds since 1970, UTC
                        updated INTEGER,                -- when the entries were last read
                        checked INTEGER,                -- when that was last tried
                        error TEXT                      -- why the last try failed
                    );

                    -- id: list << 42 | line << 12 | place in the line; kind: 1 allow, 2 exact;
                    -- text: the rule as written, when it is not the list's prefix and the name
                    CREATE TABLE entry (
                        id INTEGER PRIMARY KEY,
                        kind INTEGER NOT NULL,
                        name TEXT NOT NULL,
                        text TEXT
                    );
                    CREATE VIEW entries AS
                        SELECT entry.id >> 42 AS list, list.name AS list_name, entry.id >> 12 & 0x3fffffff AS line,
                            entry.name AS name, kind & 1 AS allow, kind >> 1 & 1 AS exact,
                            coalesce(text, prefix || entry.name) AS text
                        FROM entry JOIN list ON list.id = entry.id >> 42;

                    CREATE TABLE refusal (
                        list INTEGER NOT NULL REFERENCES list(id) ON DELETE CASCADE,
                        line INTEGER NOT NULL,
                        text TEXT NOT NULL,
                        reason TEXT NOT NULL
                    );
                    CREATE INDEX refusal_list ON refusal(list);

                    CREATE TABLE rule (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        match TEXT NOT NULL CHECK (match IN ('exact', 'suffix', 'regex')),
                        action TEXT NOT NULL CHECK (action IN ('allow', 'deny')),
                        name TEXT NOT NULL,             -- as stored names are, or the regular expression
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL,         -- microseconds since 1970, UTC
                        UNIQUE (name, match)
                    );
                    CREATE TRIGGER rule_added AFTER INSERT ON rule BEGIN UPDATE state SET rules = rules + 1; END;
                    CREATE TRIGGER rule_changed AFTER UPDATE ON rule BEGIN UPDATE state SET rules = rules + 1; END;
                    CREATE TRIGGER rule_removed AFTER DELETE ON rule BEGIN UPDATE state SET rules = rules + 1; END;

                    -- Starter lists that were loaded once, so that a removed one stays away.
                    CREATE TABLE starter (file TEXT PRIMARY KEY, loaded INTEGER NOT NULL) WITHOUT ROWID;
                    """)
        }
        migrator.registerMigration("flow rules, programs and users") { db in
            try db.execute(
                sql: """
                    -- Rules for a program or a user: the same name may have one for each.
                    CREATE TABLE rule_new (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        match TEXT NOT NULL CHECK (match IN ('exact', 'suffix', 'regex')),
                        action TEXT NOT NULL CHECK (action IN ('allow', 'deny')),
                        name TEXT NOT NULL,             -- as stored names are, or the regular expression; '.': every name
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL,         -- microseconds since 1970, UTC
                        app TEXT NOT NULL DEFAULT '',   -- a program's name, or its path from / on; '': every program
                        user TEXT NOT NULL DEFAULT '',  -- a user as named when the rule was made; '': every user
                        uid INTEGER,                    -- the user's number
                        UNIQUE (name, match, app, user)
                    );
                    INSERT INTO rule_new (id, match, action, name, comment, added)
                        SELECT id, match, action, name, comment, added FROM rule;
                    DELETE FROM sqlite_sequence WHERE name = 'rule_new';
                    INSERT INTO sqlite_sequence (name, seq) SELECT 'rule_new', seq FROM sqlite_sequence WHERE name = 'rule';
                    DROP TABLE rule;
                    ALTER TABLE rule_new RENAME TO rule;
                    CREATE TRIGGER rule_added AFTER INSERT ON rule BEGIN UPDATE state SET rules = rules + 1; END;
                    CREATE TRIGGER rule_changed AFTER UPDATE ON rule BEGIN UPDATE state SET rules = rules + 1; END;
                    CREATE TRIGGER rule_removed AFTER DELETE ON rule BEGIN UPDATE state SET rules = rules + 1; END;

                    -- Rules on flows that begin on this machine or behind it; NULL: whatever.
                    CREATE TABLE flow (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        action TEXT NOT NULL CHECK (action IN ('allow', 'deny')),
                        direction TEXT NOT NULL DEFAULT 'out' CHECK (direction = 'out'),
                        remote TEXT,                    -- an address or a prefix
                        port INTEGER CHECK (port BETWEEN 1 AND 65535),          -- the remote port, or the first of a range
                        port_end INTEGER CHECK (port_end BETWEEN port AND 65535),
                        proto INTEGER CHECK (proto BETWEEN 0 AND 255),          -- the IP protocol's number
                        name TEXT,
                        match TEXT CHECK (match IN ('exact', 'suffix')),        -- how the name matches
                        app TEXT,
                        user TEXT,
                        uid INTEGER,
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL,         -- microseconds since 1970, UTC
                        CHECK ((port IS NULL) = (port_end IS NULL)), CHECK ((name IS NULL) = (match IS NULL))
                    );
                    CREATE TRIGGER flow_added AFTER INSERT ON flow BEGIN UPDATE state SET rules = rules + 1; END;
                    CREATE TRIGGER flow_changed AFTER UPDATE ON flow BEGIN UPDATE state SET rules = rules + 1; END;
                    CREATE TRIGGER flow_removed AFTER DELETE ON flow BEGIN UPDATE state SET rules = rules + 1; END;
                    """)
        }
        migrator.registerMigration("formats") { database in
            try database.execute(
                sql: """
                    -- suffix: stands behind the name on most lines; kinds: a bit for each entry.kind of the list
                    ALTER TABLE list ADD COLUMN suffix TEXT NOT NULL DEFAULT '';
                    ALTER TABLE list ADD COLUMN kinds INTEGER NOT NULL DEFAULT 15;
                    -- entry.kind: 1 allow, 2 exact, 4 below, 8 important
                    DROP VIEW entries;
                    CREATE VIEW entries AS
                        SELECT entry.id >> 42 AS list, list.name AS list_name, entry.id >> 12 & 0x3fffffff AS line,
                            entry.name AS name, kind & 1 AS allow, kind >> 1 & 1 AS exact, kind >> 2 & 1 AS below,
                            kind >> 3 & 1 AS important, coalesce(text, prefix || entry.name || suffix) AS text
                        FROM entry JOIN list ON list.id = entry.id >> 42;
                    """)
        }
        migrator.registerMigration("bypass protection, addresses") { db in
            try db.execute(
                sql: """
                    ALTER TABLE state ADD COLUMN bypass INTEGER NOT NULL DEFAULT 0;     -- whether it is in force
                    ALTER TABLE state ADD COLUMN resolvers TEXT;                        -- the file the data was read from
                    ALTER TABLE state ADD COLUMN resolvers_read INTEGER;                -- and when
                    CREATE TABLE resolver (
                        id INTEGER PRIMARY KEY,
                        line INTEGER NOT NULL,          -- of the file, from 1
                        kind TEXT NOT NULL,             -- port, names, addresses, nxdomain, nodata
                        subject TEXT NOT NULL,          -- the port, name or address
                        operator TEXT NOT NULL,
                        source TEXT NOT NULL            -- where the operator says so
                    );
                    -- entry.kind: 16 an address or prefix
                    DROP VIEW entries;
                    CREATE VIEW entries AS
                        SELECT entry.id >> 42 AS list, list.name AS list_name, entry.id >> 12 & 0x3fffffff AS line,
                            entry.name AS name, kind & 1 AS allow, kind >> 1 & 1 AS exact, kind >> 2 & 1 AS below,
                            kind >> 3 & 1 AS important, kind >> 4 & 1 AS address,
                            coalesce(text, prefix || entry.name || suffix) AS text
                        FROM entry JOIN list ON list.id = entry.id >> 42;
                    """)
        }
        migrator.registerMigration("subscriptions") { database in
            try database.execute(
                sql: """
                    -- Of lists that are fetched: the version in force as the server calls it; seconds from one fetching to
                    -- the next; percent of the names that may go; when the next fetching is due (microseconds since 1970,
                    -- UTC); failures since the last success.
                    ALTER TABLE list ADD COLUMN etag TEXT;
                    ALTER TABLE list ADD COLUMN modified TEXT;
                    ALTER TABLE list ADD COLUMN every INTEGER;
                    ALTER TABLE list ADD COLUMN shrink INTEGER NOT NULL DEFAULT 50;
                    ALTER TABLE list ADD COLUMN due INTEGER;
                    ALTER TABLE list ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
                    """)
        }
        registerOptions(&migrator)
        registerLocal(&migrator)
        registerRuleChanges(&migrator)
        registerGroups(&migrator)
        registerSafeSearchGroups(&migrator)
        return migrator
    }
}
