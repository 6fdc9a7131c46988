import Foundation
import Testing

/// Lists, rules and `why` as commands: what they print, and their exit status.
@Suite struct ListCommandTests {
    /// A state directory of its own, and files beside it.
    final class Scratch {
        let path: String
        var state: String { path + "/state" }

        init() throws {
            let url = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-commands-\(UUID())")
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            path = url.resolvingSymlinksInPath().path
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }

        func file(_ name: String, _ text: String) throws -> String {
            try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
            return path + "/" + name
        }

        func webtun(_ arguments: String...) throws -> WebtunProcess {
            try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": state])
        }

        func json(_ arguments: String...) throws -> [[String: Any]] {
            try WebtunProcess.run(arguments + ["--json"], environment: ["WEBTUN_STATE": state]).output
                .split(separator: "\n").map { line in
                    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
                }
        }
    }

    @Test func whyTellsTheLine() throws {
        let scratch = try Scratch()
        let file = try scratch.file("ads.hosts", "# ads\n0.0.0.0 ads.example # why\n0.0.0.0 bad..example\n")
        let added = try scratch.webtun("list", "add", file)
        #expect(added.status == 0)
        #expect(added.output == "added 'ads' (hosts): 1 name, 1 refused\n")
        #expect(
            added.errors
                == "\(file):3: a label is empty (two dots, or a dot in front): 0.0.0.0 bad..example\n")
        #expect(try scratch.webtun("why", "WWW.ads.example.").status == 3)
        let why = try #require(try scratch.json("why", "www.ads.example").first)
        #expect(why["name"] as? String == "www.ads.example")
        #expect(why["verdict"] as? String == "block")
        #expect(why["list"] as? String == "ads")
        #expect(why["rule"] as? String == "0.0.0.0 ads.example")
        #expect(why["line"] as? Int == 2)
        #expect(try scratch.webtun("why", "example").status == 0)
        #expect(try scratch.json("why", "example").first?["verdict"] as? String == "forward")
        #expect(try scratch.webtun("allow", "www.ads.example", "-m", "needed").status == 0)
        #expect(try scratch.webtun("why", "www.ads.example").status == 0)
        #expect(try scratch.json("why", "www.ads.example").first?["verdict"] as? String == "allow")
        #expect(try scratch.json("rule", "ls").map { $0["comment"] as? String } == ["needed"])
        #expect(try scratch.json("search", "ads").count == 2)
    }

    @Test func listsComeAndGo() throws {
        let scratch = try Scratch()
        let file = try scratch.file("ads.txt", "ads.example\n")
        #expect(try scratch.webtun("list", "add", file, "--name", "one").status == 0)
        #expect(try scratch.webtun("list", "disable", "one").status == 0)
        #expect(try scratch.webtun("why", "ads.example").status == 0)
        #expect(try scratch.webtun("list", "enable", "one").status == 0)
        #expect(try scratch.webtun("why", "ads.example").status == 3)
        _ = try scratch.file("ads.txt", "<html>")
        let failed = try scratch.webtun("list", "update")
        #expect(failed.status == 1)
        #expect(failed.errors.contains("\(file): line 1: a web page or XML, not a list"))
        #expect(try scratch.webtun("why", "ads.example").status == 3)
        let list = try #require(try scratch.json("list", "ls").first)
        #expect(list["names"] as? Int == 1 && list["error"] is String)
        #expect(try scratch.webtun("list", "show", "one").output.contains("ads.example"))
        #expect(try scratch.webtun("list", "rm", "one").status == 0)
        #expect(try scratch.json("list", "ls").isEmpty)
        #expect(try scratch.webtun("why", "ads.example").status == 0)
    }

    @Test func whatCannotBeDoneChangesNothing() throws {
        let scratch = try Scratch()
        for (arguments, complaint) in [
            (["list", "add", "https://lists.example/ads"], "https://lists.example/ads: lists are read from files"),
            (["list", "add", scratch.path + "/none"], "\(scratch.path)/none: No such file or directory"),
            (["list", "rm", "none"], "no list is called 'none'"),
            (["list", "show", "none"], "no list is called 'none'"),
            (["deny", "good.example", "a..b"], "'a..b': a label is empty"),
            (["deny", "--regex", "a("], "/a(/, character 2: ')' is missing for this '('"),
            (["rule", "rm", "none.example"], "no such rule: none.example"),
            (["why", "a..b"], "'a..b': a label is empty"),
        ] as [([String], String)] {
            let failed = try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": scratch.state])
            #expect(failed.status == 1, "\(arguments)")
            #expect(failed.errors.hasPrefix("webtun: " + complaint), "\(failed.errors)")
            #expect(failed.output == "")
        }
        for arguments in [
            ["list", "fly"], ["list", "add"], ["why"], ["deny"], ["list", "add", "x", "--format", "xml"],
        ] {
            #expect(
                try WebtunProcess.run(arguments, environment: ["WEBTUN_STATE": scratch.state]).status == 64,
                "\(arguments)")
        }
        #expect(try scratch.json("rule", "ls").isEmpty)
        #expect(try scratch.json("list", "ls").isEmpty)
    }
}
