import GRDB

extension Schema {
    /// The journal of changes of rules, from which `webtun rule undo` takes them back.
    static func registerRuleChanges(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("rule changes") { db in
            try db.execute(
                sql: """
                    CREATE TABLE rule_change (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        change INTEGER NOT NULL,        -- rows with one number were changed by one command
                        time INTEGER NOT NULL,          -- microseconds since 1970, UTC
                        kind TEXT NOT NULL CHECK (kind IN ('rule', 'flow')),    -- the table
                        old TEXT,                       -- the row before, a JSON object of its columns; NULL: there was none
                        new TEXT,                       -- the row after; NULL: there is none
                        CHECK (old IS NOT NULL OR new IS NOT NULL)
                    );
                    CREATE INDEX rule_change_change ON rule_change(change);
                    """)
        }
    }
}
