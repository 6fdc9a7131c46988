import GRDB

extension Schema {
    /// Groups, who is in them, when they are in force, and pauses.
    static func registerGroups(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("groups") { db in
            // Whoever refers to the table `rule` by then gets it back.
            let triggers = try String.fetchAll(
                db, sql: "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'rule' AND sql NOT NULL")
            try db.execute(
                sql: """
                    -- A set of groups is an integer: bit g stands for the group with id g, -1 for all groups.
                    CREATE TABLE policy_group (
                        id INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 62),     -- 0: 'default'
                        name TEXT NOT NULL UNIQUE,
                        enabled INTEGER NOT NULL DEFAULT 1,
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL          -- microseconds since 1970, UTC
                    );
                    INSERT INTO policy_group (id, name, added)
                        VALUES (0, 'default', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);

                    -- When a group is in force; a group without a row: always.
                    CREATE TABLE schedule (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        policy_group INTEGER NOT NULL REFERENCES policy_group(id) ON DELETE CASCADE,
                        days INTEGER NOT NULL CHECK (days BETWEEN 1 AND 127),       -- bits, Monday first: of the beginning
                        "from" INTEGER NOT NULL CHECK ("from" BETWEEN 0 AND 1439),  -- minutes since midnight
                        "to" INTEGER NOT NULL CHECK ("to" BETWEEN 0 AND 1440),      -- not after "from": of the next day
                        zone TEXT                       -- of the tz database; NULL: the machine's
                    );
                    CREATE INDEX schedule_group ON schedule(policy_group);

                    -- Who is assigned to groups.
                    CREATE TABLE client (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        kind TEXT NOT NULL CHECK (kind IN ('address', 'mac', 'user', 'app')),
                        subject TEXT NOT NULL,          -- an address or prefix, a MAC, a user as named, a program or its path
                        uid INTEGER,                    -- the user's number
                        groups INTEGER NOT NULL CHECK (groups <> 0),
                        comment TEXT NOT NULL DEFAULT '',
                        added INTEGER NOT NULL,
                        UNIQUE (kind, subject)
                    );

                    -- Who or what is not filtered for a while.
                    CREATE TABLE pause (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        kind TEXT NOT NULL CHECK (kind IN ('all', 'group', 'address', 'mac', 'user', 'app')),
                        subject TEXT NOT NULL,          -- as in client; a group's name; '' for all
                        uid INTEGER,
                        until INTEGER,                  -- microseconds since 1970, UTC; NULL: until it is ended
                        UNIQUE (kind, subject)
                    );

                    ALTER TABLE list ADD COLUMN groups INTEGER NOT NULL DEFAULT 1 CHECK (groups <> 0);
                    ALTER TABLE flow ADD COLUMN groups INTEGER NOT NULL DEFAULT 1 CHECK (groups <> 0);
                    UPDATE flow SET groups = -1 WHERE app NOT NULL OR user NOT NULL;

                    -- The same name may have a rule for each set of groups.
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
                        groups INTEGER NOT NULL DEFAULT 1 CHECK (groups <> 0),
                        UNIQUE (name, match, app, user, groups)
                    );
                    INSERT INTO rule_new (id, match, action, name, comment, added, app, user, uid, groups)
                        SELECT id, match, action, name, comment, added, app, user, uid,
                            CASE WHEN app <> '' OR user <> '' THEN -1 ELSE 1 END FROM rule;
                    DELETE FROM sqlite_sequence WHERE name = 'rule_new';
                    INSERT INTO sqlite_sequence (name, seq) SELECT 'rule_new', seq FROM sqlite_sequence WHERE name = 'rule';
                    DROP TABLE rule;
                    ALTER TABLE rule_new RENAME TO rule;
                    """)
            for trigger in triggers { try db.execute(sql: trigger) }
        }
    }
}
