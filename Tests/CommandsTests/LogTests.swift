import Foundation
import QueryLog
import Testing
import Wire

@testable import Commands

/// The commands that read the log, on a log written by the real writer.
@Suite struct LogTests {
    let state = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-log-\(UUID().uuidString)")
    let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
    let ring: QueryRing
    let writer: QueryLogWriter

    init() throws {
        try FileManager.default.createDirectory(at: state, withIntermediateDirectories: false)
        ring = try QueryRing(capacity: 1 << 20)
        var options = QueryLogWriter.Options()
        options.interval = 50
        writer = try QueryLogWriter(
            path: state.path + "/querylog.db", rings: [ring], labels: LogLabels(list: { "list\($0)" }),
            options: options)
        for number in 0..<60 {
            push("n\(number % 3).example", blocked: number % 3 == 0, age: Int64(60 - number) * 60_000_000)
        }
        #expect(writer.flush())
    }

    func push(_ name: String, blocked: Bool, age: Int64) {
        var row = QueryRow()
        row.time = now - age
        row.client = IPAddress(v4: 0xc000_020a)
        row.qtype = 1
        row.rcode = 0
        row.latency = 1234
        var digest = AnswerDigest()
        digest.append(IPAddress(v4: blocked ? 0 : 0xcb00_7107))
        if blocked {
            row.verdict = .block
            row.reason = .list
            row.list = 2
            row.match = .exact
            row.labels = 2
        }
        ring.push(row, qname: Name(name)!.bytes, answer: digest.bytes)
    }

    func run(_ arguments: String...) throws -> WebtunProcess {
        try WebtunProcess.run(arguments + ["--state", state.path], environment: ["TZ": "UTC"])
    }

    func lines(_ arguments: String...) throws -> [Substring] {
        let process = try WebtunProcess.run(
            arguments + ["--state", state.path], environment: ["TZ": "UTC"])
        #expect(process.status == 0, "\(process.errors)")
        return process.output.split(separator: "\n")
    }

    func end() {
        writer.stop()
        try? FileManager.default.removeItem(at: state)
    }

    @Test func logShowsWhatIsAskedFor() throws {
        defer { end() }
        #expect(try lines("log", "--json").count == 50)
        #expect(try lines("log", "--json", "--limit", "0").count == 60)
        #expect(
            try lines("log", "--json", "--blocked", "--limit", "7").allSatisfy { $0.contains(#""verdict":"block""#) })
        #expect(try lines("log", "--json", "--allowed", "--limit", "0").count == 40)
        #expect(try lines("log", "--json", "--name", "N1.*", "--limit", "0").count == 20)
        #expect(try lines("log", "--json", "--since", "10m").count == 9)
        let last = try #require(try lines("log", "--json", "--blocked", "--limit", "1").first)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "id", "time", "client", "uid", "pid", "app", "link", "transport", "qname", "qtype", "verdict",
                "reason", "list", "rule", "rcode", "answer", "upstream", "cached", "dnssec", "latency_us", "count",
                "certainty",
            ])
        #expect(object["list"] as? String == "list2" && object["rule"] as? String == "n0.example")
        #expect(object["latency_us"] as? Int == 1234 && object["app"] is NSNull)
        let table = try lines("log", "--limit", "2")
        #expect(table.count == 3 && table[0].hasPrefix("TIME") && table[2].contains("203.0.113.7"))
        #expect(!table.joined().contains("\u{1b}"))
    }

    @Test func followGoesOn() throws {
        defer { end() }
        let process = Process()
        process.executableURL = WebtunProcess.executable
        process.arguments = ["log", "-f", "--json", "--limit", "3", "--state", state.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let handle = output.fileHandleForReading
        func wait(for count: Int, _ text: inout String) {
            while text.filter({ $0 == "\n" }).count < count {
                let data = handle.availableData
                if data.isEmpty { return }
                text += String(decoding: data, as: UTF8.self)
            }
        }
        var text = ""
        wait(for: 3, &text)
        push("later.example", blocked: false, age: 0)
        wait(for: 4, &text)
        process.terminate()
        process.waitUntilExit()
        let rows = text.split(separator: "\n")
        #expect(rows.count == 4 && rows[3].contains("later.example"))
    }

    @Test func topAndStatsCount() throws {
        defer { end() }
        #expect(
            try lines("top", "names", "--json") == [
                #"{"qname":"n0.example","queries":20,"blocked":20}"#,
                #"{"qname":"n1.example","queries":20,"blocked":0}"#,
                #"{"qname":"n2.example","queries":20,"blocked":0}"#,
            ])
        #expect(try lines("top", "lists", "--json") == [#"{"list":"list2","queries":20,"blocked":20}"#])
        #expect(try lines("top", "clients", "--limit", "1").last == "     60       20  192.0.2.10")
        let stats = try #require(try lines("stats", "--json").first)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(stats.utf8)) as? [String: Any])
        #expect(object["queries"] as? Int == 60 && object["blocked"] as? Int == 20)
        #expect((object["hours"] as? [[String: Any]])?.count == 24)
        #expect(try run("stats").output.contains("33.3 %"))
    }

    @Test func sqlReadsAndRefuses() throws {
        defer { end() }
        #expect(
            try lines("sql", "--json", "SELECT verdict, count(*) AS n FROM queries GROUP BY 1") == [
                #"{"verdict":"block","n":20}"#, #"{"verdict":"forward","n":40}"#,
            ])
        #expect(
            try lines("sql", "SELECT verdict, count(*) AS n FROM queries GROUP BY 1") == [
                "VERDICT   N", "block    20", "forward  40",
            ])
        for statement in ["DELETE FROM query_log", "SELECT 1; SELECT 2", "SELECT wings FROM queries", "SELEC"] {
            let refused = try run("sql", statement)
            #expect(refused.status == 1 && refused.output.isEmpty && refused.errors.hasPrefix("webtun: "))
        }
        #expect(try run("sql", "SELECT wings FROM queries").errors.contains("no such column: wings"))
        #expect(try lines("log", "--json", "--limit", "0").count == 60)
    }

    @Test func badArgumentsAreWrongUsage() throws {
        defer { end() }
        for arguments in [
            ["log", "--since", "yesterday-ish"], ["log", "--blocked", "--allowed"], ["log", "--limit", "-1"],
            ["top", "cakes"], ["top"], ["sql"], ["stats", "--since", ""],
        ] {
            #expect(try WebtunProcess.run(arguments + ["--state", state.path]).status == 64, "\(arguments)")
        }
        let missing = try WebtunProcess.run("log", "--state", "/nonexistent")
        #expect(missing.status == 1 && missing.errors.contains("no query log at /nonexistent/querylog.db"))
    }

    @Test func sinceReadsTimes() throws {
        end()
        let now: Int64 = 1_767_300_000_000_000
        let ago = { (seconds: Int64) in now - seconds * 1_000_000 }
        #expect(Since("90s", now: now)?.microseconds == ago(90))
        #expect(Since("15m", now: now)?.microseconds == ago(900))
        #expect(Since("2d", now: now)?.microseconds == ago(172_800))
        #expect(Since("1w", now: now)?.microseconds == ago(604_800))
        #expect(Since("2026-01-01", now: now)?.microseconds == 1_767_225_600_000_000)
        #expect(Since("2026-01-01T01:00:00Z", now: now)?.microseconds == 1_767_229_200_000_000)
        #expect(Since("2026-01-01T01:00:00", now: now)?.microseconds == 1_767_229_200_000_000)
        for text in ["", "h", "-1h", "1x", "2026-13-01", "99999999999999999w", "noon"] {
            #expect(Since(text, now: now) == nil, "\(text)")
        }
    }
}
