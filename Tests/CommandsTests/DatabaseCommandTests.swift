import Foundation
import Kernel
import QueryLog
import Testing
import Wire

@testable import Commands

/// `webtun db` and `webtun flows`, on a log written by the real writer, which is still at it.
@Suite struct DatabaseCommandTests {
    let log: LogTests

    init() throws {
        log = try LogTests()
        for number in 1...4 {
            var flow = FlowRow()
            flow.flow = UInt64(number)
            flow.time = log.now - Int64(10 - number) * 1_000_000
            flow.client = IPAddress(v4: 0xc000_020a)
            flow.remote = IPAddress("2001:db8::\(number)")!
            flow.proto = number == 4 ? 58 : 6
            flow.port = number == 4 ? 0 : 443
            flow.verdict = number == 2 ? .drop : .allow
            flow.reason = number == 2 ? .list : .none
            flow.list = number == 2 ? 5 : -1
            flow.nameSource = .sni
            let name = Name("site\(number).example")!
            if number == 4 {
                log.ring.push(flow, name: RawSpan())
            } else {
                log.ring.push(flow, name: name.bytes)
            }
        }
        var end = FlowRow()
        end.flow = 1
        end.event = .ended
        end.packets = 7
        end.bytes = 7777
        end.duration = 2_000_000
        log.ring.push(end, name: RawSpan())
        #expect(log.writer.flush())
    }

    func object(_ line: Substring) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    @Test func flowsShowsWhatIsAskedFor() throws {
        defer { log.end() }
        let all = try log.lines("flows", "--json")
        #expect(all.count == 4)
        let first = try object(all[0])
        #expect(first["name"] as? String == "site1.example")
        #expect(first["name_source"] as? String == "sni")
        #expect(first["bytes"] as? Int == 7777)
        #expect(first["duration_us"] as? Int == 2_000_000)
        #expect(first["proto"] as? String == "tcp")
        #expect(first["port"] as? Int == 443)
        #expect(first["verdict"] as? String == "allow")
        #expect(Array(first.keys).count == 20)
        #expect(try object(all[3])["port"] is NSNull)
        #expect(try log.lines("flows", "--json", "--dropped").count == 1)
        #expect(try log.lines("flows", "--json", "--allowed", "--limit", "2").count == 2)
        #expect(try log.lines("flows", "--json", "--name", "SITE[12].example").count == 2)
        #expect(try log.lines("flows", "--json", "--remote", "2001:db8::3").count == 1)
        #expect(try log.lines("flows", "--json", "--proto", "icmpv6").count == 1)
        #expect(try log.lines("flows", "--json", "--port", "443", "--list", "list5").count == 1)
        #expect(try log.lines("flows", "--json", "--client", "198.*").isEmpty)
        #expect(try log.lines("flows", "--json", "--app", "curl").isEmpty)
        #expect(try log.lines("flows", "--json", "--since", "8s", "--limit", "0").count <= 3)
        let table = try log.lines("flows")
        #expect(table.count == 5)
        #expect(table[0].contains("REMOTE"))
        #expect(table[2].contains("[2001:db8::2]:443") && table[2].contains("drop") && table[2].contains("list5"))
        #expect(try log.run("flows", "--dropped", "--allowed").status == 64)
        #expect(try log.run("flows", "--port", "70000").status == 64)
    }

    @Test func sizeAndPathTellOfTheFile() throws {
        defer { log.end() }
        #expect(try log.lines("db", "path") == [Substring(log.state.path + "/querylog.db")])
        let size = try object(try log.lines("db", "size", "--json", "--tables")[0])
        #expect(size["queries"] as? Int == 60)
        #expect(size["flows"] as? Int == 4)
        #expect(size["bytes"] as? Int ?? 0 > 4096)
        #expect((size["tables"] as? [[String: Any]])?.contains { $0["table"] as? String == "query_log" } == true)
        #expect(try log.lines("db", "size").contains { $0.hasPrefix("queries") && $0.hasSuffix("60") })
    }

    @Test func purgeRemovesWhatIsNamedAndNothingElse() throws {
        defer { log.end() }
        #expect(try log.run("db", "purge").status == 64)
        #expect(try log.run("db", "purge", "--all", "--name", "x").status == 64)
        #expect(try log.lines("db", "purge", "--name", "n1.*", "--dry-run") == ["20 rows would be removed"])
        #expect(try log.lines("log", "--json", "--limit", "0").count == 60)
        #expect(try log.lines("db", "purge", "--name", "n1.*") == ["20 rows removed"])
        #expect(try log.lines("log", "--json", "--limit", "0").count == 40)
        #expect(try log.lines("db", "purge", "--before", "30m", "--allowed", "--json") == [#"{"removed":10}"#])
        #expect(try log.lines("db", "check") == [Substring(log.state.path + "/querylog.db: sound")])
        // The writer goes on with what is left.
        log.push("new.example", blocked: false, age: 0)
        #expect(log.writer.flush())
        #expect(try log.lines("log", "--json", "--limit", "1")[0].contains("new.example"))
        #expect(try log.lines("db", "purge", "--all") == ["35 rows removed"])
        #expect(try log.lines("log", "--json").isEmpty)
        #expect(try log.run("db", "vacuum", "--full").status == 0)
        #expect(try log.run("db", "vacuum", "--json").output.contains("freed_bytes"))
    }

    @Test func aBackupIsALogAndReplacesNothing() throws {
        defer { log.end() }
        let copies = log.state.path + "/copies"
        try FileManager.default.createDirectory(atPath: copies, withIntermediateDirectories: false)
        let target = copies + "/querylog.db"
        #expect(try log.run("db", "backup", target).status == 0)
        let read = try WebtunProcess.run(["log", "--json", "--limit", "0", "--state", copies])
        #expect(read.output.split(separator: "\n").count == 60)
        let again = try log.run("db", "backup", target)
        #expect(again.status == 1)
        #expect(again.errors.contains("--force"))
        #expect(try log.run("db", "backup", "--force", "--json", target).output.contains(#""bytes":"#))
        #expect(try log.run("db", "backup", "/proc/querylog.db").status == 1)
    }

    @Test func damageAndAbsenceAreTold() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-db-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer {
            log.end()
            try? FileManager.default.removeItem(at: folder)
        }
        for verb in ["path", "size", "check", "vacuum"] {
            let process = try WebtunProcess.run(["db", verb, "--state", folder.path])
            #expect(process.status == 1)
            #expect(process.errors.contains("no query log at"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        let file = folder.appendingPathComponent("querylog.db")
        try Data(repeating: 0x42, count: 8192).write(to: file)
        let check = try WebtunProcess.run(["db", "check", "--json", "--state", folder.path])
        #expect(check.status == 1)
        #expect(check.output.contains(#""sound":false"#))
        #expect(try WebtunProcess.run(["db", "purge", "--all", "--state", folder.path]).status == 1)
        #expect(try Data(contentsOf: file) == Data(repeating: 0x42, count: 8192))
    }
}
