import Foundation
import Testing

/// `webtun record`, `forward` and `safesearch` as processes, with no daemon.
@Suite struct RecordCommandTests {
    typealias Place = ListCommandTests.Place

    static let engines =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/blocklists/engines.safesearch"

    private func webtun(_ place: Place, _ arguments: [String]) throws -> WebtunProcess {
        try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": place.state])
    }

    private func objects(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test func recordsAreMadeShownAndRemoved() throws {
        let place = try Place()
        let made = try place.webtun("record", "add", "NAS.lan", "192.0.2.9", "2001:db8::9", "--ptr", "-m", "the box")
        #expect(made.status == 0, "\(made)")
        #expect(
            made.output == """
                nas.lan 300 A 192.0.2.9
                9.2.0.192.in-addr.arpa 300 PTR nas.lan.
                nas.lan 300 AAAA 2001:db8::9
                9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa 300 PTR nas.lan.

                """)
        for (arguments, line) in [
            (["*.lab.example", "A", "192.0.2.20", "--ttl", "60"], "*.lab.example 60 A 192.0.2.20"),
            (["www.lan", "CNAME", "bücher.example"], "www.lan 300 CNAME xn--bcher-kva.example."),
            (["lan.example", "mx", "10", "mail.lan.example"], "lan.example 300 MX 10 mail.lan.example."),
            (["lan.example", "TXT", "v=spf1 ~all"], "lan.example 300 TXT \"v=spf1 ~all\""),
            (["lan.example", "TXT", "say \"x\"", "two"], "lan.example 300 TXT \"say \\\"x\\\"\" \"two\""),
            (["_sip._tcp.lan", "SRV", "0", "5", "5060", "sip.lan"], "_sip._tcp.lan 300 SRV 0 5 5060 sip.lan."),
            (["web.lan", "HTTPS", "1", ".", "alpn=h2"], "web.lan 300 HTTPS 1 . alpn=h2"),
            (["odd.lan", "TYPE65280", "\\# 2 0a0b"], "odd.lan 300 TYPE65280 \\# 2 0a0b"),
        ] {
            let output = try webtun(place, ["record", "add"] + arguments)
            #expect(output.output == line + "\n", "\(output)")
        }
        let long = try place.webtun("record", "add", "long.lan", "TXT", String(repeating: "a", count: 300))
        #expect(long.output.split(separator: "\"").map(\.count) == [17, 255, 1, 45, 1], "\(long)")
        let rows = try objects(place.webtun("record", "ls", "nas.lan", "--json").output)
        #expect(rows.map { $0["type"] as? String } == ["A", "AAAA"])
        #expect(rows[0]["data"] as? String == "192.0.2.9" && rows[0]["ttl"] as? Int == 300)
        #expect(rows[0]["comment"] as? String == "the box" && rows[0]["name"] as? String == "nas.lan")
        #expect(try place.webtun("record", "ls").output.contains("*.lab.example"))
        #expect(
            try place.webtun("record", "rm", "lan.example", "MX").output
                == "removed lan.example 300 MX 10 mail.lan.example.\n")
        #expect(
            try place.webtun("record", "rm", "nas.lan", "2001:DB8::9").output
                == "removed nas.lan 300 AAAA 2001:db8::9\n")
        #expect(try place.webtun("record", "rm", "nas.lan").output == "removed nas.lan 300 A 192.0.2.9\n")
        let gone = try place.webtun("record", "rm", "nas.lan")
        #expect(gone.status == 1)
        #expect(gone.errors == "webtun: no such record: nas.lan; 'webtun record ls' shows them\n")
    }

    @Test(arguments: [
        (["record", "add", "nas.lan"], 64, "<data>"),
        (["record", "add", "nas.lan", "192.0.2"], 1, "'192.0.2': neither an address nor a record type"),
        (["record", "add", "nas.lan", "A", "192.0.2"], 1, "'A 192.0.2': "),
        (["record", "add", "nas.lan", "MX"], 1, "'MX '"),
        (["record", "add", "a..lan", "192.0.2.1"], 1, "a label is empty"),
        (["record", "add", "nas.lan", "ANY", "x"], 1, "ANY"),
        (["record", "add", "nas.lan", "CNAME", "x", "--ptr"], 1, "--ptr goes with addresses"),
        (["record", "add", "*.lan", "192.0.2.1", "--ptr"], 64, "not with a wildcard"),
        (["record", "add", "nas.lan", "192.0.2.1", "--ttl", "9999999"], 1, "604800"),
        (["record", "add", "nas.lan", "192.0.2.1", "--ttl", "-1"], 64, "--ttl"),
        (["forward", "add", "corp.example"], 64, "<server>"),
        (["forward", "add", "corp.example", "server"], 1, "'server' is not a server"),
        (["forward", "add", "corp.example", "never", "192.0.2.1"], 64, "'never' stands alone"),
        (["forward", "add", "192.0.2.1/24", "192.0.2.1"], 1, "bits behind the prefix"),
        (["forward", "add", ".", "192.0.2.1"], 1, "'.'"),
        (["forward", "rm", "x.example"], 1, "x.example is not forwarded"),
        (["safesearch", "on"], 1, "no data of search engines"),
        (["safesearch", "on", "--engines", "/nowhere"], 1, "/nowhere: No such file"),
    ])
    func wrongArgumentsSayWhy(arguments: [String], status: Int, text: String) throws {
        let place = try Place()
        let output = try webtun(place, arguments)
        #expect(output.status == status, "\(output)")
        #expect(output.errors.contains(text), "\(output)")
        #expect(try place.webtun("record", "ls", "--json").output.isEmpty)
        #expect(try place.webtun("forward", "ls", "--json").output.isEmpty)
    }

    @Test func zonesAreForwardedShownAndRemoved() throws {
        let place = try Place()
        let made = try place.webtun("forward", "add", "Corp.example", "192.0.2.9", "[2001:db8::9]:5353", "-m", "tunnel")
        #expect(made.output == "corp.example to 192.0.2.9:53 [2001:db8::9]:5353\n", "\(made)")
        #expect(try place.webtun("forward", "add", "lan.example", "never").output == "lan.example never\n")
        #expect(try place.webtun("forward", "add", "home.arpa", "-").output == "home.arpa never\n")
        #expect(
            try place.webtun("forward", "add", "172.16.0.0/12", "192.0.2.9").output.split(separator: "\n").count == 16)
        let rows = try objects(place.webtun("forward", "ls", "--json").output)
        #expect(rows.count == 19)
        let corp = try #require(rows.first { $0["zone"] as? String == "corp.example" })
        #expect(corp["servers"] as? [String] == ["192.0.2.9:53", "[2001:db8::9]:5353"])
        #expect(corp["forwarded"] as? Bool == true && corp["comment"] as? String == "tunnel")
        #expect(rows.first { $0["zone"] as? String == "lan.example" }?["forwarded"] as? Bool == false)
        #expect(
            try place.webtun("forward", "rm", "172.16.0.0/12", "corp.example").output.split(separator: "\n").count == 17
        )
        #expect(try place.webtun("forward", "ls").output.contains("never"))
    }

    @Test func whyTellsOfLocalData() throws {
        let place = try Place()
        for arguments in [
            ["deny", "lan"], ["record", "add", "nas.lan", "192.0.2.9"],
            ["record", "add", "*.lab.lan", "CNAME", "x.example"],
            ["forward", "add", "corp.example", "192.0.2.53"], ["forward", "add", "lan.example", "never"],
            ["safesearch", "on", "yandex", "--engines", RecordCommandTests.engines],
        ] {
            #expect(try webtun(place, arguments).status == 0)
        }
        func steps(_ name: String, status: Int = 0) throws -> [String: [String: Any]] {
            let output = try place.webtun("why", name, "--json")
            #expect(output.status == status, "\(output)")
            let object = try #require(objects(output.output).first)
            let steps = try #require(object["chain"] as? [[String: Any]])
            #expect(steps.first?["step"] as? String == "record")
            #expect(object["verdict"] as? String == (status == 3 ? "block" : "forward"))
            return Dictionary(steps.map { ($0["step"] as! String, $0) }, uniquingKeysWith: { first, _ in first })
        }
        let own = try steps("nas.lan")
        #expect(
            own["record"]?["records"] as? [String] == ["nas.lan 300 A 192.0.2.9"]
                && own["record"]?["wins"] as? Bool == true)
        #expect(own["upstream"]?["asked"] as? Bool == false)
        let alias = try steps("a.b.lab.lan")
        #expect(alias["record"]?["records"] as? [String] == ["*.lab.lan 300 CNAME x.example."])
        #expect(alias["upstream"]?["asked"] as? Bool == true)
        #expect(try steps("other.lan", status: 3)["record"]?["found"] as? Bool == false)
        let corp = try steps("www.corp.example")
        #expect(corp["forward"]?["zone"] as? String == "corp.example")
        #expect(corp["upstream"]?["servers"] as? [String] == ["192.0.2.53:53"], "the usual servers are not named")
        let never = try steps("nas.lan.example")
        #expect(never["forward"]?["forwarded"] as? Bool == false && never["upstream"]?["asked"] as? Bool == false)
        #expect(try steps("ya.ru")["safesearch"]?["data"] as? String == "A 213.180.193.56")
        let text = try place.webtun("why", "nas.lan")
        #expect(text.output.contains("answered from your records, before any list or rule"), "\(text)")
    }

    @Test func safeSearchIsSwitched() throws {
        let place = try Place()
        let on = try place.webtun(
            "safesearch", "on", "google", "youtube:moderate", "--engines", RecordCommandTests.engines)
        #expect(on.output == "safe search is on: google, youtube (moderate)\n", "\(on)")
        let rows = try objects(place.webtun("safesearch", "ls", "--json").output)
        #expect(rows.count == 8)
        #expect(rows[0]["engine"] as? String == "google" && rows[0]["on"] as? Bool == true)
        #expect(
            rows[2]["engine"] as? String == "bing" && rows[2]["on"] as? Bool == false
                && (rows[2]["groups"] as? [String: String]) == [:])
        #expect((rows[1]["groups"] as? [String: String]) == ["default": "moderate"])
        #expect((rows[0]["targets"] as? [String: [String]])?["strict"] == ["forcesafesearch.google.com"])
        #expect(try place.webtun("safesearch", "off", "google").output == "safe search is on: youtube (moderate)\n")
        #expect(try place.webtun("group", "add", "kids").status == 0)
        let kids = try place.webtun("safesearch", "on", "bing", "youtube", "--group", "kids")
        #expect(
            kids.output
                == "safe search is on: youtube (moderate for default, strict for kids), bing (strict for kids)\n")
        #expect(try place.webtun("group", "rm", "kids").errors.contains("safe search of bing, safe search of youtube"))
        #expect(try place.webtun("safesearch", "on", "--group", "none").errors.contains("none"))
        #expect(
            try place.webtun("safesearch", "off", "--group", "kids").output == "safe search is on: youtube (moderate)\n"
        )
        let all = try place.webtun("safesearch", "on")
        #expect(all.output.contains("google, youtube (strict), bing, duckduckgo, ecosia, yandex, pixabay, brave"))
        #expect(try place.webtun("safesearch", "off").output == "safe search is off\n")
        let wrong = try place.webtun("safesearch", "on", "altavista")
        #expect(wrong.status == 1 && wrong.errors.contains("no search engine is called 'altavista'; known are google"))
    }
}
