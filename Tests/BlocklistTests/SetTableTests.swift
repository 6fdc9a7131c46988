import Testing

@testable import Blocklist

/// Sets of classes, and indexes whose tables lead nowhere.
struct SetTableTests {
    @Test func setsAreKeptOnce() throws {
        var sets = SetTable(classes: 5)
        #expect(sets.bits == 0)
        #expect(try sets.number(ofOne: 3) == 0)
        #expect(sets.bits == 0)
        #expect(try sets.number(of: [1, 2]) == 1)
        #expect(try sets.number(of: [1, 2, 4]) == 2)
        #expect(try sets.number(of: [1, 2]) == 1)
        #expect(try sets.number(ofOne: 3) == 0)
        #expect(sets.words == [3, IndexView.several, IndexView.several | 3])
        #expect(sets.members == [2, 1, 2, 3, 1, 2, 4])
        #expect(sets.bits == 2)
    }

    /// Every way in which ten lists can overlap.
    @Test func manySets() throws {
        let classes = (0..<10).map {
            IndexBuilder.SourceClass(list: Int32($0 + 1), kind: [], title: "list \($0)", lines: 0, slot: UInt16($0))
        }
        var entries: [(name: String, index: Int, line: Int)] = []
        for ways in 1..<1024 {
            for index in 0..<10 where ways >> index & 1 != 0 { entries.append(("n\(ways).example", index, 1)) }
        }
        let alone = (0..<10).map { Profiles.Profile(lists: [UInt16($0)]) }
        let snapshot = try snapshot(classes, entries, profiles: Profiles([.init()] + alone))
        #expect(snapshot.names == 1023)
        #expect(snapshot.index.header.sets == 1023)
        for ways in 1..<1024 {
            let name = "n\(ways).example"
            #expect(snapshot.verdict(name).list == Int32(ways.trailingZeroBitCount + 1))
            for index in 0..<10 {
                let found = snapshot.verdict(name, profile: UInt16(index + 1))
                #expect(found.list == (ways >> index & 1 != 0 ? Int32(index + 1) : -1), "\(name), list \(index)")
            }
        }
    }

    @Test func classesKeepTheirOptionsAndTitles() throws {
        let classes: [IndexBuilder.SourceClass] = [
            .init(list: 7, kind: [], title: "Große Liste", lines: 0, slot: 2),
            .init(list: 7, kind: .hasOptions, title: "Große Liste", lines: 0, options: "dnstype=A", slot: 2),
            .init(list: 9, kind: .allow, title: "", lines: 0, slot: 3),
        ]
        let image = try snapshot(classes, [("a.example", 0, 1), ("b.example", 1, 1)]).index
        #expect(image.titles == [7: "Große Liste", 9: ""])
        #expect(image.slots == [7: 2, 9: 3])
        #expect(image.options.map(\.number) == [1] && image.options[0].text == "dnstype=A")
        #expect(image.options(of: 0).isEmpty && image.options(of: 1) == "dnstype=A")
    }

    /// Rules of several groups on one name: the one in force speaks.
    @Test func rulesAreInForceByGroup() throws {
        let profiles = Profiles([.init(rules: [0]), .init(rules: []), .init(rules: [0, 1])])
        let rule = UserRule(id: 4, match: .suffix, action: .deny, name: "mine.example", comment: "", added: 0)
        let policy = try snapshot([], [], rules: [rule], profiles: profiles)
        #expect(policy.verdict("www.mine.example").rule == 4)
        #expect(policy.verdict("www.mine.example", profile: 1) == .forward)
        #expect(policy.verdict("www.mine.example", profile: 2).rule == 4)
    }

    // MARK: Damage

    /// An index of three overlapping lists, one of them of addresses.
    static func bytes() throws -> [UInt8] {
        var builder = try IndexBuilder(
            .init(seed: 5),
            [
                .init(list: 1, kind: [], title: "one", lines: 0, slot: 0),
                .init(list: 2, kind: .allow, title: "two", lines: 0, slot: 1),
                .init(list: 3, kind: .address, title: "three", lines: 500, slot: 2),
            ])
        for number in 0..<400 {
            let name = "n\(number).example"
            if number % 2 == 0 { try builder.add(name, class: 0, line: 1) }
            if number % 3 == 0 { try builder.add(name, class: 1, line: 1) }
            var text = "192.0.\(number % 256).\(number / 2)"
            try text.withUTF8 { try builder.addAddress(UnsafeRawBufferPointer($0), class: 2, line: number + 1) }
        }
        return try builder.build(into: IndexSink())
    }

    /// Writes a word of four bytes and loads what comes of it.
    static func load(_ bytes: [UInt8], _ word: UInt32, at place: Int) throws -> IndexImage {
        var bytes = bytes
        for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: word >> (8 * byte)) }
        return try IndexImage(bytes: bytes)
    }

    @Test func tablesThatLeadNowhereAreRefused() throws {
        let bytes = try Self.bytes()
        let header = try IndexImage(bytes: bytes).header
        #expect(header.sets == 3 && header.members == 3 && header.setBits == 2)
        let (sets, members) = (Int(header.setsAt), Int(header.membersAt))
        for (place, word, reason) in [
            (sets, 3, "set 0 has a class that is not there"),
            (sets + 4, UInt32.max >> 1, "set 1 has a class that is not there"),
            (sets, IndexView.several | 3, "set 0 is not among the members"),
            (members, 0, "is longer than the members"), (members, 3, "is longer than the members"),
            (members, .max, "is longer than the members"), (members + 4, 3, "has a class that is not there"),
            (Int(header.classesAt) + 12, 99, "class 0 speaks of a text that is not there"),
            (Int(header.classesAt) + 24, .max, "class 0 speaks of a text that is not there"),
            (Int(header.classesAt) + 8, 77, "class 1 begins before the one in front of it"),
            (Int(header.deniedPrefixesAt), 70_000, "the parts of a table of prefixes are not where they belong"),
            (Int(header.deniedPrefixesAt) + 4, .max, "a table of prefixes is longer than can be"),
            (Int(header.deniedPrefixesAt) + PrefixLayout.headSize, 401, "a bucket that is not there"),
        ] as [(Int, UInt32, String)] {
            do {
                _ = try Self.load(bytes, word, at: place)
                Issue.record("\(reason): taken")
            } catch BlocklistError.indexCorrupt(_, let found) {
                #expect(found.contains(reason), "\(found), not \(reason)")
            }
        }
    }

    /// Bytes changed at random, with checksums that say all is well: either refused, or no lookup leaves the memory. What a
    /// lookup finds then is anything.
    @Test func lookupsStayWithinDamagedIndexes() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("SetTableTests seed \(seed)")
        var random = Seeded(state: seed)
        let good = try Self.bytes()
        let header = try IndexImage(bytes: good).header
        let overlay = try Overlay([], version: 0, seed: header.seed)
        let profiles = Profiles([.init(lists: []), .init(lists: [0, 1]), .init(lists: [0, 1, 2])])
        defer { withExtendedLifetime(profiles) {} }
        var loaded = 0
        var found = 0
        for _ in 0..<600 {
            var bytes = good
            // Three of four in lines and records, which are not looked at when an index is loaded.
            let isAnywhere = random.next() % 4 == 0
            let part = isAnywhere ? IndexHeader.size..<good.count : Int(header.linesAt)..<Int(header.allowedPrefixesAt)
            for _ in 0..<(isAnywhere ? 1 : 1 + Int(random.next() % 200)) {
                bytes[part.lowerBound + Int(random.next() % UInt64(part.count))] = UInt8(
                    truncatingIfNeeded: random.next())
            }
            guard let image = try? IndexImage(bytes: bytes) else { continue }
            loaded += 1
            let policy = PolicySnapshot(index: image, overlay: overlay)
            for number in 0..<60 {
                if policy.verdict("n\(number).example") != .forward { found += 1 }
                for profile in UInt16(0)..<3 {
                    _ = image.view.longestPrefix(
                        .init(v4: UInt32(0xC000_0000) + UInt32(number) * 257), isAllowed: false,
                        profiles.view.lists(profile))
                }
            }
        }
        #expect(loaded > 100 && found > 1000)
    }

    @Test func headersThatLeadNowhereAreRefused() throws {
        let good = try Self.bytes()
        let header = try IndexImage(bytes: good).header
        let fields: [WritableKeyPath<IndexHeader, UInt64>] = [
            \.names, \.lines, \.classesAt, \.classes, \.textsAt, \.textsSize, \.setsAt, \.sets, \.membersAt, \.members,
            \.linesAt, \.recordsAt, \.setBits, \.allowedPrefixesAt, \.deniedPrefixesAt, \.parentsAt, \.parentBits,
        ]
        for field in fields {
            for value in [UInt64.max, 1 << 63, 1 << 40, UInt64(good.count) + 64] {
                var bad = header
                bad[keyPath: field] = value
                let bytes = bad.compose() + good[IndexHeader.size...]
                #expect(throws: BlocklistError.self, "\(value)") { try IndexImage(bytes: bytes) }
            }
        }
    }
}
