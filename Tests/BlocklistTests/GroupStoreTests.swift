import GRDB
import Testing

@testable import Blocklist

/// Groups, who is in them and pauses, as `blocklist.db` keeps them.
struct GroupStoreTests {
    private func store() throws -> (Scratch, BlocklistStore) {
        let scratch = try Scratch()
        return (scratch, try BlocklistStore(state: scratch.path + "/state"))
    }

    private func refuses(_ error: BlocklistError, _ body: () throws -> Void) {
        #expect(throws: error, performing: body)
    }

    @Test func defaultIsAlwaysThere() throws {
        let (scratch, store) = try store()
        defer { withExtendedLifetime(scratch) {} }
        #expect(try store.groups().map(\.name) == ["default"])
        #expect(throws: BlocklistError.self) { try store.removeGroups(["default"]) }
        refuses(.groupExists("default")) { _ = try store.addGroups(["default"]) }
        #expect(try store.addGroups(["kids", "work"], comment: "x").map(\.id) == [1, 2])
        try store.removeGroups(["kids"])
        #expect(try store.addGroups(["guests"]).map(\.id) == [1], "an id that is free is used again")
        for name in ["", "a b", "a,b", "-x", String(repeating: "x", count: 101)] {
            #expect(throws: BlocklistError.self) { try store.addGroups([name]) }
        }
        refuses(.groupExists("work")) { _ = try store.addGroups(["new", "work"]) }
        #expect(try store.groups().map(\.name) == ["default", "guests", "work"], "all or none")
    }

    @Test func thereAreSixtyThree() throws {
        let (scratch, store) = try store()
        defer { withExtendedLifetime(scratch) {} }
        _ = try store.addGroups((1..<63).map { "g\($0)" })
        #expect(throws: BlocklistError.self) { try store.addGroups(["one-more"]) }
        let client = try store.setClients([PolicySubject(client: "192.0.2.1")], groups: ["g62"])
        #expect(client[0].groups.ids == [62])
        #expect(try store.overview().names(client[0].groups) == ["g62"])
    }

    @Test func aGroupThatIsUsedStays() throws {
        let (scratch, store) = try store()
        _ = try store.addGroups(["kids"])
        let file = try scratch.file("games.txt", "games.example\n")
        _ = try store.add(file, .init(format: .domains, groups: ["kids"]))
        _ = try store.setRules([.init(.deny, .suffix, "videos.example", groups: ["kids"])])
        _ = try store.setFlowRules([.init(.deny, FlowConditions(port: 25), groups: ["kids", "default"])])
        _ = try store.setClients([PolicySubject(client: "192.0.2.0/24")], groups: ["kids"])
        refuses(.groupInUse("kids", "list 'games', rule 1, flow rule 1, address 192.0.2.0/24")) {
            try store.removeGroups(["kids"])
        }
        try store.assign(.init(lists: ["games"], rules: [1]), to: "default", .only)
        try store.assign(.init(flows: [1]), to: "kids", .remove)
        try store.removeClients([PolicySubject(client: "192.0.2.0/24")])
        try store.pause(PolicyPause(.group("kids"), until: nil))
        _ = try store.addSchedule("kids", GroupSchedule(days: .every, from: 0, to: 60))
        try store.removeGroups(["kids"])
        #expect(try store.pauses().isEmpty)
        #expect(try store.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM schedule") } == 0)
    }

    @Test func membersChangeTheirGroups() throws {
        let (scratch, store) = try store()
        _ = try store.addGroups(["kids", "work"])
        _ = try store.add(scratch.file("games.txt", "games.example\n"), .init(format: .domains))
        #expect(try store.list("games").groups == .standard)
        try store.assign(.init(lists: ["games"]), to: "kids", .add)
        #expect(try store.list("games").groups.ids == [0, 1])
        try store.assign(.init(lists: ["games"]), to: "work", .only)
        #expect(try store.list("games").groups.ids == [2])
        #expect(throws: BlocklistError.self, "in no other group") {
            try store.assign(.init(lists: ["games"]), to: "work", .remove)
        }
        #expect(throws: BlocklistError.self, "not in it") {
            try store.assign(.init(lists: ["games"]), to: "kids", .remove)
        }
        refuses(.noSuchList("nothing")) { try store.assign(.init(lists: ["games", "nothing"]), to: "kids", .add) }
        refuses(.noSuchGroup("teens")) { try store.assign(.init(lists: ["games"]), to: "teens", .add) }
        refuses(.noSuchRule("9")) { try store.assign(.init(lists: ["games"], rules: [9]), to: "kids", .add) }
        #expect(try store.list("games").groups.ids == [2], "all or none")
        refuses(.noSuchGroup("teens")) {
            _ = try store.add(scratch.file("b.txt", "b.example\n"), .init(format: .domains, groups: ["teens"]))
        }
        #expect(try store.lists().count == 1)
    }

    @Test func aNameHasARuleForEachSetOfGroups() throws {
        let (scratch, store) = try store()
        defer { withExtendedLifetime(scratch) {} }
        _ = try store.addGroups(["kids"])
        _ = try store.setRules([.init(.deny, .suffix, "a.example")])
        let kids = try store.setRules([.init(.allow, .suffix, "a.example", groups: ["kids"])])
        #expect(kids.map(\.id) == [2] && kids[0].groups.ids == [1])
        _ = try store.setRules([.init(.deny, .suffix, "a.example", groups: ["kids"])])
        #expect(try store.rules().map(\.action) == [.deny, .deny], "the same groups: changed")
        #expect(throws: BlocklistError.self, "there is one already") {
            try store.assign(.init(rules: [2]), to: "default", .only)
        }
        // A rule that says itself whom it is for belongs to every group.
        let owner = try RuleOwner(app: "curl", user: nil)
        #expect(try store.setRules([.init(.deny, .suffix, ".", owner: owner)])[0].groups == .every)
        #expect(try store.setRules([.init(.deny, .suffix, ".", owner: owner, groups: ["kids"])])[0].groups.ids == [1])
    }

    @Test func clientsAreReadAsPeopleWriteThem() throws {
        let (scratch, store) = try store()
        defer { withExtendedLifetime(scratch) {} }
        _ = try store.addGroups(["kids", "work"])
        let subjects = try ["192.0.2.7", "192.0.2.0/24", "2001:DB8::/32", "02:00:00:00:00:0A", "02-00-00-00-00-0b"].map
        {
            try PolicySubject(client: $0)
        }
        let made = try store.setClients(
            subjects + [PolicySubject(user: "root"), PolicySubject(app: "/usr/bin/curl")], groups: ["kids"])
        #expect(
            made.map(\.subject.text) == [
                "192.0.2.7", "192.0.2.0/24", "2001:db8::/32", "02:00:00:00:00:0a", "02:00:00:00:00:0b", "root",
                "/usr/bin/curl",
            ])
        #expect(made[5].subject.uid == 0)
        let again = try store.setClients([subjects[0]], groups: ["work", "default"])
        #expect(again.map(\.groups.ids) == [[0, 2]] && again[0].id == made[0].id)
        #expect(try store.clients().count == 7)
        refuses(.noSuchClient("192.0.2.9")) {
            try store.removeClients([subjects[0], PolicySubject(client: "192.0.2.9")])
        }
        #expect(try store.clients().count == 7, "all or none")
        for text in [
            "192.0.2.1/24", "192.0.2", "alice", "02:00:00:00:00", "02:00:00:00:00:zz", "01:00:5e:00:00:01",
            "00:00:00:00:00:00", "2:0:0:0:0:7", "2001:db8::1/129", "",
        ] {
            #expect(throws: BlocklistError.self, "\(text)") { try PolicySubject(client: text) }
        }
    }

    @Test func schedulesAreChecked() throws {
        let (scratch, store) = try store()
        defer { withExtendedLifetime(scratch) {} }
        _ = try store.addGroups(["kids"])
        let night = GroupSchedule(days: try Weekdays("mon-fri"), from: 1260, to: 420, zone: "Europe/Berlin")
        let first = try store.addSchedule("kids", night)
        #expect(try store.addSchedule("kids", night).id == first.id, "the same again is the same")
        let second = try store.addSchedule("kids", GroupSchedule(days: .every, from: 0, to: 1440))
        #expect("\(first)" == "mon-fri 21:00-07:00 Europe/Berlin" && "\(second)" == "daily 00:00-24:00")
        #expect(throws: BlocklistError.self) {
            try store.addSchedule("kids", GroupSchedule(days: .every, from: 60, to: 60))
        }
        refuses(.badArgument("there is no time zone 'Europe/Atlantis'; write one like Europe/Berlin or UTC")) {
            _ = try store.addSchedule("kids", GroupSchedule(days: .every, from: 0, to: 1, zone: "Europe/Atlantis"))
        }
        refuses(.noSuchGroup("teens")) {
            _ = try store.addSchedule("teens", GroupSchedule(days: .every, from: 0, to: 1))
        }
        #expect(throws: BlocklistError.self) { try store.removeSchedules("kids", [99]) }
        #expect(try store.removeSchedules("kids", [first.id]).count == 1)
        #expect(try store.group("kids").schedules == [second])
        #expect(try store.removeSchedules("kids", []).count == 1)
    }

    @Test func pausesVanishWhenTheyAreOver() throws {
        let (scratch, store) = try store()
        defer { withExtendedLifetime(scratch) {} }
        _ = try store.addGroups(["kids"])
        let client = PauseScope.subject(try PolicySubject(client: "192.0.2.7"))
        try store.pause(PolicyPause(.group("kids"), until: 2_000), now: 1_000)
        try store.pause(PolicyPause(client, until: nil), now: 1_000)
        try store.pause(PolicyPause(.all, until: 1_500), now: 1_000)
        #expect(try store.pauses(at: 1_499).count == 3)
        #expect(try store.pauses(at: 1_500).map(\.scope) == [.group("kids"), client])
        try store.pause(PolicyPause(client, until: 3_000), now: 2_000)
        #expect(try store.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM pause") } == 1, "no dead rows")
        #expect(try store.pauses(at: 2_000) == [PolicyPause(client, until: 3_000)])
        #expect(try store.resume(client, now: 2_000))
        #expect(try !store.resume(client, now: 2_000))
        refuses(.noSuchGroup("teens")) { try store.pause(PolicyPause(.group("teens"), until: nil)) }
        refuses(.noSuchGroup("teens")) { _ = try store.resume(.group("teens")) }
    }

    /// Taken in where groups have other numbers, everything stays in the groups of its name.
    @Test func groupsOutliveAnImport() throws {
        let (scratch, store) = try store()
        _ = try store.addGroups(["kids", "work"])
        _ = try store.add(scratch.file("games.txt", "games.example\n"), .init(format: .domains, groups: ["kids"]))
        _ = try store.setRules([
            .init(.deny, .suffix, "a.example", groups: ["work", "default"]),
            .init(.deny, .suffix, "b.example", owner: RuleOwner(app: "curl", user: nil)),
        ])
        _ = try store.setClients([PolicySubject(client: "192.0.2.7")], groups: ["work"])
        _ = try store.addSchedule("work", GroupSchedule(days: .every, from: 60, to: 120, zone: "UTC"))
        try store.pause(PolicyPause(.group("kids"), until: nil))
        let file = try store.export(to: scratch.path + "/file").path

        let same = try BlocklistStore(state: scratch.path + "/same")
        _ = try same.restore(from: file, .intoEmpty)
        #expect(try same.groups() == store.groups())
        #expect(try same.clients() == store.clients() && same.rules() == store.rules())
        #expect(try same.pauses().isEmpty, "a pause is not worth keeping")

        let other = try BlocklistStore(state: scratch.path + "/other")
        _ = try other.addGroups(["guests", "work"])
        _ = try other.restore(from: file, .merge)
        let overview = try other.overview()
        #expect(overview.groups.map(\.name) == ["default", "guests", "work", "kids"])
        #expect(overview.lists.map { overview.names($0.groups) } == [["kids"]])
        #expect(overview.rules.map { overview.names($0.groups) }.first == ["default", "work"])
        #expect(overview.rules[1].groups == .every)
        #expect(overview.clients.map { overview.names($0.groups) } == [["work"]])
        #expect(try other.group("work").schedules.map(\.from) == [60])
        #expect(try other.group("guests").schedules.isEmpty)
        // A change of groups is a change of the rule, which can be taken back.
        try store.assign(.init(rules: [1]), to: "kids", .only)
        _ = try store.undoRules()
        #expect(try store.rules()[0].groups.ids == [0, 2])
        _ = try store.addGroups(["brief"])
        let brief = try store.setRules([.init(.deny, .suffix, "c.example", groups: ["brief"])])
        _ = try store.removeRules(["\(brief[0].id)"])
        try store.removeGroups(["brief"])
        #expect(try store.undoRules()?.left.map(\.reason) == ["a group that it was in is gone"])
    }

    /// A database of before there were groups: its rules keep their ids, those for programs and users hold everywhere.
    @Test func olderDatabasesAreBroughtForward() throws {
        let scratch = try Scratch()
        let state = scratch.path + "/state"
        do {
            let store = try BlocklistStore(state: state)
            try store.queue.write { db in
                try db.execute(
                    sql: """
                        DELETE FROM grdb_migrations WHERE identifier = 'groups';
                        DROP TABLE policy_group; DROP TABLE schedule; DROP TABLE client; DROP TABLE pause; DROP TABLE rule;
                        ALTER TABLE list DROP COLUMN groups; ALTER TABLE flow DROP COLUMN groups;
                        CREATE TABLE rule (
                            id INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL, action TEXT NOT NULL,
                            name TEXT NOT NULL, comment TEXT NOT NULL DEFAULT '', added INTEGER NOT NULL,
                            app TEXT NOT NULL DEFAULT '', user TEXT NOT NULL DEFAULT '', uid INTEGER,
                            UNIQUE (name, match, app, user));
                        CREATE TRIGGER rule_added AFTER INSERT ON rule BEGIN UPDATE state SET rules = rules + 1; END;
                        INSERT INTO rule (match, action, name, added) VALUES ('suffix', 'deny', 'gone.example', 1);
                        DELETE FROM rule;
                        INSERT INTO rule (match, action, name, added) VALUES ('suffix', 'deny', 'a.example', 1);
                        INSERT INTO rule (match, action, name, added, app) VALUES ('suffix', 'deny', '.', 1, 'curl');
                        INSERT INTO flow (action, app, added) VALUES ('deny', 'curl', 1);
                        INSERT INTO flow (action, port, port_end, added) VALUES ('deny', 25, 25, 1);
                        """)
            }
        }
        let store = try BlocklistStore(state: state)
        #expect(try store.rules().map(\.id) == [2, 3])
        #expect(try store.rules().map(\.groups) == [.standard, .every])
        #expect(try store.flowRules().map(\.groups) == [.every, .standard])
        let before = try store.read(BlocklistStore.counters).rules
        #expect(try store.setRules([.init(.deny, .suffix, "b.example")])[0].id == 4)
        #expect(try store.read(BlocklistStore.counters).rules > before, "changes of rules are still counted")
    }
}

extension FlowConditions {
    fileprivate init(port: UInt16) {
        self.init()
        ports = port...port
    }
}
