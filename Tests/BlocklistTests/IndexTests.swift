import Testing

@testable import Blocklist

/// The compiled index against a dictionary that is walked suffix by suffix.
struct IndexTests {
    /// What the policy says of list entries, the slow and obvious way.
    struct Reference {
        var classes: [IndexBuilder.SourceClass]
        /// For each name the entries that bear it.
        var entries: [String: [(index: Int, line: Int)]] = [:]

        func verdict(_ name: String) -> Verdict {
            let labels = name.split(separator: ".")
            var best: Verdict?
            for allowing in [true, false] where best == nil {
                for first in labels.indices where best == nil {
                    let suffix = labels[first...].joined(separator: ".")
                    let found = (entries[suffix] ?? []).filter { entry in
                        let kind = classes[entry.index].kind
                        return kind.contains(.allow) == allowing && (first == 0 || !kind.contains(.exact))
                    }.sorted { a, b in
                        let (left, right) = (
                            classes[a.index].kind.contains(.exact), classes[b.index].kind.contains(.exact)
                        )
                        return left != right ? right : (a.index, a.line) < (b.index, b.line)
                    }
                    guard let winner = found.first else { continue }
                    best = Verdict(
                        action: allowing ? .allow : .block,
                        match: classes[winner.index].kind.contains(.exact) ? .exact : .suffix,
                        list: classes[winner.index].list, rule: Int32(winner.line), labels: UInt8(labels.count - first))
                }
            }
            return best ?? .forward
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
        .init(list: 1, kind: [], title: "deny", lines: 2_000_000),
        .init(list: 2, kind: .exact, title: "exact", lines: 2_000_000),
        .init(list: 3, kind: .allow, title: "allow", lines: 2_000_000),
        .init(list: 4, kind: [.allow, .exact], title: "allow exact", lines: 2_000_000),
        .init(list: 5, kind: [], title: "deny more", lines: 2_000_000),
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
            let index = Int(random.next() % UInt64(Self.classes.count))
            entries.append((name, index, line))
            reference.entries[name, default: []].append((index, line))
        }
        let snapshot = try snapshot(Self.classes, entries, hashMask: mask, namesPerLine: perLine)
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
            let expected = reference.verdict(name)
            let found = snapshot.verdict(name)
            #expect(found == expected, "\(name)")
            if found != expected { return }
        }
    }

    /// A million names: every one sampled is found with its line, and no other name is.
    @Test func millionNames() throws {
        let count = 1_000_000
        let seed = UInt64(42)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        var builder = try IndexBuilder(
            .init(seed: random.next()), [.init(list: 9, kind: [], title: "million", lines: count)], expected: count)
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
        print("bytes a name: \(Double(bytes.count) / Double(count))")
        for _ in 0..<20_000 {
            let line = Int(random.next() % UInt64(count)) + 1
            let expected = Verdict(
                action: .block, match: .suffix, list: 9, rule: Int32(line), labels: UInt8(2 + (line % 6 == 3 ? 1 : 0)))
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
        #expect(snapshot.verdict(name).rule == 1)
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
