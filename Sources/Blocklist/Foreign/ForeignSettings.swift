import Foundation
import GRDB
import Wire

/// What another filter was set to, in webtun's terms: found in its files, not in force yet.
public struct ForeignSettings: Sendable {
    /// A list to subscribe to.
    public struct List: Sendable, Equatable {
        public var name: String
        /// An address, or a file's path.
        public var source: String
        public var allow: Bool
        public var enabled: Bool
        /// Seconds from one fetching to the next.
        public var every: Int64
        /// By name; empty: `default`.
        public var groups: [String]

        public init(
            name: String, source: String, allow: Bool, enabled: Bool, every: Int64 = 86_400, groups: [String] = []
        ) {
            self.groups = groups
            self.name = name
            self.source = source
            self.allow = allow
            self.enabled = enabled
            self.every = every
        }
    }

    /// A group that is needed.
    public struct Group: Sendable, Equatable {
        public var name: String
        public var enabled: Bool
        public var comment: String
    }

    /// Somebody who is assigned to groups.
    public struct Client: Sendable, Equatable {
        public var subject: PolicySubject
        public var groups: [String]
        public var comment: String
    }

    /// Something that was not taken.
    public struct Left: Sendable, Equatable {
        /// Where it stands, such as `line 12` or `domainlist 4`.
        public var place: String
        public var text: String
        public var reason: String

        public init(place: String, text: String, reason: String) {
            self.place = place
            self.text = text
            self.reason = reason
        }
    }

    /// What wrote the file, such as `Pi-hole`.
    public var origin: String
    public var lists: [List] = []
    public var rules: [BlocklistStore.RuleRequest] = []
    public var groups: [Group] = []
    public var clients: [Client] = []
    public var records: [BlocklistStore.RecordRequest] = []
    public var left: [Left] = []

    public init(origin: String) {
        self.origin = origin
    }

    /// Adds a list, when it is one that can be fetched or read.
    public mutating func add(_ list: List, place: String) {
        var list = list
        if list.source.hasPrefix("file://") { list.source = String(list.source.dropFirst("file://".count)) }
        guard !ListURL.looksLike(list.source) else {
            do {
                list.source = try ListURL(list.source).text
                lists.append(list)
            } catch {
                left.append(Left(place: place, text: list.source, reason: "\(error)"))
            }
            return
        }
        guard list.source.hasPrefix("/") else {
            left.append(Left(place: place, text: list.source, reason: "neither an address nor a path from / on"))
            return
        }
        lists.append(list)
    }

    /// Adds a rule, when it is one.
    public mutating func add(_ rule: BlocklistStore.RuleRequest, place: String) {
        do {
            if rule.match == .regex { _ = try Pattern(rule.text) } else { _ = try DomainName(rule.text) }
            rules.append(rule)
        } catch {
            left.append(Left(place: place, text: rule.text, reason: "\(error)"))
        }
    }

    /// Adds what a line of the adblock syntax says, when rules can say it. In a line without `||` the name stands for
    /// itself alone.
    public mutating func add(adblock line: String, place: String) {
        let text = line.drop { $0 == " " || $0 == "\t" }
        let isException = text.hasPrefix("@@")
        let body = isException ? text.dropFirst(2) : text
        if body.hasPrefix("/"), body.dropFirst().last == "/" {
            add(.init(isException ? .allow : .deny, .regex, String(body.dropFirst().dropLast())), place: place)
            return
        }
        var sink = AdblockSink()
        var parser = AdblockParser()
        parser.parse(Array(text.utf8).span, into: &sink)
        for (name, kind) in sink.names {
            guard !kind.contains(.below) else {
                left.append(Left(place: place, text: line, reason: "a rule cannot speak of the names below alone"))
                continue
            }
            let isExact = kind.contains(.exact) || !body.hasPrefix("||")
            add(.init(kind.contains(.allow) ? .allow : .deny, isExact ? .exact : .suffix, name), place: place)
        }
        for (pattern, kind) in sink.patterns {
            add(.init(kind.contains(.allow) ? .allow : .deny, .regex, pattern), place: place)
        }
        for problem in sink.problems {
            left.append(Left(place: place, text: line, reason: "\(problem)"))
        }
    }
}

/// What a line of the adblock syntax holds.
private struct AdblockSink: LineSink {
    var names: [(name: String, kind: EntryKind)] = []
    var patterns: [(text: String, kind: EntryKind)] = []
    var problems: [LineProblem] = []

    /// Rules of the user have no local data.
    var takesRecords: Bool { false }

    mutating func entry(_ name: borrowing NameText, _ kind: EntryKind, _ options: String?) {
        if let options { return problems.append(.option("your rules cannot have '\(options)'")) }
        names.append((name.string, kind))
    }

    mutating func pattern(_ text: String, _ kind: EntryKind, _ options: String?) {
        if let options { return problems.append(.option("your rules cannot have '\(options)'")) }
        patterns.append((text, kind))
    }

    mutating func address(_ prefix: IPPrefix, _ kind: EntryKind) {
        problems.append(.name(.address))
    }

    mutating func skip() {}

    mutating func refuse(_ problem: LineProblem) {
        problems.append(problem)
    }
}

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
}

extension BlocklistStore {
    /// Takes over another filter's lists and rules, all in one transaction. Lists are not fetched: they are due at once,
    /// for the daemon or for `update`. What is here already stays as it is. Call `compile` afterwards.
    public func adopt(_ settings: ForeignSettings, dryRun: Bool = false) throws -> AdoptReport {
        try write { db in
            var report = AdoptReport()
            try db.inSavepoint {
                for group in settings.groups { try BlocklistStore.adopt(db, group, &report) }
                for list in settings.lists { try BlocklistStore.adopt(db, list, &report) }
                try BlocklistStore.journaled(db) { db in
                    for rule in settings.rules { try BlocklistStore.adopt(db, rule, &report) }
                }
                for client in settings.clients { try BlocklistStore.adopt(db, client, &report) }
                for record in settings.records { try BlocklistStore.adopt(db, record, &report) }
                try db.execute(sql: "UPDATE state SET generation = generation + 1, rules = rules + 1")
                return dryRun ? .rollback : .commit
            }
            return report
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

    private static func adopt(_ db: Database, _ rule: RuleRequest, _ report: inout AdoptReport) throws {
        let name = rule.match == .regex ? rule.text : try DomainName(rule.text).text
        try db.execute(
            sql: """
                INSERT INTO rule (match, action, name, comment, added, groups) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT DO NOTHING
                """,
            arguments: [
                rule.match.rawValue, rule.action.rawValue, name, rule.comment, now(),
                try groups(db, rule.groups, owner: rule.owner).stored,
            ])
        if db.changesCount > 0 { report.rulesAdded += 1 } else { report.rulesKept += 1 }
    }

    private static func adopt(_ db: Database, _ group: ForeignSettings.Group, _ report: inout AdoptReport) throws {
        let taken = try groups(db)
        guard !taken.contains(where: { $0.name == group.name }) else {
            report.othersKept += 1
            return
        }
        let ids = Set(taken.map(\.id))
        guard let id = (0..<GroupSet.capacity).first(where: { !ids.contains($0) }) else {
            throw BlocklistError.badArgument("there are \(GroupSet.capacity) groups already, and no more can be")
        }
        try db.execute(
            sql: "INSERT INTO policy_group (id, name, enabled, comment, added) VALUES (?, ?, ?, ?, ?)",
            arguments: [id, group.name, group.enabled, group.comment, now()])
        report.othersAdded += 1
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
