import Foundation
import QueryLog
import Wire

// Times the questions of `webtun log`, `top` and `stats` on a log that logfill made: logask STATE
//
// Every question opens the log anew, as a command does; the median of five is told, in milliseconds.

guard CommandLine.arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: logask STATE\n".utf8))
    exit(64)
}
let path = CommandLine.arguments[1] + "/querylog.db"
let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
let day: Int64 = 86_400_000_000

func time(_ name: String, _ body: (QueryLogReader) throws -> Int) throws {
    var times: [Double] = []
    var found = 0
    for _ in 0..<5 {
        let begun = ContinuousClock.now
        found = try body(QueryLogReader(path: path))
        let took = (ContinuousClock.now - begun).components
        times.append(Double(took.seconds) * 1000 + Double(took.attoseconds) / 1e15)
    }
    print(
        name.padding(toLength: 40, withPad: " ", startingAt: 0),
        String(format: "%8.1f ms %8d", times.sorted()[2], found))
}

func log(_ name: String, _ change: (inout LogFilter) -> Void) throws {
    var filter = LogFilter(limit: 50)
    change(&filter)
    try time("log --limit 50 \(name)") { reader in
        var count = 0
        try reader.rows(filter) { _ in count += 1 }
        return count
    }
}

try log("") { _ in }
try log("--name needle.hay.example (rare)") { $0.name = "needle.hay.example" }
try log("--name 'need*' (rare)") { $0.name = "need*" }
try log("--name '*.hay.example' (rare)") { $0.name = "*.hay.example" }
try log("--name absent.example") { $0.name = "absent.example" }
try log("--name '*.tracking.example' (common)") { $0.name = "*.tracking.example" }
try log("--name '*1234*' (some)") { $0.name = "*1234*" }
try log("--name '*'") { $0.name = "*" }
try log("--client 203.0.113.99 (rare)") { $0.client = ClientMatch("203.0.113.99") }
try log("--client 192.0.2.7") { $0.client = ClientMatch("192.0.2.7") }
try log("--client 192.0.2.0/24") { $0.client = ClientMatch("192.0.2.0/24") }
try log("--client 198.51.100.1 (absent)") { $0.client = ClientMatch("198.51.100.1") }
try log("--app app3") { $0.app = "app3" }
try log("--app absent") { $0.app = "absent" }
try log("--type HTTPS") { $0.qtype = RecordType(65) }
try log("--type MX (absent)") { $0.qtype = RecordType(15) }
try log("--verdict block") { $0.verdicts = .blocked }
try log("--verdict allow (absent)") { $0.verdicts = .passed }
try log("--list list3") { $0.list = "list3" }
try log("--list absent") { $0.list = "absent" }
try log("--rcode NXDOMAIN") { $0.rcode = "NXDOMAIN" }
try log("--rcode SERVFAIL (1 in 4000)") { $0.rcode = "SERVFAIL" }
try log("--rcode NOTIMP (once)") { $0.rcode = "NOTIMP" }
try log("--upstream 198.51.100.53") { $0.upstream = "198.51.100.53" }
try log("--since 24h") { $0.since = now - day }
try log("--until 20 days ago") { $0.until = now - 20 * day }
for kind in TopKind.allCases {
    try time("top \(kind.rawValue) --since 24h") { try $0.top(kind, since: now - day).count }
}
for kind in TopKind.allCases { try time("top \(kind.rawValue)") { try $0.top(kind).count } }
try time("stats") { try $0.statistics(now: now).queries }
try time("stats --since 24h") { try $0.statistics(since: now - day, now: now).queries }
try time("stats --since 7d") { try $0.statistics(since: now - 7 * day, now: now, hours: 170).queries }
