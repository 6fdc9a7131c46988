import GRDB

extension Schema {
    /// What entries say besides a name.
    static func registerOptions(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("options and patterns") { db in
            try db.execute(
                sql: """
                    -- list.records: data of its own is taken; list.kinds: a bit for each entry.kind from 0 to 31, one (1 << 32)
                    -- for options, one (1 << 33) for patterns
                    ALTER TABLE list ADD COLUMN records INTEGER NOT NULL DEFAULT 0;
                    -- entry.kind: 32 has options, 64 the name is a regular expression
                    ALTER TABLE entry ADD COLUMN options TEXT;
                    DROP VIEW entries;
                    CREATE VIEW entries AS
                        SELECT entry.id >> 42 AS list, list.name AS list_name, entry.id >> 12 & 0x3fffffff AS line,
                            entry.name AS name, kind & 1 AS allow, kind >> 1 & 1 AS exact, kind >> 2 & 1 AS below,
                            kind >> 3 & 1 AS important, kind >> 4 & 1 AS address, kind >> 6 & 1 AS pattern, options,
                            coalesce(text, prefix || entry.name || suffix) AS text
                        FROM entry JOIN list ON list.id = entry.id >> 42;
                    """)
        }
    }
}
