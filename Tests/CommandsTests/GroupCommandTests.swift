import Foundation
import Testing

/// `webtun group`, `webtun client` and `webtun pause` as processes, with no daemon.
@Suite struct GroupCommandTests {
    typealias Place = ListCommandTests.Place

    private func objects(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test func groupsAreMadeFilledShownAndEmptied() throws {
        let place = try Place()
        #expect(
            try place.webtun("group", "add", "kids", "work", "-m", "x").output
                == "added group 'kids'\nadded group 'work'\n")
        let file = try place.file("games.txt", "games.example\n")
        #expect(try place.webtun("list", "add", file, "--format", "domains", "--group", "kids").status == 0)
        let rule = try place.webtun("deny", "videos.example", "--group", "kids", "--group", "default")
        #expect(rule.output == "deny suffix videos.example group default,kids (rule 1)\n")
        #expect(try place.webtun("flow", "deny", "--port", "25", "--group", "work").status == 0)
        #expect(
            try place.webtun("client", "add", "192.0.2.7", "02:00:00:00:00:0A", "--user", "root", "--group", "kids")
                .output
                == "address 192.0.2.7: in kids\nmac 02:00:00:00:00:0a: in kids\nuser root: in kids\n")
        let times = try place.webtun(
            "group", "schedule", "kids", "--days", "mon-fri", "--from", "21:00", "--to", "07:00", "--zone",
            "Europe/Berlin")
        #expect(times.output == "group 'kids': in force mon-fri 21:00-07:00 Europe/Berlin (schedule 1)\n")
        #expect(try place.webtun("group", "disable", "work").output == "disabled group 'work'\n")

        let groups = try objects(place.webtun("group", "ls", "--json").output)
        #expect(groups.map { $0["name"] as? String } == ["default", "kids", "work"])
        #expect(groups[1]["lists"] as? [String] == ["games"])
        #expect(groups[1]["rules"] as? [Int] == [1] && groups[0]["rules"] as? [Int] == [1])
        #expect(groups[1]["clients"] as? [String] == ["192.0.2.7", "02:00:00:00:00:0a", "root"])
        let schedule = try #require((groups[1]["schedules"] as? [[String: Any]])?.first)
        #expect(schedule["days"] as? String == "mon-fri" && schedule["zone"] as? String == "Europe/Berlin")
        #expect(groups[2]["state"] as? String == "disabled" && groups[2]["flows"] as? [Int] == [1])
        #expect(try place.webtun("group", "ls").output.contains("1: mon-fri 21:00-07:00 Europe/Berlin"))

        let clients = try objects(place.webtun("client", "ls", "--json").output)
        #expect(clients.map { $0["kind"] as? String } == ["address", "mac", "user"])
        #expect(clients[0]["groups"] as? [String] == ["kids"] && clients[2]["uid"] as? Int == 0)
        let list = try objects(place.webtun("list", "ls", "--json").output)
        #expect(list[0]["groups"] as? [String] == ["kids"])
        #expect(
            try objects(place.webtun("rule", "ls", "--json").output)[0]["groups"] as? [String] == ["default", "kids"])

        let used = try place.webtun("group", "rm", "kids")
        #expect(used.status == 1)
        #expect(
            used.errors
                == "webtun: the group 'kids' is still used by list 'games', rule 1, address 192.0.2.7, mac 02:00:00:00:00:0a, user root\n"
        )
        #expect(try place.webtun("group", "assign", "default", "--list", "games", "--rule", "1", "--only").status == 0)
        #expect(
            try place.webtun("client", "rm", "192.0.2.7", "02:00:00:00:00:0a", "--user", "root").output
                == "removed address 192.0.2.7\nremoved mac 02:00:00:00:00:0a\nremoved user root\n")
        #expect(
            try place.webtun("group", "unschedule", "kids").output
                == "group 'kids': removed mon-fri 21:00-07:00 Europe/Berlin\n")
        #expect(try place.webtun("group", "rm", "kids").output == "removed group 'kids'\n")
    }

    @Test(arguments: [
        (["group", "add", "default"], 1, "there is already a group called 'default'"),
        (["group", "add", "two words"], 1, "cannot be a group's name"),
        (["group", "rm", "default"], 1, "always there"), (["group", "rm", "teens"], 1, "no group is called 'teens'"),
        (["group", "enable", "teens"], 1, "no group is called 'teens'"),
        (["group", "schedule", "kids", "--days", "xyz"], 1, "'xyz' is no day"),
        (["group", "schedule", "kids", "--from", "25:00"], 1, "'25:00' is no time of day"),
        (["group", "schedule", "kids", "--from", "9:00", "--to", "9:00"], 1, "it ends when it begins"),
        (["group", "schedule", "kids", "--zone", "Mars/Base"], 1, "there is no time zone 'Mars/Base'"),
        (["group", "schedule", "teens"], 1, "no group is called 'teens'"),
        (["group", "unschedule", "kids", "7"], 1, "has no schedule 7"),
        (["group", "assign", "kids"], 64, "--list, --rule or --flow"),
        (["group", "assign", "kids", "--list", "nothing"], 1, "no list is called 'nothing'"),
        (["group", "assign", "kids", "--rule", "9"], 1, "no such rule: 9"),
        (["group", "unassign", "kids", "--list", "games"], 1, "list 'games' is not in the group 'kids'"),
        (["group", "unassign", "default", "--list", "games"], 1, "is in no other group"),
        (["client", "add", "--group", "kids"], 64, "name a client"),
        (["client", "add", "192.0.2.7"], 64, "--group"),
        (["client", "add", "192.0.2.7", "--group", "teens"], 1, "no group is called 'teens'"),
        (["client", "add", "192.0.2.1/24", "--group", "kids"], 1, "write 192.0.2.0/24"),
        (["client", "add", "02:00:00:00:00:zz", "--group", "kids"], 1, "is no MAC address"),
        (["client", "add", "ff:ff:ff:ff:ff:ff", "--group", "kids"], 1, "is the address of no device"),
        (["client", "add", "tablet", "--group", "kids"], 1, "is no address, prefix or MAC address"),
        (["client", "add", "--user", "no-such-user", "--group", "kids"], 1, "there is no user 'no-such-user'"),
        (["client", "rm", "192.0.2.7"], 1, "'192.0.2.7' is not assigned to groups"),
        (["deny", "a.example", "--group", "teens"], 1, "no group is called 'teens'"),
        (["flow", "deny", "--port", "1", "--group", "teens"], 1, "no group is called 'teens'"),
        (["pause", "until", "18"], 64, "'18' is no time of day"), (["pause", "5m", "10m"], 64, "is no time"),
        (["pause", "--group", "teens"], 1, "no group is called 'teens'"),
        (["pause", "--group", "kids", "--app", "curl"], 64, "at a time"),
        (["pause", "--client", "nobody"], 1, "is no address, prefix or MAC address"),
        (["resume", "--group", "kids"], 1, "group kids: not paused"),
    ])
    func badArgumentsChangeNothing(arguments: [String], status: Int32, complaint: String) throws {
        let place = try Place()
        let file = try place.file("games.txt", "games.example\n")
        #expect(try place.webtun("list", "add", file, "--format", "domains").status == 0)
        #expect(try place.webtun("group", "add", "kids").status == 0)
        func state() throws -> [String] {
            try [["group", "ls"], ["client", "ls"], ["list", "ls"], ["rule", "ls"], ["flow", "ls"]].map {
                try WebtunProcess.run($0 + ["--json"], environment: ["WEBTUN_STATE": place.state]).output
            }
        }
        let before = try state()
        let refused = try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": place.state])
        #expect(refused.status == status)
        #expect(refused.errors.contains(complaint), "\(refused.errors)")
        #expect(refused.output == "")
        #expect(try state() == before)
    }

    @Test func whyTellsWhatHoldsForAClientAtATime() throws {
        let place = try Place()
        #expect(try place.webtun("group", "add", "kids", "night").status == 0)
        #expect(try place.webtun("deny", "games.example", "--group", "kids").status == 0)
        #expect(try place.webtun("deny", "late.example", "--group", "night").status == 0)
        #expect(try place.webtun("client", "add", "192.0.2.7", "--group", "kids", "--group", "night").status == 0)
        #expect(try place.webtun("client", "add", "02:00:00:00:00:07", "--group", "kids").status == 0)
        #expect(
            try place.webtun("group", "schedule", "night", "--from", "21:00", "--to", "07:00", "--zone", "UTC").status
                == 0)
        let (noon, night) = ("2026-11-24T12:00:00Z", "2026-11-24T22:00:00Z")
        for (arguments, status) in [
            (["games.example"], 0), (["games.example", "--client", "192.0.2.7"], 3),
            (["games.example", "--client", "192.0.2.8"], 0), (["games.example", "--client", "02:00:00:00:00:07"], 3),
            (["late.example", "--client", "192.0.2.7", "--at", noon], 0),
            (["late.example", "--client", "192.0.2.7", "--at", night], 3),
            (["late.example", "--client", "192.0.2.7", "--at", "25:00"], 64),
            (["late.example", "--client", "192.0.2.0/24"], 64), (["late.example", "--client", "tablet"], 64),
        ] as [([String], Int32)] {
            let why = try WebtunProcess.run(["why"] + arguments, environment: ["WEBTUN_STATE": place.state])
            #expect(why.status == status, "\(arguments): \(why.output)\(why.errors)")
        }
        let json = try place.webtun("why", "late.example", "--client", "192.0.2.7", "--at", noon, "--json")
        let chain = try #require(objects(json.output)[0]["chain"] as? [[String: Any]])
        let group = try #require(chain.first { $0["step"] as? String == "group" })
        #expect(group["groups"] as? [String] == ["kids"] && group["paused"] as? Bool == false)
        #expect((group["out_of_force"] as? [[String: Any]])?.first?["state"] as? String == "off")
        let rule = try #require(chain.first { $0["step"] as? String == "rule" })
        #expect(rule["reason"] as? String == "no group of it holds for who asks" && rule["wins"] as? Bool == false)
        // Whoever is paused is blocked nowhere.
        #expect(try place.webtun("pause", "--client", "192.0.2.7").status == 0)
        let paused = try place.webtun("why", "games.example", "--client", "192.0.2.7")
        #expect(paused.status == 0 && paused.output.contains("who asks is paused"), "\(paused.output)")
    }

    @Test func pausesAreKeptWithoutADaemon() throws {
        let place = try Place()
        #expect(try place.webtun("group", "add", "kids").status == 0)
        #expect(try place.webtun("client", "add", "192.0.2.7", "--group", "kids").status == 0)
        #expect(try place.webtun("pause", "1h", "--group", "kids").output == "group kids: paused for 1h\n")
        #expect(
            try place.webtun("pause", "--client", "192.0.2.7").output
                == "address 192.0.2.7: paused until 'webtun resume --client 192.0.2.7'\n")
        #expect(try place.webtun("pause", "until", "18:00", "--app", "curl").output == "app curl: paused until 18:00\n")
        #expect(
            try place.webtun("pause", "5m").output == "paused for 5m (webtun is not running: in force when it starts)\n"
        )
        let groups = try objects(place.webtun("group", "ls", "--json").output)
        #expect(groups[1]["state"] as? String == "paused" && groups[1]["paused_until"] is String)
        let clients = try objects(place.webtun("client", "ls", "--json").output)
        #expect(clients[0]["paused"] as? Bool == true && clients[0]["paused_until"] is NSNull)
        let resumed = try place.webtun("resume")
        #expect(resumed.status == 0)
        #expect(
            resumed.output
                == "resumed (webtun is not running)\nstill paused: group kids\nstill paused: address 192.0.2.7\nstill paused: app curl\n"
        )
        #expect(try place.webtun("resume", "--group", "kids").output == "group kids: resumed\n")
        #expect(try place.webtun("resume", "--client", "192.0.2.7").status == 0)
        #expect(try place.webtun("resume", "--app", "curl").status == 0)
        #expect(try place.webtun("resume").output == "not paused (webtun is not running)\n")
    }
}
