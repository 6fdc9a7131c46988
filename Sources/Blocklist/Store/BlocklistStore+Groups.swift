import GRDB

extension BlocklistStore {
    /// All groups with their schedules, by id.
    public func groups() throws -> [PolicyGroup] {
        try read(BlocklistStore.groups)
    }

    static func groups(_ db: Database) throws -> [PolicyGroup] {
        let schedules = try Row.fetchAll(db, sql: "SELECT * FROM schedule ORDER BY id")
        return try Row.fetchAll(db, sql: "SELECT * FROM policy_group ORDER BY id").map { row in
            let id: Int = row["id"]
            return PolicyGroup(
                id: id, name: row["name"], enabled: row["enabled"], comment: row["comment"], added: row["added"],
                schedules: schedules.filter { $0["policy_group"] == id }.map(GroupSchedule.init))
        }
    }

    /// - Throws: `BlocklistError.noSuchGroup`.
    public func group(_ name: String) throws -> PolicyGroup {
        try read { try BlocklistStore.group($0, name) }
    }

    static func group(_ db: Database, _ name: String) throws -> PolicyGroup {
        guard let group = try groups(db).first(where: { $0.name == name }) else {
            throw BlocklistError.noSuchGroup(name)
        }
        return group
    }

    /// - Throws: `BlocklistError.noSuchGroup`.
    static func groupSet(_ db: Database, _ names: [String]) throws -> GroupSet {
        try names.reduce(into: GroupSet()) { try $0.insert(GroupSet(group(db, $1).id)) }
    }

    /// Makes groups, all or none.
    ///
    /// - Throws: `BlocklistError.groupExists`, `.badArgument`.
    public func addGroups(_ names: [String], comment: String = "") throws -> [PolicyGroup] {
        try write { db in
            for name in names { try BlocklistStore.addGroup(db, name, comment: comment) }
            return try names.map { try BlocklistStore.group(db, $0) }
        }
    }

    /// - Throws: `BlocklistError.groupExists`, `.badArgument`.
    static func addGroup(_ db: Database, _ name: String, enabled: Bool = true, comment: String) throws {
        guard !name.isEmpty, name.utf8.count <= 100, !name.hasPrefix("-"),
            !name.unicodeScalars.contains(where: { $0.value <= 0x20 || $0 == "," || $0.value == 0x7F })
        else {
            throw BlocklistError.badArgument("'\(name)' cannot be a group's name: no blanks, no commas, no - in front")
        }
        let taken = try groups(db)
        if taken.contains(where: { $0.name == name }) { throw BlocklistError.groupExists(name) }
        let ids = Set(taken.map(\.id))
        guard let id = (0..<GroupSet.capacity).first(where: { !ids.contains($0) }) else {
            throw BlocklistError.badArgument("there are \(GroupSet.capacity) groups already, and no more can be")
        }
        try db.execute(
            sql: "INSERT INTO policy_group (id, name, enabled, comment, added) VALUES (?, ?, ?, ?, ?)",
            arguments: [id, name, enabled, comment, now()])
    }

    /// Removes groups, all or none, with their schedules and pauses.
    ///
    /// - Throws: `BlocklistError.noSuchGroup`, `.groupInUse`.
    public func removeGroups(_ names: [String]) throws {
        try write { db in
            for name in names {
                let group = try BlocklistStore.group(db, name)
                guard group.id != 0 else {
                    throw BlocklistError.badArgument(
                        "the group 'default' is always there; 'webtun group disable' puts it out of force")
                }
                let users = try BlocklistStore.users(db, of: group)
                if !users.isEmpty { throw BlocklistError.groupInUse(name, users.joined(separator: ", ")) }
                try db.execute(sql: "DELETE FROM pause WHERE kind = 'group' AND subject = ?", arguments: [name])
                try db.execute(sql: "DELETE FROM schedule WHERE policy_group = ?", arguments: [group.id])
                try db.execute(sql: "DELETE FROM policy_group WHERE id = ?", arguments: [group.id])
            }
        }
    }

    /// What refers to a group, in words.
    private static func users(_ db: Database, of group: PolicyGroup) throws -> [String] {
        let set = GroupSet(group.id)
        let lists = try Row.fetchAll(db, sql: "SELECT * FROM list ORDER BY id").map(BlockList.init)
        return lists.filter { $0.groups.contains(set) }.map { "list '\($0.name)'" }
            + (try rules(db)).filter { $0.groups != .every && $0.groups.contains(set) }.map { "rule \($0.id)" }
            + (try flowRules(db)).filter { $0.groups != .every && $0.groups.contains(set) }.map { "flow rule \($0.id)" }
            + (try safeSearchEngines(db, of: group.id)).map { "safe search of \($0)" }
            + (try clients(db)).filter { $0.groups.contains(set) }.map { "\($0.subject.kind) \($0.subject.text)" }
    }

    /// Puts groups in force or out of it, all or none.
    public func setGroupsEnabled(_ names: [String], _ isEnabled: Bool) throws {
        try write { db in
            for name in names {
                let group = try BlocklistStore.group(db, name)
                try db.execute(
                    sql: "UPDATE policy_group SET enabled = ? WHERE id = ?", arguments: [isEnabled, group.id])
            }
        }
    }

    /// Adds times at which a group is in force; a group without any always is.
    ///
    /// - Throws: `BlocklistError.noSuchGroup`, `.badArgument`.
    public func addSchedule(_ name: String, _ schedule: GroupSchedule) throws -> GroupSchedule {
        guard schedule.from != schedule.to else {
            throw BlocklistError.badArgument("it ends when it begins; for whole days write --from 00:00 --to 24:00")
        }
        guard 0..<1440 ~= schedule.from, 0...1440 ~= schedule.to, !schedule.days.isEmpty else {
            throw BlocklistError.badArgument("a schedule begins from 00:00 to 23:59, on some day")
        }
        if let zone = schedule.zone { try GroupSchedule.checkZone(zone) }
        return try write { db in
            let group = try BlocklistStore.group(db, name)
            if let same = group.schedules.first(where: { old in
                var old = old
                old.id = schedule.id
                return old == schedule
            }) {
                return same
            }
            try db.execute(
                sql: #"INSERT INTO schedule (policy_group, days, "from", "to", zone) VALUES (?, ?, ?, ?, ?)"#,
                arguments: [group.id, schedule.days.rawValue, schedule.from, schedule.to, schedule.zone])
            var schedule = schedule
            schedule.id = Int32(truncatingIfNeeded: db.lastInsertedRowID)
            return schedule
        }
    }

    /// Removes schedules of a group: those with the ids, or all.
    ///
    /// - Returns: those removed.
    /// - Throws: `BlocklistError.noSuchGroup`, `.badArgument`.
    public func removeSchedules(_ name: String, _ ids: [Int32]) throws -> [GroupSchedule] {
        try write { db in
            let group = try BlocklistStore.group(db, name)
            for id in ids where !group.schedules.contains(where: { $0.id == id }) {
                throw BlocklistError.badArgument("group '\(name)' has no schedule \(id); 'webtun group ls' shows them")
            }
            let removed = group.schedules.filter { ids.isEmpty || ids.contains($0.id) }
            for schedule in removed {
                try db.execute(sql: "DELETE FROM schedule WHERE id = ?", arguments: [schedule.id])
            }
            return removed
        }
    }
}

extension GroupSchedule {
    init(_ row: Row) {
        self.init(
            id: row["id"], days: Weekdays(rawValue: row["days"]), from: row["from"], to: row["to"], zone: row["zone"])
    }
}
