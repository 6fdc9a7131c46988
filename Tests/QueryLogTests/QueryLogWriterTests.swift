import Foundation
import GRDBSQLite
import Kernel
import Testing
import Wire

@testable import QueryLog

/// A directory that is removed with its contents when the value ends.
final class Scratch {
    let path: String

    init() {
        var template = Array("/tmp/webtun-querylog-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template))
    }

    var database: String { path + "/querylog.db" }

    var files: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// Labels of a made-up world: lists `list1`, `list2`…, links `link1`…, regex rules `/rule1/`….
let testLabels = LogLabels(
    list: { "list\($0)" }, link: { "link\($0)" }, rule: { "/rule\($0)/" },
    flowRule: { "\($0)#\($1)" }, app: { "/usr/bin/app\($0.path)" })

/// Options of a writer that keeps everything, rows of 1970 too.
func testOptions() -> QueryLogWriter.Options {
    var options = QueryLogWriter.Options()
    options.interval = 50
    options.niceness = 0
    options.foldsAbove = .max
    options.limits = QueryLogLimits(maximumAge: nil, maximumBytes: nil)
    return options
}

/// Rows of a query on a database file, through a connection of their own.
func rows(_ path: String, _ sql: String) throws -> [[String?]] {
    let connection = try Connection(path, .readWrite)
    // The writer may be at it.
    try connection.execute("PRAGMA busy_timeout = 5000")
    let statement = try connection.prepare(sql)
    var rows: [[String?]] = []
    while try statement.step() { rows.append((0..<statement.columnCount).map { statement.text($0) }) }
    return rows
}

func row(time: Int64, _ change: (inout QueryRow) -> Void = { _ in }) -> QueryRow {
    var row = QueryRow()
    row.time = time
    row.client = IPAddress("192.0.2.10")!
    row.link = 2
    row.qtype = 1
    row.rcode = 0
    row.latency = 40
    change(&row)
    return row
}

@Suite struct QueryLogWriterTests {
    let scratch = Scratch()
    let ring: QueryRing

    init() throws {
        ring = try QueryRing(capacity: 1 << 20)
    }

    func writer(_ change: (inout QueryLogWriter.Options) -> Void = { _ in }) throws -> QueryLogWriter {
        var options = testOptions()
        change(&options)
        return try QueryLogWriter(path: scratch.database, rings: [ring], labels: testLabels, options: options)
    }

    @discardableResult
    func push(_ row: QueryRow, _ qname: String, _ addresses: String...) -> Bool {
        var digest = AnswerDigest()
        for address in addresses {
            if let address = IPAddress(address) {
                digest.append(address)
            } else {
                digest.append(target: Name(address)!.bytes)
            }
        }
        return ring.push(row, qname: Name(qname)!.bytes, answer: digest.bytes)
    }

    @Test func theViewShowsEveryColumn() throws {
        let writer = try writer()
        push(
            row(time: 1_767_225_600_000_001) {
                $0.verdict = .block
                $0.reason = .list
                $0.match = .suffix
                $0.labels = 2
                $0.list = 3
                $0.rule = 17
            }, "tracker.ads.example", "0.0.0.0")
        push(
            row(time: 1_767_225_659_999_999) {
                $0.client = IPAddress("2001:db8::5")!
                $0.transport = .tcp
                $0.qtype = 65
                $0.upstream = IPAddress("198.51.100.53")!
                $0.cached = true
                $0.dnssec = .secure
                $0.latency = 12_345
                $0.owner = Owner(uid: 1000, pid: 4242, path: 7, certainty: .exact)
                $0.link = -1
            }, "www.example", "cdn.example.net", "2001:db8::1", "192.0.2.7")
        push(
            row(time: 1_764_000_000_000_000) {
                $0.client = IPAddress(v4: 0)
                $0.verdict = .allow
                $0.reason = .rule
                $0.match = .regex
                $0.list = 0
                $0.rule = 5
                $0.qtype = 1234
                $0.rcode = 3
                $0.upstream = IPAddress("2001:db8::53")!
                $0.upstreamPort = 5353
            }, "x.example")
        push(
            row(time: 0) {
                $0.rcode = -1
                $0.latency = -1
                $0.reason = .failed
                $0.match = .exact
                $0.labels = 1
            }, ".")
        writer.stop()
        #expect(writer.status.writtenRows == 4)
        let found = try rows(scratch.database, "SELECT * FROM queries ORDER BY id")
        let expected: [[String?]] = [
            [
                "1", "2026-01-01T00:00:00.000001Z", "192.0.2.10", nil, nil, nil, "link2", "udp", "tracker.ads.example",
                "A", "block", "list", "list3", "ads.example", "NOERROR", "0.0.0.0", nil, "0", nil, "40", "1", nil,
            ],
            [
                "2", "2026-01-01T00:00:59.999999Z", "2001:db8::5", "1000", "4242", "/usr/bin/app7", nil, "tcp",
                "www.example",
                "HTTPS", "forward", nil, nil, nil, "NOERROR", "cdn.example.net 2001:db8::1 192.0.2.7",
                "198.51.100.53", "1", "secure", "12345", "1", "exact",
            ],
            [
                "3", "2025-11-24T16:00:00.000000Z", nil, nil, nil, nil, "link2", "udp", "x.example", "TYPE1234",
                "allow", "rule", nil, "/rule5/", "NXDOMAIN", nil, "[2001:db8::53]:5353", "0", nil, "40", "1", nil,
            ],
            [
                "4", "1970-01-01T00:00:00.000000Z", "192.0.2.10", nil, nil, nil, "link2", "udp", ".", "A", "forward",
                "failed", nil, ".", nil, nil, nil, "0", nil, nil, "1", nil,
            ],
        ]
        #expect(found == expected)
        let names = try Connection(scratch.database, .readOnly).prepare("SELECT * FROM queries")
        let columns = (0..<names.columnCount).map { names.name($0) }
        #expect(
            columns == [
                "id", "time", "client", "uid", "pid", "app", "link", "transport", "qname", "qtype", "verdict",
                "reason", "list", "rule", "rcode", "answer", "upstream", "cached", "dnssec", "latency_us", "count",
                "certainty",
            ])
    }
}
