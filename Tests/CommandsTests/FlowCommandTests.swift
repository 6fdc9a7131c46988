import Foundation
import Testing

/// `webtun flow`, `webtun bypass` and `why` over flows as processes, with no daemon.
@Suite struct FlowCommandTests {
    typealias Place = ListCommandTests.Place

    static let resolvers =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/blocklists/resolvers.bypass"

    @Test func rulesAreMadeShownAndRemoved() throws {
        let place = try Place()
        let made = try place.webtun("flow", "deny", "203.0.113.0/24", "2001:db8::/32", "--port", "25", "--proto", "tcp")
        #expect(made.status == 0)
        #expect(
            made.output == """
                deny 203.0.113.0/24 port 25 tcp (flow rule 1)
                deny 2001:db8::/32 port 25 tcp (flow rule 2)

                """)
        #expect(
            try place.webtun("flow", "allow", "Bücher.example", "--exact", "--user", "root", "-m", "books").status == 0)
        let json = try place.webtun("flow", "ls", "--json")
        #expect(json.status == 0)
        let rules = try json.output.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
        #expect(rules.map { $0["id"] as? Int } == [3, 2, 1], "in the order in which they are asked")
        #expect(rules[0]["name"] as? String == "xn--bcher-kva.example")
        #expect(rules[0]["match"] as? String == "exact")
        #expect(rules[0]["user"] as? String == "root" && rules[0]["uid"] as? Int == 0)
        #expect(rules[0]["comment"] as? String == "books")
        #expect(rules[2]["remote"] as? String == "203.0.113.0/24")
        #expect(rules[2]["port"] as? Int == 25 && rules[2]["port_end"] as? Int == 25)
        #expect(rules[2]["proto"] as? String == "tcp" && rules[2]["direction"] as? String == "out")
        #expect(rules[2]["name"] is NSNull)
        let removed = try place.webtun("flow", "rm", "1", "2")
        #expect(removed.output == "removed deny 203.0.113.0/24 port 25 tcp\nremoved deny 2001:db8::/32 port 25 tcp\n")
        let missing = try place.webtun("flow", "rm", "3", "1")
        #expect(missing.status == 1)
        #expect(missing.errors == "webtun: no such flow rule: 1; 'webtun flow ls' shows them\n")
        #expect(try place.webtun("flow", "ls", "--json").output.split(separator: "\n").count == 1)
    }

    @Test(arguments: [
        (["flow", "deny"], 64, "needs a condition"),
        (["flow", "deny", "203.0.113.1/24"], 1, "has bits behind the prefix; write 203.0.113.0/24"),
        (["flow", "deny", "203.0.113.256"], 1, "not an address"),
        (["flow", "deny", "a..example"], 1, "a label is empty"),
        (["flow", "deny", "--port", "0"], 64, "--port"), (["flow", "deny", "--port", "9-3"], 64, "--port"),
        (["flow", "deny", "--port", "65536"], 64, "--port"), (["flow", "deny", "--proto", "tpc"], 64, "--proto"),
        (["flow", "deny", "--port", "5", "--proto", "icmp"], 64, "protocol icmp has no ports"),
        (["flow", "deny", "192.0.2.1", "--exact"], 64, "--exact goes with a name"),
        (["flow", "deny", "a.example", "--name", "b.example"], 1, "'a.example' is no address"),
        (["flow", "deny", "--user", "no-such-user"], 1, "there is no user 'no-such-user'"),
        (["flow", "deny", "--app", "bin/x"], 1, "'bin/x' is no program"),
        (["deny", "--exact", "--app", "curl"], 64, "--exact needs a name"), (["deny"], 64, "<name>"),
        (["why", "a.example", "--port", "5"], 64, "go with an address"),
        (["bypass", "on"], 1, "no resolver data"),
        (["bypass", "on", "--resolvers", "/nonexistent/x"], 1, "/nonexistent/x"),
    ])
    func badArgumentsChangeNothing(arguments: [String], status: Int32, complaint: String) throws {
        let place = try Place()
        let result = try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": place.state])
        #expect(result.status == status, "\(result.errors)")
        #expect(result.errors.contains(complaint), "\(result.errors)")
        #expect(try place.webtun("flow", "ls", "--json").output.isEmpty)
        #expect(try place.webtun("rule", "ls", "--json").output.isEmpty)
    }

    @Test func whyUnderstandsFlows() throws {
        let place = try Place()
        #expect(
            try place.webtun("list", "add", place.file("bad.ip.txt", "# c\n203.0.113.0/24\n192.0.2.9\n")).status == 0)
        #expect(try place.webtun("flow", "allow", "203.0.113.7", "--port", "443", "-m", "ours").status == 0)
        let blocked = try place.webtun("why", "203.0.113.8", "--json")
        #expect(blocked.status == 3)
        #expect(
            blocked.output == """
                {"remote":"203.0.113.8","port":443,"proto":"tcp","name":null,"verdict":"block","reason":"list",\
                "list":"bad","rule":"203.0.113.0/24","line":2,"user_rule":null,"comment":null}

                """)
        let allowed = try place.webtun("why", "203.0.113.7", "--json")
        #expect(allowed.status == 0)
        #expect(allowed.output.contains("\"verdict\":\"allow\",\"reason\":\"flow\""))
        #expect(allowed.output.contains("\"rule\":\"allow 203.0.113.7 port 443\",\"line\":null,\"user_rule\":1"))
        #expect(try place.webtun("why", "203.0.113.7", "--port", "80").status == 3)
        let other = try place.webtun("why", "2001:db8::1", "--proto", "icmpv6")
        #expect(other.status == 0)
        #expect(other.output.contains("2001:db8::1 icmpv6: left to the default"))
        // A name of a flow is judged as a name.
        #expect(try place.webtun("deny", "ads.example").status == 0)
        #expect(try place.webtun("why", "198.51.100.1", "--name", "www.ads.example").status == 3)
    }

    @Test func rulesForProgramsAndUsers() throws {
        let place = try Place()
        let made = try place.webtun("deny", "games.example", "--app", "curl", "--user", "root")
        #expect(made.output == "deny suffix games.example app curl user root (rule 1)\n")
        #expect(try place.webtun("deny", "--app", "telemetryd").status == 0)
        #expect(try place.webtun("why", "games.example").status == 0)
        #expect(try place.webtun("why", "games.example", "--app", "curl").status == 0)
        #expect(try place.webtun("why", "games.example", "--app", "curl", "--user", "0").status == 3)
        #expect(try place.webtun("why", "games.example", "--app", "/usr/bin/curl", "--user", "0").status == 3)
        #expect(try place.webtun("why", "anything.example", "--app", "telemetryd").status == 3)
        let rules = try place.webtun("rule", "ls", "--json").output
        #expect(rules.contains("\"app\":\"curl\",\"user\":\"root\",\"uid\":0"))
        #expect(rules.contains("\"name\":\".\""))
        #expect(try place.webtun("rule", "rm", "2").output == "removed deny suffix . app telemetryd\n")
    }

    @Test func theBypassSwitch() throws {
        let place = try Place()
        let on = try place.webtun("bypass", "on", "--resolvers", FlowCommandTests.resolvers)
        #expect(on.status == 0)
        #expect(on.output.hasPrefix("bypass protection is on: "))
        let why = try place.webtun("why", "dns.google", "--json")
        #expect(why.status == 3)
        #expect(why.output.contains("\"list\":\"bypass protection\",\"rule\":\"names of Google\""))
        #expect(try place.webtun("why", "192.0.2.1", "--port", "853").status == 3)
        #expect(try place.webtun("why", "9.9.9.9", "--proto", "udp").status == 3)
        #expect(try place.webtun("why", "9.9.9.9", "--port", "80").status == 0)
        #expect(try place.webtun("allow", "dns.google").status == 0)
        #expect(try place.webtun("flow", "allow", "9.9.9.9").status == 0)
        let report = try place.webtun("bypass", "report", "--json")
        #expect(report.status == 0)
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(report.output.utf8)) as? [String: Any])
        #expect(object["bypass"] as? String == "on")
        #expect(object["source"] as? String == FlowCommandTests.resolvers)
        #expect(
            (object["exceptions"] as? [[String: Any]])?.map { $0["subject"] as? String } == ["dns.google", "9.9.9.9"])
        #expect((object["attempts"] as? [Any])?.isEmpty == true)
        let text = try place.webtun("bypass", "report", "--operators")
        #expect(text.status == 0)
        #expect(text.output.contains("9.9.9.9") && text.output.contains("your flow rule 1"))
        let off = try place.webtun("bypass", "off")
        #expect(off.output == "bypass protection is off\n")
        #expect(try place.webtun("why", "dns.quad9.net").status == 0)
        #expect(try place.webtun("bypass", "on").status == 0, "the data stays")
    }
}
