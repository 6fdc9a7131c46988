import GRDB

/// Where a list says what the index has of it: the index knows lists, kinds and options, the database knows the lines.
extension BlocklistStore {
    /// The first line of a list with an entry of a name and of this kind, and the entry as written; nil when there is none,
    /// as the list has changed.
    ///
    /// There is no index of names in the database: this reads the list's entries, about a million in 100 ms.
    ///
    /// - Parameter name: in stored form.
    func line(of name: String, list: Int32, kind: EntryKind) throws -> (line: Int, rule: String)? {
        let range = EntryID.range(of: Int64(list))
        return try read { db in
            let id = try Int64.fetchOne(
                db,
                sql: """
                    SELECT id FROM entry WHERE id BETWEEN ? AND ? AND name = ? AND kind = ? ORDER BY id LIMIT 1
                    """,
                arguments: [range.lowerBound, range.upperBound, name, Int(kind.rawValue)])
            guard let id else { return nil }
            return (EntryID(raw: id).line, try BlocklistStore.rule(db, id) ?? name)
        }
    }

    /// An entry as written, without its comment.
    static func rule(_ db: Database, _ id: Int64) throws -> String? {
        // The first name of a line has the line's text unless prefix and name make it up.
        try String.fetchOne(
            db,
            sql: """
                SELECT coalesce((SELECT first.text FROM entry AS first WHERE first.id = entry.id & ~4095),
                    list.prefix || entry.name || list.suffix)
                FROM entry JOIN list ON list.id = entry.id >> 42 WHERE entry.id = ?
                """, arguments: [id])
    }

    /// The entry of a list that gave a verdict on a name.
    ///
    /// - Parameters:
    ///   - name: the name that was judged, in stored form.
    ///   - labels: of the part that is listed.
    ///   - number: `Verdict.rule`.
    func line(
        of name: String, labels: UInt8, list: Int32, class number: Int32, in policy: PolicySnapshot
    ) throws -> (line: Int, rule: String)? {
        guard number >= 0, Int(number) < policy.lists.classCount else { return nil }
        let suffix = name.split(separator: ".").suffix(Int(labels)).joined(separator: ".")
        return try line(of: suffix, list: list, kind: policy.lists[Int(number)].kind)
    }
}
