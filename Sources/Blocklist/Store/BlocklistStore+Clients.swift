import GRDB

extension BlocklistStore {
    /// All who are assigned to groups, in the order in which they were.
    public func clients() throws -> [PolicyClient] {
        try read(BlocklistStore.clients)
    }

    static func clients(_ db: Database) throws -> [PolicyClient] {
        try Row.fetchAll(db, sql: "SELECT * FROM client ORDER BY id").compactMap { row in
            // What some other program wrote into the database may be wrong: it is left out.
            guard let subject = PolicySubject(kind: row["kind"], subject: row["subject"], uid: row["uid"]) else {
                return nil
            }
            return PolicyClient(
                id: row["id"], subject: subject, groups: GroupSet(stored: row["groups"]), comment: row["comment"],
                added: row["added"])
        }
    }

    /// Assigns somebody to exactly these groups, all or none.
    ///
    /// - Throws: `BlocklistError.noSuchGroup`.
    public func setClients(_ subjects: [PolicySubject], groups names: [String], comment: String = "") throws
        -> [PolicyClient]
    {
        try write { db in
            let groups = try BlocklistStore.groupSet(db, names)
            guard !groups.isEmpty else { throw BlocklistError.badArgument("name a group with --group") }
            for subject in subjects {
                try db.execute(
                    sql: """
                        INSERT INTO client (kind, subject, uid, groups, comment, added) VALUES (?, ?, ?, ?, ?, ?)
                        ON CONFLICT (kind, subject) DO UPDATE SET uid = excluded.uid, groups = excluded.groups,
                            comment = excluded.comment
                        """,
                    arguments: [
                        subject.kind, subject.text, subject.uid, groups.stored, comment, BlocklistStore.now(),
                    ])
            }
            return try BlocklistStore.clients(db).filter { subjects.contains($0.subject) }
        }
    }

    /// Takes somebody out of all groups, all or none: `default` is theirs then.
    ///
    /// - Throws: `BlocklistError.noSuchClient`.
    public func removeClients(_ subjects: [PolicySubject]) throws {
        try write { db in
            for subject in subjects {
                try db.execute(
                    sql: "DELETE FROM client WHERE kind = ? AND subject = ?", arguments: [subject.kind, subject.text])
                guard db.changesCount > 0 else { throw BlocklistError.noSuchClient(subject.text) }
            }
        }
    }
}
