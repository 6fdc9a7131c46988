import Foundation
import Testing

/// `webtun list`, `allow`, `deny`, `rule`, `why` and `search` as processes, with no daemon.
@Suite struct ListCommandTests {
    /// A state directory and files of one test.
    final class Place {
        let path = FileManager.default.temporaryDirectory.path + "/webtun-lists-\(UUID().uuidString)"
        var state: String { path + "/state" }

        init() throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }

        func file(_ name: String, _ text: String) throws -> String {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
            return path + "/" + name
        }

        func webtun(_ arguments: String...) throws -> WebtunProcess {
            try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": state])
        }
    }

    @Test func addedListAnswersWhy() throws {
        let place = try Place()
        let file = try place.file("ads.txt", "127.0.0.1 localhost\n0.0.0.0 ads.example\n0.0.0.0 bad..example\n")
        let added = try place.webtun("list", "add", file)
        #expect(added.status == 0)
        #expect(added.output == "added 'ads' (hosts): 1 name, 1 passed over, 1 refused\n")
        #expect(
            added.errors
                == "\(file):3: a label is empty (two dots, or a dot in front): 0.0.0.0 bad..example\n")
        let blocked = try place.webtun("why", "WWW.ads.example.", "--json")
        #expect(blocked.status == 3)
        #expect(
            blocked.output.hasPrefix(
                """
                {"name":"www.ads.example","verdict":"block","list":"ads","rule":"0.0.0.0 ads.example","line":2,\
                "match":"suffix","matched":"ads.example","user_rule":null,"comment":null,\
                "qtype":"A","rcode":"NOERROR","answer":["0.0.0.0"],"ttl":10,"paused":false,"chain":[
                """), "\(blocked.output)")
        let forwarded = try place.webtun("why", "example", "--json")
        #expect(forwarded.status == 0)
        #expect(
            forwarded.output.hasPrefix(
                "{\"name\":\"example\",\"verdict\":\"forward\",\"list\":null,\"rule\":null,\"line\":null,"))
        let found = try place.webtun("search", "DS.EX", "--json")
        #expect(found.status == 0)
        #expect(found.output.contains("\"list\":\"ads\",\"line\":2,\"rule\":\"0.0.0.0 ads.example\""))
    }

    @Test func rulesComeBeforeLists() throws {
        let place = try Place()
        #expect(try place.webtun("list", "add", place.file("ads.txt", "ads.example\n")).status == 0)
        #expect(try place.webtun("allow", "--exact", "www.ads.example", "-m", "wanted").status == 0)
        let allowed = try place.webtun("why", "www.ads.example", "--json")
        #expect(allowed.status == 0)
        #expect(allowed.output.contains("\"verdict\":\"allow\",\"list\":null,\"rule\":\"www.ads.example\""))
        #expect(allowed.output.contains("\"comment\":\"wanted\""))
        #expect(try place.webtun("why", "b.www.ads.example").status == 3)
        #expect(try place.webtun("deny", "--regex", "^pixel[0-9]+\\.").status == 0)
        #expect(try place.webtun("why", "pixel7.example").status == 3)
        #expect(try place.webtun("rule", "rm", "www.ads.example").status == 0)
        #expect(try place.webtun("why", "www.ads.example").status == 3)
        // All or nothing, with the reason.
        let bad = try place.webtun("deny", "good.example", "192.0.2.1")
        #expect(bad.status == 1)
        #expect(bad.errors == "webtun: '192.0.2.1': an address, not a name\n")
        let pattern = try place.webtun("deny", "--regex", "ads(")
        #expect(pattern.status == 1)
        #expect(pattern.errors == "webtun: /ads(/, character 4: ')' is missing for this '('\n")
        let rules = try place.webtun("rule", "ls", "--json").output.split(separator: "\n")
        #expect(rules.count == 1)
    }

    /// The chain has everything that speaks of a name, in the order of precedence, with what decided marked.
    @Test func theChainOfAName() throws {
        let place = try Place()
        for (name, text, options) in [
            ("ads", "0.0.0.0 ads.example\n0.0.0.0 www.ads.example\n", [String]()), ("off", "www.ads.example\n", []),
            ("ok", "ads.example\n", ["--allow"]), ("strong", "||www.ads.example^$important\n", []),
            ("other", "other.example\n", []),
        ] {
            #expect(
                try WebtunProcess.run(
                    ["list", "add", place.file("\(name).txt", text)] + options,
                    environment: ["WEBTUN_STATE": place.state]
                ).status == 0)
        }
        #expect(try place.webtun("list", "disable", "off").status == 0)
        func chain(_ arguments: String...) throws -> [String] {
            let output = try WebtunProcess.run(
                ["why", "www.ads.example", "--json"] + arguments, environment: ["WEBTUN_STATE": place.state]
            ).output
            let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
            return try #require(object?["chain"] as? [[String: Any]]).map { step in
                let words = ["step", "list", "line", "action", "rule", "reason"].compactMap { step[$0] }.filter {
                    !($0 is NSNull)
                }
                return words.map { "\($0)" }.joined(separator: " ") + (step["wins"] as? Bool == true ? " *" : "")
            }
        }
        let lists = [
            "list ok 1 allow ads.example", "list ads 2 deny 0.0.0.0 www.ads.example",
            "list off 1 deny www.ads.example the list is off", "list ads 1 deny 0.0.0.0 ads.example",
        ]
        let strong = "list strong 1 deny ||www.ads.example^$important"
        #expect(try chain() == ["pause", strong + " *"] + lists + ["cache", "upstream", "cname"])
        #expect(try place.webtun("allow", "ads.example").status == 0)
        #expect(try place.webtun("deny", "--regex", "^www").status == 0)
        #expect(try place.webtun("deny", "ads.example", "--app", "curl").status == 0)
        let rules = ["rule allow ads.example *", "rule deny ^www"]
        #expect(
            try chain() == ["pause", "rule deny ads.example not for who asks"] + rules + [strong] + lists
                + ["cache", "upstream", "cname"])
        #expect(try chain("--app", "curl")[1] == "rule deny ads.example *")
        let text = try place.webtun("why", "www.ads.example").output
        #expect(text.contains("\n  * rule      allows your rule 1: ads.example\n"), "\(text)")
        #expect(text.contains("\n    list      blocks off, line 1: www.ads.example — the list is off\n"), "\(text)")
        #expect(text.contains("cname     not asked for; --resolve asks"), "\(text)")
        let none = try place.webtun("why", "nothing.test").output
        #expect(none.contains("rule      no rule and no list has it"), "\(none)")
    }

    @Test func failedUpdateIsToldAndChangesNothing() throws {
        let place = try Place()
        let file = try place.file("ads.txt", "ads.example\n")
        #expect(try place.webtun("list", "add", file).status == 0)
        _ = try place.file("ads.txt", "<!DOCTYPE html><html>gone</html>\n")
        let update = try place.webtun("list", "update")
        #expect(update.status == 1)
        #expect(
            update.errors
                == "webtun: list 'ads': \(file): line 1: a web page or XML, not a list; its names stay as they were\n"
        )
        #expect(try place.webtun("why", "ads.example").status == 3)
        let lists = try place.webtun("list", "ls", "--json")
        #expect(lists.output.contains("\"error\":\"line 1: a web page or XML, not a list\""))
        #expect(lists.output.contains("\"names\":1,"))
    }

    @Test func mistakesAreToldApart() throws {
        let place = try Place()
        let scheme = try place.webtun("list", "add", "ftp://lists.example/ads.txt")
        #expect(scheme.status == 1)
        #expect(scheme.errors.hasSuffix("lists are fetched by http and https, not by ftp\n"))
        // No such server: the loopback's discard port.
        let url = try place.webtun("list", "add", "http://127.0.0.1:9/ads.txt")
        #expect(url.status == 1)
        #expect(url.errors.hasPrefix("webtun: http://127.0.0.1:9/ads.txt: Failed to connect to 127.0.0.1 port 9"))
        let missing = try place.webtun("list", "add", place.path + "/none.txt")
        #expect(missing.status == 1)
        #expect(missing.errors == "webtun: \(place.path)/none.txt: No such file or directory\n")
        #expect(try place.webtun("list", "rm", "none").status == 1)
        #expect(try place.webtun("why").status == 64)
        #expect(try place.webtun("list", "add", "x.txt", "--format", "nonsense").status == 64)
        #expect(try place.webtun("why", "a..b").status == 1)
        #expect(try place.webtun("list", "ls", "--json").output == "")
    }

    /// A process killed while it compiles leaves the old index whole, and the next one makes the new one.
    @Test func killedWhileCompiling() throws {
        let place = try Place()
        #expect(try place.webtun("list", "add", place.file("first.txt", "first.example\n")).status == 0)
        let index = place.state + "/blocklist.index"
        let before = try Data(contentsOf: URL(fileURLWithPath: index))
        let names = (0..<300_000).map { "name\($0).example\n" }.joined()
        let file = try place.file("second.txt", names)

        let process = Process()
        process.executableURL = WebtunProcess.executable
        process.arguments = ["list", "add", file]
        process.environment = ["WEBTUN_STATE": place.state]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        // The new index is begun when all names are in order; writing it takes as long again.
        while process.isRunning && !FileManager.default.fileExists(atPath: index + ".new") { usleep(500) }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal, "it was killed in the middle, not after the end")
        #expect(try Data(contentsOf: URL(fileURLWithPath: index)) == before)

        #expect(try place.webtun("why", "name299999.example").status == 3)
        #expect(try place.webtun("why", "first.example").status == 3)
        #expect(try Data(contentsOf: URL(fileURLWithPath: index)) != before)
        #expect(!FileManager.default.fileExists(atPath: index + ".new"))
    }
}
