import GRDB

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

        public init(name: String, source: String, allow: Bool, enabled: Bool, every: Int64 = 86_400) {
            self.name = name
            self.source = source
            self.allow = allow
            self.enabled = enabled
            self.every = every
        }
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
}

extension BlocklistStore {
    /// Takes over another filter's lists and rules, all in one transaction. Lists are not fetched: they are due at once,
    /// for the daemon or for `update`. What is here already stays as it is. Call `compile` afterwards.
    public func adopt(_ settings: ForeignSettings, dryRun: Bool = false) throws -> AdoptReport {
        try write { db in
            var report = AdoptReport()
            try db.inSavepoint {
                for list in settings.lists { try BlocklistStore.adopt(db, list, &report) }
                try BlocklistStore.journaled(db) { db in
                    for rule in settings.rules { try BlocklistStore.adopt(db, rule, &report) }
                }
                try BlocklistStore.nextGeneration(db)
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
                INSERT INTO list (name, source, format, allow, enabled, added, every, due)
                VALUES (?, ?, 'auto', ?, ?, ?, ?, ?)
                """,
            arguments: [
                name, list.source, list.allow, list.enabled, now(), isFetched ? list.every : nil,
                isFetched ? now() : nil,
            ])
        report.listsAdded.append(name)
    }

    private static func adopt(_ db: Database, _ rule: RuleRequest, _ report: inout AdoptReport) throws {
        let name = rule.match == .regex ? rule.text : try DomainName(rule.text).text
        try db.execute(
            sql: """
                INSERT INTO rule (match, action, name, comment, added) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                """, arguments: [rule.match.rawValue, rule.action.rawValue, name, rule.comment, now()])
        if db.changesCount > 0 { report.rulesAdded += 1 } else { report.rulesKept += 1 }
    }
}
