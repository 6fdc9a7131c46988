import Foundation
import Glibc
import Kernel
import Testing
import Wire

@testable import QueryLog

/// Rows of flows: written when a flow is judged, brought up to date until it ends.
@Suite struct FlowLogTests {
    let base: QueryLogWriterTests
    var scratch: Scratch { base.scratch }

    init() throws {
        base = try QueryLogWriterTests()
    }

    func flow(_ number: UInt64, _ event: FlowRow.Event = .judged, _ change: (inout FlowRow) -> Void = { _ in })
        -> FlowRow
    {
        var row = FlowRow()
        row.flow = number
        row.time = 1_767_225_600_000_001
        row.client = IPAddress("192.0.2.10")!
        row.remote = IPAddress("203.0.113.80")!
        row.clientPort = 40_000
        row.port = 443
        row.proto = 6
        row.link = 2
        row.event = event
        change(&row)
        return row
    }

    @Test func theViewShowsEveryColumn() throws {
        let writer = try base.writer()
        let owner = Owner(uid: 1000, pid: 77, path: 3, certainty: .probable)
        base.ring.push(
            flow(1) {
                $0.verdict = .drop
                $0.reason = .list
                $0.list = 4
                $0.rule = 12
                $0.match = .suffix
                $0.labels = 2
                $0.nameSource = .sni
                $0.owner = owner
            }, name: Name("www.ads.example")!.bytes)
        base.ring.push(
            flow(2) {
                $0.remote = IPAddress("2001:db8::80")!
                $0.client = IPAddress("2001:db8::10")!
                $0.proto = 58
                $0.link = -1
                $0.reason = .rule
                $0.list = 0
                $0.rule = 9
            }, name: RawSpan())
        base.ring.push(
            flow(2, .ended) {
                $0.packets = 12
                $0.bytes = 34_567
                $0.duration = 1_500_000
            }, name: RawSpan())
        // Told of only at its end: the row that told of its beginning was lost.
        base.ring.push(
            flow(3, .ended) {
                $0.proto = 17
                $0.port = 53
                $0.packets = 2
                $0.bytes = 100
                $0.duration = 5
            }, name: RawSpan())
        writer.stop()
        let found = try rows(scratch.database, "SELECT * FROM flows ORDER BY id")
        let time = "2026-01-01T00:00:00.000001Z"
        let expected: [[String?]] = [
            [
                "1", time, "192.0.2.10", "1000", "77", "/usr/bin/app3", "link2", "tcp", "203.0.113.80", "443",
                "www.ads.example", "sni", "drop", "list", "list4", "ads.example", "0", "0", nil, "probable",
            ],
            [
                "2", time, "2001:db8::10", nil, nil, nil, nil, "icmpv6", "2001:db8::80", nil, nil, nil, "allow",
                "rule", nil, "0#9", "12", "34567", "1500000", nil,
            ],
            [
                "3", time, "192.0.2.10", nil, nil, nil, "link2", "udp", "203.0.113.80", "53", nil, nil, "allow", nil,
                nil, nil, "2", "100", "5", nil,
            ],
        ]
        #expect(found == expected)
        let view = try Connection(scratch.database, .readOnly).prepare("SELECT * FROM flows")
        #expect(
            (0..<view.columnCount).map { view.name($0) } == [
                "id", "time", "client", "uid", "pid", "app", "link", "proto", "remote", "port", "name", "name_source",
                "verdict", "reason", "list", "rule", "packets", "bytes", "duration_us", "certainty",
            ])
    }

    @Test func aFlowIsSeenWhenItIsJudgedAndCountedWhenItGoesOn() throws {
        let writer = try base.writer()
        base.ring.push(flow(8), name: Name("a.example")!.bytes)
        base.push(row(time: 1), "between.example")
        #expect(writer.flush())
        let sql = "SELECT id, packets, bytes, duration_us FROM flows ORDER BY id"
        #expect(try rows(scratch.database, sql) == [["1", "0", "0", nil]])
        base.ring.push(
            flow(8, .counted) {
                $0.packets = 10
                $0.bytes = 1000
                $0.duration = 60_000_000
            }, name: RawSpan())
        #expect(writer.flush())
        #expect(try rows(scratch.database, sql) == [["1", "10", "1000", "60000000"]])
        // Judged again under a new policy: another row; what was counted stays with the first.
        base.ring.push(flow(8) { $0.verdict = .drop }, name: Name("a.example")!.bytes)
        base.ring.push(flow(8, .ended) { $0.packets = 11 }, name: RawSpan())
        #expect(writer.flush())
        #expect(
            try rows(scratch.database, sql) == [["1", "10", "1000", "60000000"], ["3", "11", "0", nil]])
        // Ids of queries and flows are one sequence.
        #expect(try rows(scratch.database, "SELECT id FROM queries") == [["2"]])
        writer.stop()
    }

    /// The conditions in SQL, beside a naive look at every flow that the log has.
    @Test func filtersFindWhatANaiveSearchFinds() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed)
        let start: Int64 = 1_793_000_000_000_000
        let store = try RowStore(scratch.database, labels: testLabels, epochRows: 100)
        try store.begin()
        for number in 0..<600 {
            let name = ["", "www.ads.example", "ads.example", "cdn\(number % 30).example.net"].randomElement(
                using: &random)!
            let row = flow(UInt64(number)) {
                $0.time = start + Int64(number) * 1_000_000
                $0.client = IPAddress(["192.0.2.10", "192.0.2.11", "2001:db8::10"].randomElement(using: &random)!)!
                $0.remote = IPAddress(
                    ["203.0.113.80", "203.0.113.8", "2001:db8::80"].randomElement(using: &random)!)!
                $0.proto = [6, 17, 58].randomElement(using: &random)!
                $0.port = [53, 443, 853].randomElement(using: &random)!
                $0.verdict = [.allow, .drop].randomElement(using: &random)!
                $0.reason = .list
                $0.list = Int32.random(in: 1...3, using: &random)
                $0.owner = Owner(
                    uid: 1000, pid: Int32.random(in: 1...3, using: &random),
                    path: UInt64.random(in: 1...3, using: &random),
                    certainty: .exact)
            }
            if !name.isEmpty, let name = Name(name) {
                try store.insert(row, name: name.bytes)
            } else {
                try store.insert(row, name: RawSpan())
            }
        }
        try store.commit()
        let reader = try QueryLogReader(path: scratch.database)
        var all: [LoggedFlow] = []
        try reader.flows(FlowFilter()) { all.append($0) }
        #expect(all.count == 600 && all.map(\.id) == all.map(\.id).sorted())
        var matches = 0
        for _ in 0..<300 {
            var filter = FlowFilter()
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                switch Int.random(in: 0..<10, using: &random) {
                case 0: filter.verdict = ["allow", "drop", "block"].randomElement(using: &random)!
                case 1: filter.list = ["list1", "list3", "list9"].randomElement(using: &random)!
                case 2:
                    filter.name = ["ADS.example", "*.example", "cdn1?.example.net", "cdn[2-4].*", "none"]
                        .randomElement(using: &random)!
                case 3: filter.client = ["192.0.2.10", "192.0.2.1?", "2001:db8:*"].randomElement(using: &random)!
                case 4: filter.remote = ["203.0.113.8", "203.0.113.8*", "*::*"].randomElement(using: &random)!
                case 5: filter.proto = ["tcp", "udp", "icmpv6", "gre"].randomElement(using: &random)!
                case 6: filter.port = [53, 443, 854].randomElement(using: &random)!
                case 7:
                    filter.app = ["app1", "app*", "App1", "/usr/bin/app2", "/usr/*", "bin/app1", "bin"]
                        .randomElement(using: &random)!
                case 8: filter.after = all.randomElement(using: &random)!.id
                default: filter.since = start + Int64.random(in: -1_000_000...601_000_000, using: &random)
                }
            }
            filter.limit = [nil, 1, 7, 1000].randomElement(using: &random)!
            func fits(_ glob: String?, _ text: String?) -> Bool {
                glob.map { glob in text.map { fnmatch(glob, $0, 0) == 0 } ?? false } ?? true
            }
            var expected = all.filter { flow in
                let isPath = filter.app?.contains("/") ?? false
                return fits(filter.verdict, flow.verdict) && fits(filter.list, flow.list)
                    && fits(filter.name?.lowercased(), flow.name) && fits(filter.client, flow.client)
                    && fits(filter.remote, flow.remote) && fits(filter.proto, flow.proto)
                    && fits(filter.app, isPath ? flow.app : flow.app?.split(separator: "/").last.map(String.init))
                    && filter.port ?? flow.port == flow.port && flow.id > filter.after ?? 0
                    && flow.microseconds >= filter.since ?? 0
            }
            if let limit = filter.limit { expected = expected.suffix(limit) }
            var found: [LoggedFlow] = []
            try reader.flows(filter) { found.append($0) }
            #expect(found == expected, "\(filter)")
            matches += found.count
        }
        #expect(matches > 0)
    }

    @Test func flowsAndQueriesGoTogether() throws {
        let store = try RowStore(scratch.database, labels: testLabels, epochRows: 1000)
        let now = RetentionTests.now
        try store.begin()
        for number in 0..<20_000 {
            let time = now - Int64(20_000 - number) * 1_000_000
            if number % 2 == 0 {
                try store.insert(row(time: time), qname: Name("q\(number).example")!.bytes, answer: RawSpan())
            } else {
                try store.insert(
                    flow(UInt64(number)) { $0.time = time }, name: Name("f\(number).example")!.bytes)
            }
        }
        try store.commit()
        let retention = Retention(
            store.connection, QueryLogLimits(maximumAge: 5_000_000_000, maximumBytes: nil), epochRows: 1000,
            closeSpan: { store.closeSpan() })
        while try retention.step(now: now) {}
        #expect(try store.connection.integer("SELECT count(*) FROM query_log") == 2500)
        #expect(try store.connection.integer("SELECT count(*) FROM flow_log") == 2500)
        #expect(try store.connection.integer("SELECT sum(rows) FROM query_spans") == 5000)
        #expect(try store.connection.integer("SELECT count(*) FROM flows WHERE name IS NULL OR remote IS NULL") == 0)
        #expect(try store.connection.integer("SELECT count(*) FROM names WHERE text = 'f13999.example'") == 0)
        #expect(try store.connection.integer("SELECT count(*) FROM names") ?? 0 < 6100)
    }
}
