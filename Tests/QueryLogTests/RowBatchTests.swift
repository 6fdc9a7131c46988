import Foundation
import Kernel
import Testing
import Wire

@testable import QueryLog

/// What happens to rows between the ring and the database: folding and what is left out for privacy.
@Suite struct RowBatchTests {
    let base: QueryLogWriterTests
    var scratch: Scratch { base.scratch }

    init() throws {
        base = try QueryLogWriterTests()
    }

    @Test func foldingAddsUpWhatIsTheSameAndNothingElse() throws {
        let seed = UInt64.random(in: 1 ... .max)
        var random = SeededGenerator(seed)
        let writer = try base.writer {
            $0.foldsAbove = 0
            $0.interval = 60_000
        }
        // The naive reference: rows by their text.
        var expected: [String: (count: Int, latency: Int64)] = [:]
        for number in 0..<20_000 {
            let name = "n\(Int.random(in: 0..<5, using: &random)).example"
            let address = "203.0.113.\(Int.random(in: 1...2, using: &random))"
            let made = row(time: 1_767_225_600_000_000 + Int64(number)) {
                $0.client = IPAddress(v4: 0xc000_0200 + UInt32.random(in: 0...1, using: &random))
                $0.clientPort = UInt16.random(in: 1 ... .max, using: &random)
                $0.qtype = Bool.random(using: &random) ? 1 : 28
                $0.cached = Bool.random(using: &random)
                $0.transport = Bool.random(using: &random) ? .udp : .tcp
                $0.latency = Int32.random(in: 0...1000, using: &random)
            }
            if number % 500 == 499 { #expect(writer.flush()) }
            base.push(made, name, address)
            let key = "\(made.client) \(made.transport) \(made.qtype) \(made.cached) \(name) \(address)"
            let known = expected[key] ?? (0, 0)
            expected[key] = (known.count + 1, known.latency + Int64(made.latency))
        }
        writer.stop()
        #expect(writer.status.droppedRows == 0)
        #expect(writer.status.writtenRows + writer.status.foldedRows == 20_000)
        #expect(writer.status.writtenRows < 10_000, "seed \(seed)")
        let found = try rows(
            scratch.database,
            """
            SELECT client || ' ' || transport || ' ' || CASE qtype WHEN 'A' THEN 1 ELSE 28 END || ' ' ||
                CASE cached WHEN 1 THEN 'true' ELSE 'false' END || ' ' || qname || ' ' || answer,
                sum(count), sum(count * latency_us), count(*) FROM queries GROUP BY 1
            """)
        #expect(found.count == expected.count)
        for line in found {
            let wanted = try #require(expected[line[0]!], "seed \(seed): \(line[0]!)")
            #expect(line[1] == "\(wanted.count)", "seed \(seed)")
            // Means are rounded down, by less than a microsecond a query.
            let sum = Int64(line[2]!)!
            #expect(sum <= wanted.latency && sum > wanted.latency - Int64(wanted.count), "seed \(seed)")
        }
    }

    @Test func fewRowsAreNotFolded() throws {
        let writer = try base.writer { $0.foldsAbove = 1000 }
        for _ in 0..<1000 { base.push(row(time: 1_767_225_600_000_000), "same.example") }
        #expect(writer.flush())
        #expect(try rows(scratch.database, "SELECT count(*), sum(count) FROM queries") == [["1000", "1000"]])
        writer.stop()
    }

    /// A row with everything in it.
    func fullRow() -> QueryRow {
        row(time: 1_767_229_323_456_789) {
            $0.client = IPAddress("192.0.2.77")!
            $0.owner = Owner(uid: 1000, pid: 5, path: 2, certainty: .exact)
            $0.verdict = .block
            $0.reason = .list
            $0.list = 3
            $0.rule = 8
            $0.match = .suffix
            $0.labels = 1
        }
    }

    @Test(
        arguments: [
            (
                QueryLogPrivacy.Level.everything,
                ["192.0.2.77", "1000", "/usr/bin/app2", "secret.example", "example", "203.0.113.5", "40"]
            ),
            (.noClients, [nil, nil, nil, "secret.example", "example", "203.0.113.5", "40"]),
            (.noNames, [nil, nil, nil, nil, nil, nil, "40"]),
            (.counters, [nil, nil, nil, nil, nil, nil, nil]),
        ] as [(QueryLogPrivacy.Level, [String?])])
    func whatIsNotKeptIsNotInTheFile(_ level: QueryLogPrivacy.Level, _ expected: [String?]) throws {
        let writer = try base.writer { $0.privacy.level = level }
        // The writer's first round is over: what comes now goes into one transaction, the last.
        #expect(writer.flush())
        base.push(fullRow(), "secret.example", "203.0.113.5")
        base.push(fullRow(), "secret.example", "203.0.113.5")
        base.push(fullRow(), "other.secret.example", "203.0.113.6")
        var flow = FlowRow()
        flow.flow = 1
        flow.client = IPAddress("192.0.2.77")!
        flow.remote = IPAddress("203.0.113.5")!
        flow.proto = 6
        base.ring.push(flow, name: Name("flow.secret.example")!.bytes)
        writer.stop()
        let found = try rows(
            scratch.database,
            """
            SELECT client, uid, app, qname, rule, answer, latency_us, verdict, list, qtype, sum(count), min(time)
            FROM queries
            """)
        let isCounter = level == .counters
        #expect(
            found == [
                expected + [
                    "block", "list3", "A", "3",
                    isCounter ? "2026-01-01T01:00:00.000000Z" : "2026-01-01T01:02:03.456789Z",
                ]
            ])
        #expect(try rows(scratch.database, "SELECT count(*) FROM queries") == [[isCounter ? "1" : "3"]])
        #expect(
            try rows(scratch.database, "SELECT client, remote, name, verdict FROM flows")
                == (isCounter
                    ? []
                    : [
                        [
                            expected[0], level == .noNames ? nil : "203.0.113.5",
                            level == .noNames ? nil : "flow.secret.example", "allow",
                        ]
                    ]))
        // Not in any table, not in the file.
        _ = try rows(scratch.database, "PRAGMA wal_checkpoint(TRUNCATE)")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.database))
        #expect((bytes.range(of: Data("192.0.2.77".utf8)) == nil) == (level != .everything))
        #expect((bytes.range(of: Data("secret".utf8)) == nil) == (level == .noNames || isCounter))
    }

    @Test func clientsLoseTheEndOfTheirAddress() throws {
        var privacy = QueryLogPrivacy()
        privacy.prefix4 = 24
        privacy.prefix6 = 56
        #expect(privacy.client(IPAddress("192.0.2.77")!) == IPAddress("192.0.2.0")!)
        #expect(privacy.client(IPAddress("2001:db8:1:2ff:3::9")!) == IPAddress("2001:db8:1:200::")!)
        privacy.prefix4 = 0
        privacy.prefix6 = 96
        #expect(privacy.client(IPAddress("192.0.2.77")!) == IPAddress("0.0.0.0")!)
        #expect(privacy.client(IPAddress("2001:db8::1:2:3")!) == IPAddress("2001:db8::1:0:0")!)
        privacy.prefix4 = 32
        privacy.prefix6 = 128
        #expect(privacy.client(IPAddress("192.0.2.77")!) == IPAddress("192.0.2.77")!)
        #expect(privacy.client(IPAddress("2001:db8::1:2:3")!) == IPAddress("2001:db8::1:2:3")!)
        let writer = try base.writer { $0.privacy.prefix4 = 24 }
        base.push(fullRow(), "a.example")
        writer.stop()
        // Who asked is found out from the whole address.
        #expect(try rows(scratch.database, "SELECT client, uid FROM queries") == [["192.0.2.0", "1000"]])
    }

    @Test func theHashSpreads() {
        // Names that differ in one byte or in length fall into different places.
        var seen: Set<UInt64> = []
        for length in 0..<64 {
            for position in 0..<max(1, length) {
                var bytes = [UInt8](repeating: 0x61, count: length)
                if length > 0 { bytes[position] ^= 1 }
                seen.insert(KeyedHash.hash(bytes.span.bytes) & 0xffff_ffff)
            }
        }
        #expect(seen.count == 2017)
    }
}
