import GRDB

/// Where a list says what the index has of it: the index knows lists, kinds and options, the database knows the lines.
extension BlocklistStore {
    /// The first line of a list with an entry of a name and of this kind, and the entry as written; nil when there is none,
    /// as the list has changed.
    ///
    /// There is no index of names in the database: this reads the list's entries, about a million in 100 ms.
    ///
    /// - Parameter name: in stored form.
    ///   - options: as the class has them: of several entries that give records together those of all.
    func line(
        of name: String, list: Int32, kind: EntryKind, options: String? = nil
    ) throws -> (line: Int, rule: String)? {
        let range = EntryID.range(of: Int64(list))
        return try read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT id, options FROM entry WHERE id BETWEEN ? AND ? AND name = ? AND kind = ? ORDER BY id
                    """,
                arguments: [range.lowerBound, range.upperBound, name, Int(kind.rawValue)])
            let first = rows.first { row in
                guard let options, let own: String = row["options"] else { return true }
                return own == options || EntryOptions.merged([options, own]) == options
            }
            guard let id: Int64 = first?["id"] else { return nil }
            return (EntryID(raw: id).line, try BlocklistStore.rule(db, id) ?? name)
        }
    }

    /// The first pattern of a list that a name fits, of a class.
    private func line(
        ofPatternFor name: String, list: Int32, kind: EntryKind, options: String?
    ) throws -> (line: Int, rule: String)? {
        let range = EntryID.range(of: Int64(list))
        return try read { db in
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT id, name FROM entry WHERE id BETWEEN ? AND ? AND kind = ? AND options IS ? ORDER BY id
                    """, arguments: [range.lowerBound, range.upperBound, Int(kind.rawValue), options])
            while let row = try rows.next() {
                let text: String = row["name"]
                guard let pattern = try? Pattern(text), pattern.matches(name.utf8) else { continue }
                let id: Int64 = row["id"]
                return (EntryID(raw: id).line, try BlocklistStore.rule(db, id) ?? text)
            }
            return nil
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
        let kind = policy.lists[Int(number)].kind
        let options = kind.contains(.hasOptions) ? policy.index.options(of: Int(number)) : nil
        if kind.contains(.pattern) { return try line(ofPatternFor: name, list: list, kind: kind, options: options) }
        let suffix = name.split(separator: ".").suffix(Int(labels)).joined(separator: ".")
        return try line(of: suffix, list: list, kind: kind, options: options)
    }
}
