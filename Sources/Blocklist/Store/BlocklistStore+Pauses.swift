import GRDB

extension BlocklistStore {
    /// The pauses that are not over, in the order in which they began.
    ///
    /// - Parameter now: microseconds since 1970, UTC.
    public func pauses(at now: Int64? = nil) throws -> [PolicyPause] {
        let now = now ?? BlocklistStore.now()
        return try read(BlocklistStore.pauses).filter { !$0.isOver(now) }
    }

    static func pauses(_ db: Database) throws -> [PolicyPause] {
        try Row.fetchAll(db, sql: "SELECT * FROM pause ORDER BY id").compactMap { row in
            PauseScope(kind: row["kind"], subject: row["subject"], uid: row["uid"]).map {
                PolicyPause($0, until: row["until"])
            }
        }
    }

    /// Begins a pause, or changes the end of one. Pauses that are over are forgotten.
    ///
    /// - Throws: `BlocklistError.noSuchGroup`.
    public func pause(_ pause: PolicyPause, now: Int64? = nil) throws {
        try write { db in
            try BlocklistStore.forgetPauses(db, now)
            if case .group(let name) = pause.scope { _ = try BlocklistStore.group(db, name) }
            try db.execute(
                sql: """
                    INSERT INTO pause (kind, subject, uid, until) VALUES (?, ?, ?, ?)
                    ON CONFLICT (kind, subject) DO UPDATE SET uid = excluded.uid, until = excluded.until
                    """,
                arguments: [pause.scope.kind, pause.scope.text, pause.scope.uid, pause.until])
        }
    }

    /// Ends a pause. Pauses that are over are forgotten.
    ///
    /// - Returns: whether there was one.
    /// - Throws: `BlocklistError.noSuchGroup`.
    public func resume(_ scope: PauseScope, now: Int64? = nil) throws -> Bool {
        try write { db in
            try BlocklistStore.forgetPauses(db, now)
            if case .group(let name) = scope { _ = try BlocklistStore.group(db, name) }
            try db.execute(
                sql: "DELETE FROM pause WHERE kind = ? AND subject = ?", arguments: [scope.kind, scope.text])
            return db.changesCount > 0
        }
    }

    private static func forgetPauses(_ db: Database, _ now: Int64?) throws {
        try db.execute(sql: "DELETE FROM pause WHERE until <= ?", arguments: [now ?? BlocklistStore.now()])
    }
}

extension PauseScope {
    init?(kind: String, subject: String, uid: UInt32?) {
        switch kind {
        case "all": self = .all
        case "group": self = .group(subject)
        default:
            guard let subject = PolicySubject(kind: kind, subject: subject, uid: uid) else { return nil }
            self = .subject(subject)
        }
    }

    /// `all`, `group`, or the kind of a subject.
    public var kind: String {
        switch self {
        case .all: "all"
        case .group: "group"
        case .subject(let subject): subject.kind
        }
    }

    /// The group, or the subject as written; empty for all.
    public var text: String {
        switch self {
        case .all: ""
        case .group(let name): name
        case .subject(let subject): subject.text
        }
    }

    var uid: UInt32? {
        guard case .subject(let subject) = self else { return nil }
        return subject.uid
    }
}
