import Foundation
import GRDB
import Kernel
import Testing
import Wire

@testable import Blocklist

/// Local records, forward zones and safe search in `blocklist.db` and in the snapshots made from it.
struct LocalStoreTests {
    private func record(_ type: String, _ data: String, ttl: UInt32 = 300) throws -> LocalRecord {
        try RecordText.parse(type: type, data: data, ttl: ttl)
    }

    private func server(_ text: String) -> SocketAddress { SocketAddress(text, defaultPort: 53)! }

    private func find(_ name: String, _ policy: PolicySnapshot) -> LocalRecords.Place? {
        let name = wire(name)
        return policy.local.records.find(name.span.bytes)
    }

    @Test func recordsAreMadeChangedAndRemoved() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        let made = try store.addRecords([
            .init("NAS.lan", try record("A", "192.0.2.9"), comment: "box"),
            .init("*.Bücher.example", try record("A", "192.0.2.10")),
        ])
        #expect(made.map(\.name) == ["nas.lan", "*.xn--bcher-kva.example"])
        _ = try store.addRecords([.init("nas.lan", try record("A", "192.0.2.9", ttl: 60))])
        let all = try store.records()
        #expect(all.count == 2)
        #expect(all.first { $0.name == "nas.lan" }?.record.ttl == 60, "the same record with another TTL")
        _ = try store.addRecords([
            .init("nas.lan", try record("TXT", "\"x\"")), .init("nas.lan", try record("A", "192.0.2.8")),
        ])
        #expect(try store.removeRecords("nas.lan", type: .a, data: "192.0.2.8").count == 1)
        #expect(try store.removeRecords("nas.lan", type: RecordType(16)).count == 1)
        #expect(throws: BlocklistError.noSuchRecord("nas.lan AAAA")) { try store.removeRecords("nas.lan", type: .aaaa) }
        #expect(try store.removeRecords("nas.lan").count == 1)
        #expect(throws: BlocklistError.noSuchRecord("nas.lan")) { try store.removeRecords("nas.lan") }
    }

    @Test func aCNAMEStandsAlone() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        _ = try store.addRecords([.init("www.lan", try record("CNAME", "nas.lan"))])
        for other in [try record("A", "192.0.2.1"), try record("CNAME", "other.lan")] {
            let error = #expect(throws: BlocklistError.self) { try store.addRecords([.init("www.lan", other)]) }
            #expect("\(error!)".contains("a CNAME stands alone"), "\(error!)")
        }
        #expect(try store.records().count == 1, "nothing is half done")
        _ = try store.addRecords([.init("www.lan", try record("CNAME", "nas.lan", ttl: 5))])
    }

    @Test func aNameHasNoMoreRecordsThanAnAnswerHolds() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        let big = (0..<4).map { index in
            String(repeating: "\"\(String(repeating: "\(index)", count: 250))\" ", count: 60)
        }
        let requests = try big.map { BlocklistStore.RecordRequest("big.lan", try record("TXT", $0)) }
        #expect(throws: BlocklistError.self) { try store.addRecords(requests) }
        #expect(try store.records().isEmpty)
        #expect(try store.addRecords(Array(requests.prefix(3))).count == 3)
    }

    @Test func snapshotsFollowRecordsForwardsAndSafeSearch() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        let first = try store.snapshot()
        #expect(first.local.records.isEmpty && first.local.forwards.isEmpty && first.local.safeSearch.isEmpty)
        let follower = try PolicyFollower(state: scratch.path, current: first)
        _ = try follower.poll()
        _ = try store.addRecords([.init("nas.lan", try record("A", "192.0.2.9"))])
        let second = try #require(try follower.poll())
        let place = try #require(find("nas.lan", second))
        #expect(!place.isWildcard)
        let records = second.local.records
        let byteCount = records.bytes(place).byteCount
        #expect(byteCount == 12)
        #expect(find("x.nas.lan", second) == nil)
        _ = try store.setForward("corp.example", servers: [server("192.0.2.53")])
        let third = try #require(try follower.poll())
        #expect(third.local.forwards.zones == [ForwardZone(name: "corp.example", servers: [server("192.0.2.53:53")])])
        _ = try store.removeRecords("nas.lan")
        #expect(try #require(try follower.poll()).local.records.isEmpty)
        #expect(try follower.poll() == nil)
    }

    @Test func whatAnotherProgramWroteWrongIsLeftOut() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        try store.write { db in
            try db.execute(
                sql: """
                    INSERT INTO record (name, type, ttl, data, text, added) VALUES
                        ('a..b', 1, 1, x'c0000201', '', 0), ('good.lan', 1, 1, x'c0000201', '192.0.2.1', 0);
                    INSERT INTO forward (zone, servers, added) VALUES
                        ('corp.example', 'nonsense', 0), ('b..a', '192.0.2.1', 0);
                    """)
        }
        let local = try store.snapshot().local
        #expect(local.records.count == 1)
        let name = wire("www.corp.example")
        let zone = local.forwards.zone(of: name.span.bytes)
        #expect(zone >= 0 && local.forwards.isForwarded(zone) && local.forwards.zones[zone].servers.isEmpty)
    }

    // MARK: Forwarding

    @Test func zonesAreMadeChangedAndRemoved() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        _ = try store.setForward("Corp.example.", servers: [server("192.0.2.53"), server("[2001:db8::53]:5353")])
        _ = try store.setForward("*.lan.example", servers: nil, comment: "here")
        let all = try store.forwards()
        #expect(all.map(\.zone.name) == ["corp.example", "lan.example"])
        #expect(all[0].zone.servers.map(\.description) == ["192.0.2.53:53", "[2001:db8::53]:5353"])
        #expect(!all[1].zone.isForwarded && all[1].comment == "here")
        _ = try store.setForward("corp.example", servers: [server("192.0.2.54")])
        #expect(try store.forwards()[0].zone.servers.map(\.description) == ["192.0.2.54:53"])
        #expect(throws: BlocklistError.noSuchForward("other.example")) {
            try store.removeForwards(["corp.example", "other.example"])
        }
        #expect(try store.removeForwards(["corp.example", "lan.example"]).count == 2)
        #expect(throws: BlocklistError.self) { try store.setForward("corp.example", servers: []) }
        #expect(throws: BlocklistError.self) { try store.setForward("corp.example", servers: [server("0.0.0.0")]) }
        #expect(throws: BlocklistError.self) {
            try store.setForward("corp.example", servers: (1...9).map { server("192.0.2.\($0)") })
        }
    }

    @Test func allZonesTogetherHaveABound() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        for zone in 0..<6 {
            _ = try store.setForward("z\(zone).example", servers: (1...8).map { server("192.0.2.\(zone * 8 + $0)") })
        }
        _ = try store.setForward("same.example", servers: (1...8).map { server("192.0.2.\($0)") })
        #expect(throws: BlocklistError.self) { try store.setForward("more.example", servers: [server("192.0.2.99")]) }
        #expect(try store.forwards().count == 7)
    }

    @Test(arguments: [
        ("192.0.2.0/24", ["2.0.192.in-addr.arpa"]), ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("192.0.2.9", ["9.2.0.192.in-addr.arpa"]),
        ("198.51.100.64/30", (64...67).map { "\($0).100.51.198.in-addr.arpa" }),
        ("172.16.0.0/12", (16...31).map { "\($0).172.in-addr.arpa" }), ("0.0.0.0/0", ["in-addr.arpa"]),
        ("2001:db8::/32", ["8.b.d.0.1.0.0.2.ip6.arpa"]), ("fd00::/7", []),
        ("2001:db8::/30", (8...11).map { "\(String($0, radix: 16)).b.d.0.1.0.0.2.ip6.arpa" }),
    ])
    func prefixesAreReverseZones(prefix: String, zones: [String]) throws {
        guard !zones.isEmpty else {
            #expect(throws: BlocklistError.self) { try BlocklistStore.forwardZones(prefix) }
            return
        }
        #expect(try BlocklistStore.forwardZones(prefix) == zones)
    }

    @Test func addressesHaveReverseNames() {
        #expect(ReverseName.name(of: IPAddress("192.0.2.9")!) == "9.2.0.192.in-addr.arpa")
        #expect(
            ReverseName.name(of: IPAddress("2001:db8::567:89ab")!)
                == "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")
    }

    @Test func saltsTellZonesAndServersApart() {
        let zones = [
            ForwardZone(name: "a.example", servers: [server("192.0.2.1")]),
            ForwardZone(name: "b.example", servers: [server("192.0.2.1")]),
            ForwardZone(name: "a.example", servers: [server("192.0.2.2")]),
            ForwardZone(name: "a.example", servers: [server("192.0.2.1:54")]),
            ForwardZone(name: "a.example", servers: [], isForwarded: false),
        ]
        let salts = zones.map { ForwardTable([$0]).salt(0) }
        #expect(Set(salts).count == zones.count && !salts.contains(0))
        #expect(ForwardTable(zones).salt(-1) == 0)
        #expect(ForwardTable([zones[0]]).salt(0) == salts[0], "the same zone keeps what is cached")
    }

    // MARK: Safe search

    private static let data =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/blocklists/engines.safesearch"

    @Test func theDataThatComesWithWebtunIsTaken() throws {
        let text = try String(contentsOfFile: LocalStoreTests.data, encoding: .utf8)
        let engines = SafeSearchFile.engines(try SafeSearchFile.parse(text, path: "engines.safesearch"))
        #expect(
            engines.map(\.name) == [
                "google", "youtube", "bing", "duckduckgo", "ecosia", "yandex", "pixabay", "brave",
            ])
        let google = engines[0]
        #expect(google.names.count > 185 && google.names.allSatisfy { $0.hasPrefix("www.google.") })
        #expect(
            Set(google.names).isSuperset(of: [
                "www.google.com", "www.google.co.uk", "www.google.com.br", "www.google.de",
            ]))
        #expect(engines[1].targets.map(\.level) == ["strict", "moderate"])
        #expect(engines.allSatisfy { $0.source.hasPrefix("https://") })
        let names = engines.flatMap(\.names)
        #expect(Set(names).count == names.count, "no name belongs to two engines, or stands twice")
        for engine in engines {
            for target in engine.targets {
                #expect(engine.records(target.level)?.count == target.values.count)
                #expect(!names.contains(where: target.values.contains), "no safe name leads on")
            }
        }
    }

    @Test func enginesAreSwitchedOneByOne() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path)
        #expect(throws: BlocklistError.self) { try store.setSafeSearch(true) }
        try store.setSafeSearch(false)
        try store.loadSafeSearch(LocalStoreTests.data)
        try store.setSafeSearch(true, ["google", "YouTube:moderate"])
        #expect(try store.safeSearch().levels() == ["google": "strict", "youtube": "moderate"])
        let policy = try store.snapshot()
        func text(_ name: String) -> String? {
            let name = wire(name)
            let place = policy.safeSearch(for: name.span.bytes, asker: .everybody)
            guard place >= 0 else { return nil }
            let records = policy.local.safeSearch
            let set = records.bytes(place)
            guard let item = RecordSet.item(of: set, at: 0) else { return nil }
            var data: [UInt8] = []
            for at in item.data..<item.end { data.append(set.u8(at)) }
            return "\(RecordType(item.type)) \(RecordText.text(type: RecordType(item.type), data: data))"
        }
        #expect(text("www.google.fr") == "CNAME forcesafesearch.google.com.")
        #expect(text("m.youtube.com") == "CNAME restrictmoderate.youtube.com.")
        #expect(text("www.bing.com") == nil && text("google.fr") == nil && text("x.www.google.fr") == nil)
        for bad in ["altavista", "youtube:lenient", "google:"] {
            #expect(throws: BlocklistError.self) { try store.setSafeSearch(true, ["bing", bad]) }
        }
        #expect(try store.safeSearch().levels().count == 2, "all or none")
        try store.setSafeSearch(false, ["google"])
        #expect(try store.safeSearch().levels() == ["youtube": "moderate"])
        // Data read again leaves the switches alone; a level that is gone becomes the first.
        let other = try scratch.file(
            "e.safesearch",
            "engine youtube https://x.example\ntarget hard 192.0.2.1 2001:db8::1\nnames www.youtube.com\n")
        try store.loadSafeSearch(other)
        let local = try store.snapshot().local
        #expect(local.safeSearch.count == 1 && !local.safeSearch.isEmpty)
        try store.setSafeSearch(true)
        #expect(try store.safeSearch().levels() == ["youtube": "hard"])
        try store.setSafeSearch(false)
        #expect(try store.snapshot().local.safeSearch.isEmpty)
    }

    @Test func ofSeveralGroupsTheStrictestCounts() throws {
        let level = { (address: String, groups: UInt64) in
            SafeSearchTable.Level(
                records: [try RecordText.parse(type: "A", data: address, ttl: 60)], groups: groups)
        }
        let table = SafeSearchTable([
            .init(
                names: ["a.example", "b.example"],
                levels: [try level("192.0.2.1", 0b100), try level("192.0.2.2", 0b011)]),
            .init(names: ["c.example"], levels: [try level("192.0.2.3", 0b1000)]),
        ])
        for (name, groups, number) in [
            ("a.example", 0b001 as UInt64, 1), ("b.example", 0b100, 0), ("a.example", 0b111, 0),
            ("a.example", 0b1000, -1),
            ("c.example", 0b1111, 2), ("c.example", 0, -1), ("x.a.example", .max, -1), ("d.example", .max, -1),
        ] {
            let name = wire(name)
            #expect(table.find(name.span.bytes, groups: groups) == number)
        }
    }

    @Test(arguments: [
        ("target strict a.example\n", "line 1: no 'engine' line before it"),
        ("engine x\n", "line 1: 'engine' takes a name and an address of a page"),
        ("engine x https://x.example\ntarget strict\n", "line 2: 'target' takes a level and a name, or addresses"),
        ("engine x https://x.example\nnames\n", "line 2: 'names' without a name"),
        (
            "engine x https://x.example\nnames a..b\n",
            "line 2: 'a..b': a label is empty (two dots, or a dot in front)"
        ),
        ("engine x https://x.example\nname a.example\n", "line 2: 'name' is not engine, target or names"),
        ("engine x https://x.example\nnames a.example\n", "engine 'x' has no 'target' or no 'names'"),
        (
            "engine x https://x.example\nnames a.example\ntarget s b.example c.example\n",
            "engine 'x': a target is one name, or addresses"
        ), ("# nothing\n", "holds no search engine"),
        (
            "engine x https://x.example\nnames a.example\ntarget s b.example\nengine x https://x.example\n",
            "line 4: engine 'x' was there before"
        ),
    ])
    func faultyDataIsRefusedWhole(text: String, reason: String) throws {
        #expect(throws: BlocklistError.listRefused("f", reason)) { try SafeSearchFile.parse(text, path: "f") }
    }

    @Test func theStarterDirectoryBringsTheData() throws {
        let scratch = try Scratch()
        let folder = scratch.path + "/starter"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: LocalStoreTests.data, toPath: folder + "/engines.safesearch")
        let store = try BlocklistStore(state: scratch.path + "/state")
        #expect(try store.loadStarterLists(folder).isEmpty)
        #expect(try store.safeSearch().engines.count == 8)
        try "engine x\n".write(toFile: folder + "/engines.safesearch", atomically: true, encoding: .utf8)
        guard case .failed(let file, _)? = try store.loadStarterLists(folder).first else {
            Issue.record("a faulty file is said")
            return
        }
        #expect(file.hasSuffix("engines.safesearch"))
        #expect(try store.safeSearch().engines.count == 8, "the last good data stays")
    }
}
