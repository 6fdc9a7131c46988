import GRDB

/// A `gravity.db` of Pi-hole (versions 5 and 6), as its documentation describes the tables: `adlist` holds the lists,
/// `domainlist` names and regular expressions (type 0 exact allow, 1 exact deny, 2 regex allow, 3 regex deny); `*_by_group`
/// say for which groups they are in force, 0 being the group of everybody. Before version 10 of the schema there is a
/// table for each type instead of `domainlist`. Only read.
public struct GravityFile {
    private let db: Database
    private let tables: Set<String>
    private var settings = ForeignSettings(origin: "Pi-hole")
    /// The names of groups.
    private var groups: [Int64: String] = [:]

    /// Whether a file begins as SQLite's do.
    public static func looksLike(_ head: [UInt8]) -> Bool { head.starts(with: Array("SQLite format 3".utf8) + [0]) }

    /// - Throws: `BlocklistError.listRefused` when the file is no `gravity.db`, or damaged.
    public static func read(_ path: String) throws -> ForeignSettings {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        do {
            return try DatabaseQueue(path: path, configuration: configuration).read { db in
                var file = try GravityFile(db, path)
                try file.readLists()
                try file.readDomains()
                try file.readClients()
                return file.settings
            }
        } catch let error as DatabaseError {
            throw BlocklistError.listRefused(path, error.message ?? "\(error.resultCode)")
        }
    }

    private init(_ db: Database, _ path: String) throws {
        self.db = db
        tables = Set(try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"))
        guard tables.contains("adlist"), tables.contains("info") || tables.contains("domainlist") else {
            throw BlocklistError.listRefused(path, "a SQLite database, but not a gravity.db: it has no table 'adlist'")
        }
        guard tables.contains("group") else { return }
        for row in try Row.fetchAll(db, sql: "SELECT id, name FROM \"group\"") { groups[row["id"]] = row["name"] }
    }

    private mutating func readLists() throws {
        for row in try Row.fetchAll(db, sql: "SELECT * FROM adlist ORDER BY id") {
            let id: Int64 = row["id"]
            let (address, comment): (String, String?) = (row["address"], row["comment"])
            let place = "adlist \(id)"
            // Of version 6 on: 1 for a list that allows.
            let type: Int64? = row.hasColumn("type") ? row["type"] : nil
            if let reason = try reasonToLeave("adlist", id) {
                settings.left.append(.init(place: place, text: address, reason: reason))
                continue
            }
            let title = comment.map { $0.trimmed }.flatMap { $0.isEmpty ? nil : $0 }
            settings.add(
                .init(
                    name: title ?? GravityFile.title(address), source: address, allow: type == 1,
                    enabled: row["enabled"]),
                place: place)
        }
    }

    /// The last part of an address with its host, so that lists can be told apart.
    private static func title(_ address: String) -> String {
        guard let url = try? ListURL(address) else { return address }
        return url.title == url.host ? url.host : "\(url.title) (\(url.host))"
    }

    private mutating func readDomains() throws {
        if tables.contains("domainlist") {
            for row in try Row.fetchAll(db, sql: "SELECT * FROM domainlist ORDER BY id") {
                try take(row, row["type"], "domainlist")
            }
            return
        }
        for (table, type) in [
            ("whitelist", 0), ("blacklist", 1), ("regex_whitelist", 2), ("regex_blacklist", 3), ("regex", 3),
        ] where tables.contains(table) {
            for row in try Row.fetchAll(db, sql: "SELECT * FROM \(table) ORDER BY id") {
                try take(row, Int64(type), table)
            }
        }
    }

    private mutating func take(_ row: Row, _ type: Int64, _ table: String) throws {
        let id: Int64 = row["id"]
        let (domain, comment): (String, String?) = (row["domain"], row["comment"])
        let enabled: Bool = row["enabled"]
        let place = "\(table) \(id)"
        func leave(_ reason: String) { settings.left.append(.init(place: place, text: domain, reason: reason)) }
        guard 0...3 ~= type else { return leave("of type \(type), which is not known") }
        guard enabled else { return leave("switched off there; rules here are always in force") }
        if let reason = try reasonToLeave(table, id) { return leave(reason) }
        if type >= 2, let option = domain.firstIndex(of: ";") {
            return leave("the option '\(domain[option...])' behind an expression is not supported")
        }
        settings.add(
            .init(type % 2 == 0 ? .allow : .deny, type < 2 ? .exact : .regex, domain, comment: comment ?? ""),
            place: place)
    }

    /// Why something is not in force for everybody; nil when it is.
    private func reasonToLeave(_ table: String, _ id: Int64) throws -> String? {
        guard tables.contains("\(table)_by_group") else { return nil }
        let members = try Int64.fetchAll(
            db, sql: "SELECT group_id FROM \(table)_by_group WHERE \(table)_id = ? ORDER BY 1", arguments: [id])
        if members.contains(0) { return nil }
        if members.isEmpty { return "in no group, so not in force there" }
        return "only for " + members.map { "group '\(groups[$0] ?? "\($0)")'" }.joined(separator: ", ")
    }

    private mutating func readClients() throws {
        guard tables.contains("client") else { return }
        for row in try Row.fetchAll(db, sql: "SELECT * FROM client ORDER BY id") {
            let id: Int64 = row["id"]
            let members = try Int64.fetchAll(
                db, sql: "SELECT group_id FROM client_by_group WHERE client_id = ? ORDER BY 1", arguments: [id])
            let names = members.map { "'\(groups[$0] ?? "\($0)")'" }.joined(separator: ", ")
            settings.left.append(
                .init(
                    place: "client \(id)", text: row["ip"],
                    reason: members.isEmpty ? "a client in no group" : "a client of the group \(names)"))
        }
    }
}

extension String {
    /// Without blanks around it.
    var trimmed: String {
        var text = self[...]
        while let last = text.last, last.isWhitespace { text = text.dropLast() }
        return String(text.drop { $0.isWhitespace })
    }
}
