import Foundation
import Glibc
import Testing

/// What `webtun run` refuses. Each runs in an empty network namespace: nothing is captured, whatever goes wrong.
@Suite struct RunTests {
    func run(_ arguments: String...) throws -> WebtunProcess {
        try WebtunProcess.run(["run"] + arguments, executable: "/usr/bin/unshare", before: ["--net"])
    }

    @Test func wrongOptionsAreWrongUsage() throws {
        let wrong = try run("--mode", "all", "--fail", "x", "--upstream", "localhost", "--link", "a b")
        #expect(wrong.status == 64)
        #expect(
            wrong.errors == """
                webtun: --mode: must be "dns" or "full", not "all"
                --link: each must be the name of a link, not "a b"
                --fail: must be "open" or "closed", not "x"
                --upstream: each must be an address with or without port, like "192.0.2.53:53", not "localhost"
                See 'webtun help'.

                """)
        #expect(try run("--verbose", "--quiet").status == 64)
    }

    @Test func aMissingConfigurationIsAnError() throws {
        let missing = try run("--config", "/nonexistent.toml")
        #expect(missing.status == 1)
        #expect(missing.errors == "webtun: /nonexistent.toml: No such file or directory\n")
    }

    @Test func aWrongConfigurationChangesNothing() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("c.toml").path
        try Data("[dns]\nupstreams = []\n".utf8).write(to: URL(fileURLWithPath: file))
        let state = folder.appendingPathComponent("state").path
        let wrong = try run("--config", file, "--state", state)
        #expect(wrong.status == 1)
        #expect(wrong.errors == "webtun: \(file):2: dns.upstreams: unknown key; is dns.upstream meant?\n")
        #expect(!FileManager.default.fileExists(atPath: state))
    }

    @Test func aSecondInstanceIsRefused() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("webtun.lock").path
        let lock = open(path, O_RDWR | O_CREAT, 0o600)
        defer { close(lock) }
        #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
        #expect(write(lock, "4711\n", 5) == 5)
        for arguments in [["run"], ["cleanup"]] {
            let second = try WebtunProcess.run(
                arguments + ["--state", folder.path], executable: "/usr/bin/unshare", before: ["--net"])
            #expect(second.status == 1)
            #expect(second.errors == "webtun: another webtun is running (process 4711): it holds \(path)\n")
        }
    }

    @Test func aServerOnThisMachineIsRefused() throws {
        let looping = try run("--upstream", "127.0.0.1", "--state", "/nonexistent/webtun")
        #expect(looping.status == 1)
        #expect(
            looping.errors == """
                webtun: --upstream: 127.0.0.1: a resolver on this machine asks through webtun and would be asked by it

                """)
    }

    @Test func aDryRunChangesNothing() throws {
        let state = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-\(UUID().uuidString)").path
        let plan = try run("--dry-run", "--capture", "route", "--state", state, "--upstream", "192.0.2.1")
        #expect(plan.status == 0, "\(plan.errors)")
        #expect(plan.output.contains("ip rule add"))
        #expect(plan.output.contains("undo: ip rule del"))
        #expect(!FileManager.default.fileExists(atPath: state))
    }
}
