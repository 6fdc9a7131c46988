import Foundation
import Testing

@testable import Commands

@Suite struct ExitStatusTests {
    @Test func fineIsZero() throws {
        let version = try WebtunProcess.run("version")
        #expect(version.status == 0)
        #expect(version.output == "webtun \(Version.current)\n")
        #expect(version.errors == "")
        #expect(try WebtunProcess.run("--version").output == version.output)
        #expect(try WebtunProcess.run("version", "--json").output == "{\"version\":\"\(Version.current)\"}\n")
        for arguments in [[], ["--help"], ["help", "status"], ["status", "--help"]] as [[String]] {
            let help = try WebtunProcess.run(arguments)
            #expect(help.status == 0)
            #expect(help.output.contains("USAGE: webtun"))
            #expect(help.errors == "")
        }
    }

    @Test func wrongUsageIs64() throws {
        for (arguments, complaint) in [
            (["fly"], "webtun: Unexpected argument 'fly'\nSee 'webtun help'.\n"),
            (["version", "--jsn"], "webtun: Unknown option '--jsn'. Did you mean '--json'?\nSee 'webtun help'.\n"),
            // Nothing that was typed changes the state of the terminal.
            (["fly\u{1b}[31m"], "webtun: Unexpected argument 'fly\\x1b[31m'\nSee 'webtun help'.\n"),
            (["pause", "5x"], "webtun: '5x' is no time; write 30s, 5m, 1h or 1h30m\nSee 'webtun help'.\n"),
            (["status", "--state", ""], "webtun: --state needs the name of a directory\nSee 'webtun help'.\n"),
        ] as [([String], String)] {
            let wrong = try WebtunProcess.run(arguments)
            #expect(wrong.status == 64)
            #expect(wrong.errors == complaint)
            #expect(wrong.output == "")
        }
    }

    @Test func anErrorIsOne() throws {
        for command in ["pause", "resume", "reload"] {
            let failed = try WebtunProcess.run(command)
            #expect(failed.status == 1)
            #expect(failed.errors == "webtun: webtun is not running with the state directory /nonexistent/webtun\n")
        }
    }

    @Test func aFileThatCannotBeReadIsOne() throws {
        for (file, reason) in [("/", "Is a directory"), ("/nonexistent/file", "No such file or directory")] {
            let failed = try WebtunProcess.run("import", file)
            #expect(failed.status == 1)
            #expect(failed.errors == "webtun: \(file): \(reason)\n")
        }
    }

    @Test func notFilteringIsFour() throws {
        let status = try WebtunProcess.run("status")
        #expect(status.status == 4)
        #expect(status.output == "webtun is not running with the state directory /nonexistent/webtun\n")
        let json = try WebtunProcess.run("status", "--json", "--state", "/nonexistent/other")
        #expect(json.status == 4)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(object["running"] as? Bool == false)
        #expect(object["filtering"] as? Bool == false)
        #expect(
            Set(["capture", "mode", "links", "names", "queries", "blocked", "dropped_log_rows"]).isSubset(
                of: object.keys))
        let start = Date()
        #expect(try WebtunProcess.run("status", "--wait", "0.3").status == 4)
        #expect(Date().timeIntervalSince(start) >= 0.3)
    }

    @Test func theStateDirectoryIsNamedOnceForAll() throws {
        #expect(
            try WebtunProcess.run("status", environment: ["WEBTUN_STATE": "/nonexistent/x/"]).output
                == "webtun is not running with the state directory /nonexistent/x\n")
        #expect(
            try WebtunProcess.run("status", "--state", "/nonexistent/y", environment: ["WEBTUN_STATE": "/x"]).output
                == "webtun is not running with the state directory /nonexistent/y\n")
        #expect(
            try WebtunProcess.run("status", environment: ["WEBTUN_STATE": ""]).output
                == "webtun is not running with the state directory /var/lib/webtun\n")
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func printsCompletions(_ shell: String) throws {
        let script = try WebtunProcess.run("completion", shell)
        #expect(script.status == 0)
        #expect(script.output.contains("webtun"))
        #expect(script.output.contains("completion"))
    }

    @Test func bashTakesItsCompletions() throws {
        let script = try WebtunProcess.run("completion", "bash").output
        let bash = Process()
        bash.executableURL = URL(fileURLWithPath: "/bin/bash")
        bash.arguments = ["-n", "/dev/stdin"]
        let input = Pipe()
        bash.standardInput = input
        try bash.run()
        input.fileHandleForWriting.write(Data(script.utf8))
        try input.fileHandleForWriting.close()
        bash.waitUntilExit()
        #expect(bash.terminationStatus == 0)
    }
}
