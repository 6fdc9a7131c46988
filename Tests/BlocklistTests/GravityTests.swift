import Foundation
import GRDB
import Testing

@testable import Blocklist

/// Settings of Pi-hole, from databases made with the tables that its documentation describes.
@Suite struct GravityTests {
    /// Schema version 18 and later: `adlist.type`.
    static func make(_ path: String, _ sql: String, version6: Bool = true) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.write { db in
            try db.execute(
                sql: """
                    CREATE TABLE info (property TEXT PRIMARY KEY, value TEXT NOT NULL);
                    INSERT INTO info VALUES ('version', '\(version6 ? 19 : 15)');
                    CREATE TABLE "group" (id INTEGER PRIMARY KEY AUTOINCREMENT, enabled BOOLEAN NOT NULL DEFAULT 1,
                        name TEXT UNIQUE NOT NULL, date_added INTEGER NOT NULL DEFAULT 0,
                        date_modified INTEGER NOT NULL DEFAULT 0, description TEXT);
                    INSERT INTO "group" (id, name, description) VALUES (0, 'Default', 'The default group');
                    CREATE TABLE adlist (id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL,
                        enabled BOOLEAN NOT NULL DEFAULT 1, date_added INTEGER NOT NULL DEFAULT 0,
                        date_modified INTEGER NOT NULL DEFAULT 0, comment TEXT, number INTEGER NOT NULL DEFAULT 0
                        \(version6 ? ", type INTEGER NOT NULL DEFAULT 0" : ""));
                    CREATE TABLE adlist_by_group (adlist_id INTEGER NOT NULL REFERENCES adlist (id),
                        group_id INTEGER NOT NULL REFERENCES "group" (id), PRIMARY KEY (adlist_id, group_id));
                    CREATE TABLE domainlist (id INTEGER PRIMARY KEY AUTOINCREMENT, type INTEGER NOT NULL DEFAULT 0,
                        domain TEXT NOT NULL, enabled BOOLEAN NOT NULL DEFAULT 1, date_added INTEGER NOT NULL DEFAULT 0,
                        date_modified INTEGER NOT NULL DEFAULT 0, comment TEXT, UNIQUE (domain, type));
                    CREATE TABLE domainlist_by_group (domainlist_id INTEGER NOT NULL REFERENCES domainlist (id),
                        group_id INTEGER NOT NULL REFERENCES "group" (id), PRIMARY KEY (domainlist_id, group_id));
                    CREATE TABLE client (id INTEGER PRIMARY KEY AUTOINCREMENT, ip TEXT NOT NULL UNIQUE,
                        date_added INTEGER NOT NULL DEFAULT 0, date_modified INTEGER NOT NULL DEFAULT 0, comment TEXT);
                    CREATE TABLE client_by_group (client_id INTEGER NOT NULL REFERENCES client (id),
                        group_id INTEGER NOT NULL REFERENCES "group" (id), PRIMARY KEY (client_id, group_id));
                    CREATE TRIGGER tr_domainlist_add AFTER INSERT ON domainlist BEGIN
                        INSERT INTO domainlist_by_group VALUES (NEW.id, 0); END;
                    CREATE TRIGGER tr_adlist_add AFTER INSERT ON adlist BEGIN
                        INSERT INTO adlist_by_group VALUES (NEW.id, 0); END;
                    """)
            try db.execute(sql: sql)
        }
        try queue.close()
    }

    static let sample = """
        INSERT INTO "group" (id, name) VALUES (1, 'kids');
        INSERT INTO adlist (id, address, enabled, comment) VALUES
            (1, 'https://lists.example/hosts', 1, 'Everyday list'), (2, 'https://lists.example/extra.txt', 0, ''),
            (3, 'ftp://lists.example/x', 1, NULL), (4, 'https://kids.example/list', 1, NULL);
        UPDATE adlist_by_group SET group_id = 1 WHERE adlist_id = 4;
        INSERT INTO domainlist (id, type, domain, enabled, comment) VALUES
            (1, 0, 'shop.example', 1, 'needed'), (2, 1, 'ads.example', 1, NULL), (3, 3, '(^|\\.)tracker[0-9]*\\.example$', 1, 're'),
            (4, 2, '^ok\\.', 1, NULL), (5, 1, 'off.example', 0, NULL), (6, 3, 'x;querytype=A', 1, NULL),
            (7, 3, 'broken(', 1, NULL), (8, 1, 'kids.example', 1, NULL), (9, 1, 'nobody.example', 1, NULL);
        UPDATE domainlist_by_group SET group_id = 1 WHERE domainlist_id = 8;
        DELETE FROM domainlist_by_group WHERE domainlist_id = 9;
        INSERT INTO client (id, ip, comment) VALUES (1, '192.0.2.7', 'tablet');
        INSERT INTO client_by_group VALUES (1, 1);
        """

    @Test func listsAndDomains() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/gravity.db"
        try GravityTests.make(path, GravityTests.sample + "UPDATE adlist SET type = 1 WHERE id = 2;")
        #expect(GravityFile.looksLike([UInt8](try Data(contentsOf: URL(fileURLWithPath: path)).prefix(64))))
        let settings = try GravityFile.read(path)
        #expect(
            settings.lists == [
                .init(name: "Everyday list", source: "https://lists.example/hosts", allow: false, enabled: true),
                .init(
                    name: "extra (lists.example)", source: "https://lists.example/extra.txt", allow: true,
                    enabled: false),
            ])
        #expect(
            settings.left.map { "\($0.place): \($0.reason)" } == [
                "adlist 3: 'ftp://lists.example/x': lists are fetched by http and https, not by ftp",
                "adlist 4: only for group 'kids'", "domainlist 5: switched off there; rules here are always in force",
                "domainlist 6: the option ';querytype=A' behind an expression is not supported",
                "domainlist 7: /broken(/, character 7: ')' is missing for this '('",
                "domainlist 8: only for group 'kids'", "domainlist 9: in no group, so not in force there",
                "client 1: a client of the group 'kids'",
            ])
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.setRules([.init(.allow, .exact, "ads.example")])
        let report = try store.adopt(settings)
        #expect(
            report
                == AdoptReport(
                    listsAdded: ["Everyday list", "extra (lists.example)"], listsKept: [], rulesAdded: 3, rulesKept: 1))
        #expect(
            try store.rules().map { "\($0.action) \($0.match) \($0.name) \($0.comment)" } == [
                "allow exact ads.example ", "allow exact shop.example needed",
                "deny regex (^|\\.)tracker[0-9]*\\.example$ re", "allow regex ^ok\\. ",
            ])
        let lists = try store.lists()
        #expect(lists.map(\.enabled) == [true, false] && lists.map(\.allow) == [false, true])
        #expect(lists.allSatisfy { $0.entries == 0 && $0.due != nil && $0.every == 86_400 })
        // Policy without the lists' names, and once more nothing new.
        try store.compile()
        #expect(try store.snapshot().verdict("www.tracker12.example").action == .block)
        let again = try store.adopt(settings)
        #expect(again.listsAdded.isEmpty && again.rulesAdded == 0 && again.listsKept.count == 2)
        // The rules were one change.
        _ = try store.undoRules()
        #expect(try store.rules().count == 1)
    }

    @Test func olderTables() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/gravity.db"
        try GravityTests.make(
            path,
            """
            DROP TABLE domainlist; DROP TABLE domainlist_by_group;
            CREATE TABLE whitelist (id INTEGER PRIMARY KEY, domain TEXT, enabled BOOLEAN, comment TEXT);
            CREATE TABLE regex_blacklist (id INTEGER PRIMARY KEY, domain TEXT, enabled BOOLEAN, comment TEXT);
            INSERT INTO whitelist VALUES (1, 'a.example', 1, 'why');
            INSERT INTO regex_blacklist VALUES (1, '^b', 1, NULL);
            INSERT INTO adlist (address) VALUES ('file:///etc/hosts.blocked');
            """, version6: false)
        let settings = try GravityFile.read(path)
        #expect(
            settings.rules.map { "\($0.action) \($0.match) \($0.text) \($0.comment)" } == [
                "allow exact a.example why", "deny regex ^b ",
            ])
        #expect(settings.lists.map(\.source) == ["/etc/hosts.blocked"] && settings.left.isEmpty)
    }

    @Test func otherDatabasesAreRefused() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/other.db"
        try DatabaseQueue(path: path).write { try $0.execute(sql: "CREATE TABLE x (y)") }
        #expect(
            throws: BlocklistError.listRefused(
                path, "a SQLite database, but not a gravity.db: it has no table 'adlist'")
        ) {
            try GravityFile.read(path)
        }
        let garbage = try scratch.file("garbage.db", Array("SQLite format 3\0".utf8) + Array(repeating: 7, count: 5000))
        #expect(throws: BlocklistError.self) { try GravityFile.read(garbage) }
    }

    @Test func linesOfAdblockSyntaxAsRules() throws {
        var settings = ForeignSettings(origin: "test")
        for line in [
            "||ads.example^", "@@||ok.example^", "|one.example^", "plain.example", "/^ad[0-9]/", "@@/^ok/",
            "||x.example^$client=1.2.3.4", "! note",
        ] {
            settings.add(adblock: line, place: "line")
        }
        #expect(
            settings.rules.map { "\($0.action) \($0.match) \($0.text)" } == [
                "deny suffix ads.example", "allow suffix ok.example", "deny exact one.example",
                "deny exact plain.example",
                "deny regex ^ad[0-9]", "allow regex ^ok",
            ])
        #expect(settings.left.count == 1 && settings.left[0].text == "||x.example^$client=1.2.3.4")
    }
}
