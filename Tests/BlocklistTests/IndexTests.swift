import Testing

@testable import Blocklist

/// The compiled index against a dictionary that is walked suffix by suffix.
struct IndexTests {
    /// What the policy says of list entries, the slow and obvious way.
    struct Reference {
        var classes: [IndexBuilder.SourceClass]
        /// For each name the classes that have it.
        var entries: [String: Set<Int>] = [:]

        /// - Parameter slots: of the lists in force; nil: all.
        func verdict(_ name: String, slots: Set<UInt16>? = nil) -> Verdict {
            let labels = name.split(separator: ".")
            let tiers: [EntryKind] = [[.important, .allow], .important, .allow, []]
            for tier in tiers {
                for first in labels.indices {
                    let suffix = labels[first...].joined(separator: ".")
                    let found = (entries[suffix] ?? []).filter { index in
                        let kind = classes[index].kind
                        return kind.intersection([.important, .allow]) == tier
                            && !kind.contains(first == 0 ? .below : .exact)
                            && slots?.contains(classes[index].slot) ?? true
                    }
                    guard let winner = found.min(by: { rank($0) < rank($1) }) else { continue }
                    return Verdict(
                        action: tier.contains(.allow) ? .allow : .block,
                        match: classes[winner].kind.contains(.exact) ? .exact : .suffix,
                        list: classes[winner].list, rule: Int32(winner), labels: UInt8(labels.count - first))
                }
            }
            return .forward
        }

        /// Of equal names the one that says more, then the one of the list added first.
        private func rank(_ index: Int) -> (Int, Int) {
            let kind = classes[index].kind
            return (kind.contains(.exact) ? 1 : kind.contains(.below) ? 2 : 0, index)
        }
    }

    static let syllables = [
        "ad", "track", "cdn", "a", "b1", "media", "pixel", "x", "log", "static", "metric-s", "_tcp",
    ]
    static let tails = ["com", "net", "example", "co.uk", "io", "xn--p1ai"]

    static func randomName(_ random: inout Seeded) -> String {
        var name = tails[Int(random.next() % UInt64(tails.count))]
        for _ in 0...Int(random.next() % 3) {
            var label = syllables[Int(random.next() % UInt64(syllables.count))]
            if random.next() % 4 != 0 { label += String(random.next() % 10_000, radix: 36) }
            name = label + "." + name
        }
        return name
    }

    static let classes: [IndexBuilder.SourceClass] = [
        .init(list: 1, kind: [], title: "deny", lines: 0, slot: 0),
        .init(list: 2, kind: .exact, title: "exact", lines: 0, slot: 1),
        .init(list: 3, kind: .allow, title: "allow", lines: 0, slot: 2),
        .init(list: 4, kind: [.allow, .exact], title: "allow exact", lines: 0, slot: 3),
        .init(list: 5, kind: [], title: "deny more", lines: 0, slot: 4),
        .init(list: 5, kind: [.important, .below], title: "deny more", lines: 0, slot: 4),
        .init(list: 6, kind: [.important, .allow], title: "important", lines: 0, slot: 5),
    ]

    /// Random lists that overlap, random queries among, below and beside their names; with hashes cut short, so that
    /// different names share them, and with lines too full for their fingerprints.
    @Test(arguments: [
        (UInt64.max, 32), (0xFFF0_0000_0000_0000, 32), (0xF000_0000_0000_0000, 32), (0, 32), (UInt64.max, 500),
    ])
    func agreesWithReference(mask: UInt64, perLine: Int) throws {
        let seed = UInt64(20_261_124)
        print("seed \(seed), mask \(String(mask, radix: 16)), names per line \(perLine)")
        var random = Seeded(state: seed ^ mask ^ UInt64(perLine))
        var reference = Reference(classes: Self.classes)
        var entries: [(name: String, index: Int, line: Int)] = []
        for line in 1...(mask == .max ? 4_000 : 800) {
            let name = Self.randomName(&random)
            // Important entries are rare, or nothing else would ever decide; many names are in several lists.
            for _ in 0...random.next() % 3 {
                let index = Int(random.next() % UInt64(line % 5 == 0 ? Self.classes.count : 5))
                entries.append((name, index, line))
                reference.entries[name, default: []].insert(index)
            }
        }
        let profiles: [Set<UInt16>?] = [nil, [], [0], [1, 4], [0, 2, 3], [5, 70], Set(0...5)]
        let snapshot = try snapshot(
            Self.classes, entries, hashMask: mask, namesPerLine: perLine,
            profiles: Profiles(profiles.map { .init(lists: $0) }))
        #expect(snapshot.names == reference.entries.count)
        for _ in 0..<4_000 {
            var name =
                random.next() % 2 == 0
                ? entries[Int(random.next() % UInt64(entries.count))].name : Self.randomName(&random)
            switch random.next() % 4 {
            case 0: name = "www." + name
            case 1: name = name.split(separator: ".").dropFirst().joined(separator: ".")
            default: break
            }
            if name.isEmpty { continue }
            for (number, slots) in profiles.enumerated() {
                let expected = reference.verdict(name, slots: slots)
                let found = snapshot.verdict(name, profile: UInt16(number))
                #expect(found == expected, "\(name), profile \(number)")
                if found != expected { return }
            }
        }
    }

    /// A million names: every one sampled is found, and no other name is.
    @Test func millionNames() throws {
        let count = 1_000_000
        let seed = UInt64(42)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        var builder = try IndexBuilder(
            .init(seed: random.next()), [.init(list: 9, kind: [], title: "million", lines: 0)], expected: count)
        // Names are a bijection of their line number, so the reference is arithmetic instead of a dictionary.
        func name(_ line: Int) -> String {
            let word = UInt64(line) &* 0x9E37_79B9_7F4A_7C15
            return "\(Self.syllables[line % 12])\(String(word, radix: 36)).\(Self.tails[line % 6])"
        }
        for line in 1...count { try builder.add(name(line), class: 0, line: line) }
        let bytes = try builder.build(into: IndexSink())
        let image = try IndexImage(bytes: bytes)
        let snapshot = PolicySnapshot(
            index: image, overlay: try Overlay([], version: 0, seed: image.header.seed))
        #expect(snapshot.names == count)
        let perName = Double(bytes.count) / Double(count)
        print("bytes a name: \(perName)")
        #expect(perName < 10)
        for _ in 0..<20_000 {
            let line = Int(random.next() % UInt64(count)) + 1
            let expected = Verdict(
                action: .block, match: .suffix, list: 9, rule: 0, labels: UInt8(2 + (line % 6 == 3 ? 1 : 0)))
            let found = snapshot.verdict("a.b." + name(line))
            #expect(found == expected, "\(name(line))")
            if found != expected { return }
            let other = name(count + line)
            #expect(snapshot.verdict(other) == .forward, "\(other)")
        }
    }

    @Test func malformedNamesMatchNothing() throws {
        let snapshot = try snapshot([.init(list: 1, kind: [], title: "x", lines: 9)], [("a.example", 0, 1)])
        let names: [[UInt8]] = [
            [], [0], [1], [1, 97], [64] + [UInt8](repeating: 97, count: 64) + [0], [1, 97, 0, 0],
            [0xC0, 0], [200], [UInt8](repeating: 1, count: 300), [1, 97, 7, 101],
        ]
        for name in names { #expect(snapshot.verdict(for: name.span.bytes) == .forward) }
        #expect(snapshot.verdict("a.example").action == .block)
    }

    /// A label may hold a dot in wire form; it is not the dot between labels.
    @Test func dotInsideLabelIsNoSeparator() throws {
        let snapshot = try snapshot([.init(list: 1, kind: [], title: "x", lines: 9)], [("ads.example", 0, 1)])
        #expect(snapshot.verdict(for: ([11] + Array("ads.example".utf8) + [0]).span.bytes) == .forward)
        // But below a listed name anything is blocked.
        let below: [UInt8] = [3] + Array("a.b".utf8) + wire("ads.example")
        #expect(snapshot.verdict(for: below.span.bytes).action == .block)
    }

    @Test func longestNames() throws {
        let label = String(repeating: "a", count: 63)
        let name = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        let deep = (0..<127).map { _ in "d" }.joined(separator: ".")
        let snapshot = try snapshot(
            [.init(list: 1, kind: [], title: "x", lines: 9)], [(name, 0, 1), (deep, 0, 2), ("c", 0, 3)])
        #expect(snapshot.verdict(name).labels == 4)
        #expect(snapshot.verdict(deep).labels == 127)
        #expect(snapshot.verdict("x.y.c").labels == 1)
        #expect(snapshot.verdict("d") == .forward)
    }

    @Test func entriesThatAreNoNamesAreRefused() throws {
        for bad in ["", "A.example", "a..b", ".a", "a.", "a b", "ü.de", String(repeating: "a", count: 64)] {
            var builder = try IndexBuilder(.init(), [.init(list: 1, kind: [], title: "x", lines: 9)])
            #expect(throws: BlocklistError.self, "\(bad)") { try builder.add(bad, class: 0, line: 1) }
        }
    }

    @Test func emptyIndex() throws {
        let snapshot = try snapshot([], [])
        #expect(snapshot.names == 0)
        #expect(snapshot.verdict("a.example") == .forward)
    }
}
