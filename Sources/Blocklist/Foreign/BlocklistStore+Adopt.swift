import Foundation
import GRDB
import Wire

/// What became of another filter's settings.
public struct AdoptReport: Sendable, Equatable {
    public var listsAdded: [String] = []
    /// Lists whose source is subscribed to already.
    public var listsKept: [String] = []
    public var rulesAdded = 0
    /// Rules for names that have one here.
    public var rulesKept = 0
    /// Groups, clients and local records.
    public var othersAdded = 0
    public var othersKept = 0
    /// Engines whose safe search is enforced for a group now, and those for which that was said already.
    public var enginesAdded = 0
    public var enginesKept = 0
    /// What turned out not to go.
    public var left: [ForeignSettings.Left] = []
}

extension BlocklistStore {
    /// Takes over another filter's lists and rules, all in one transaction. Lists are not fetched: they are due at once,
    /// for the daemon or for `update`. What is here already stays as it is. Call `compile` afterwards.
    ///
    /// - Parameter starter: the directory of the starter lists, for the data of search engines when none was read yet.
    public func adopt(
        _ settings: ForeignSettings, starter: String? = nil, dryRun: Bool = false
    ) throws -> AdoptReport {
        let engines = settings.safeSearch.isEmpty ? nil : try starter.flatMap { try missing(SafeSearchFile.self, $0) }
        return try write { db in
            var report = AdoptReport()
            try db.inSavepoint {
                let likeDefault = try settings.groups.filter { try BlocklistStore.adopt(db, $0, &report) }
                    .filter(\.isLikeDefault).map(\.name)
                for list in settings.lists { try BlocklistStore.adopt(db, list, &report) }
                try BlocklistStore.journaled(db) { db in
                    for rule in settings.rules { try BlocklistStore.adopt(db, rule, &report) }
                    try BlocklistStore.letBelong(db, to: likeDefault)
                }
                for client in settings.clients { try BlocklistStore.adopt(db, client, &report) }
                for record in settings.records { try BlocklistStore.adopt(db, record, &report) }
                if let engines { try BlocklistStore.put(db, SafeSearchFile.self, engines.entries, from: engines.path) }
                for safeSearch in settings.safeSearch { try BlocklistStore.adopt(db, safeSearch, &report) }
                try db.execute(sql: "UPDATE state SET generation = generation + 1, rules = rules + 1")
                return dryRun ? .rollback : .commit
            }
            return report
        }
    }

    /// Lets the lists and rules of `default` belong to groups as well.
    private static func letBelong(_ db: Database, to groups: [String]) throws {
        let set = try groupSet(db, groups)
        guard !set.isEmpty else { return }
        for table in ["list", "rule", "flow"] {
            try db.execute(
                sql: "UPDATE \(table) SET groups = groups | ?1 WHERE groups & ?2 <> 0 AND groups > 0",
                arguments: [set.stored, GroupSet.standard.stored])
        }
    }

    private static func adopt(_ db: Database, _ list: ForeignSettings.List, _ report: inout AdoptReport) throws {
        let same = try String.fetchOne(
            db, sql: "SELECT name FROM list WHERE source = ? AND allow = ?", arguments: [list.source, list.allow])
        if let same {
            report.listsKept.append(same)
            return
        }
        let wanted = String(list.name.unicodeScalars.map { $0.value < 0x20 ? " " : Character($0) }.prefix(100))
        var name = wanted
        var number = 1
        while try Bool.fetchOne(db, sql: "SELECT 1 FROM list WHERE name = ?", arguments: [name]) ?? false {
            number += 1
            name = "\(wanted)-\(number)"
        }
        let isFetched = ListURL.looksLike(list.source)
        try db.execute(
            sql: """
                INSERT INTO list (name, source, format, allow, enabled, added, every, due, groups)
                VALUES (?, ?, 'auto', ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                name, list.source, list.allow, list.enabled, now(), isFetched ? list.every : nil,
                isFetched ? now() : nil,
                list.groups.isEmpty ? GroupSet.standard.stored : try groupSet(db, list.groups).stored,
            ])
        report.listsAdded.append(name)
    }

    /// A rule of the same name that holds for these groups at least stays in its place.
    private static func adopt(_ db: Database, _ rule: RuleRequest, _ report: inout AdoptReport) throws {
        let name = rule.match == .regex ? rule.text : try DomainName(rule.text).text
        try db.execute(
            sql: """
                INSERT INTO rule (match, action, name, comment, added, groups) SELECT ?1, ?2, ?3, ?4, ?5, ?6
                WHERE NOT EXISTS (
                    SELECT 1 FROM rule WHERE name = ?3 AND match = ?1 AND app = '' AND user = '' AND groups & ?6 = ?6)
                """,
            arguments: [
                rule.match.rawValue, rule.action.rawValue, name, rule.comment, now(),
                try groups(db, rule.groups, owner: rule.owner).stored,
            ])
        if db.changesCount > 0 { report.rulesAdded += 1 } else { report.rulesKept += 1 }
    }

    /// - Returns: whether it was added.
    private static func adopt(_ db: Database, _ group: ForeignSettings.Group, _ report: inout AdoptReport) throws
        -> Bool
    {
        do {
            try addGroup(db, group.name, enabled: group.enabled, comment: group.comment)
            report.othersAdded += 1
            return true
        } catch BlocklistError.groupExists {
            report.othersKept += 1
            return false
        }
    }

    private static func adopt(
        _ db: Database, _ safeSearch: ForeignSettings.SafeSearch, _ report: inout AdoptReport
    ) throws {
        let known = try self.safeSearch(db).engines
        let group = try group(db, safeSearch.group)
        for word in safeSearch.engines {
            do {
                let (engine, level) = try engine(word, known)
                try db.execute(
                    sql: """
                        INSERT INTO safesearch_on (engine, policy_group, level) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
                        """, arguments: [engine, group.id, level])
                if db.changesCount > 0 { report.enginesAdded += 1 } else { report.enginesKept += 1 }
            } catch BlocklistError.badArgument(let reason) {
                report.left.append(.init(place: "safe search for \(group.name)", text: word, reason: reason))
            }
        }
    }

    private static func adopt(_ db: Database, _ client: ForeignSettings.Client, _ report: inout AdoptReport) throws {
        try db.execute(
            sql: """
                INSERT INTO client (kind, subject, uid, groups, comment, added) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING
                """,
            arguments: [
                client.subject.kind, client.subject.text, client.subject.uid, try groupSet(db, client.groups).stored,
                client.comment, now(),
            ])
        if db.changesCount > 0 { report.othersAdded += 1 } else { report.othersKept += 1 }
    }

    /// Beside a CNAME nothing can stand (RFC 1034 section 3.6.2): what is here stays.
    private static func adopt(_ db: Database, _ request: RecordRequest, _ report: inout AdoptReport) throws {
        let (name, type) = (try recordName(request.name), Int(request.record.type.code))
        try db.execute(
            sql: """
                INSERT INTO record (name, type, ttl, data, text, comment, added)
                SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
                WHERE NOT EXISTS (SELECT 1 FROM record WHERE name = ?1 AND (type = 5 OR ?2 = 5))
                ON CONFLICT DO NOTHING
                """,
            arguments: [
                name, type, Int64(request.record.ttl), Data(request.record.data), request.record.text, request.comment,
                now(),
            ])
        if db.changesCount > 0 { report.othersAdded += 1 } else { report.othersKept += 1 }
    }
}
