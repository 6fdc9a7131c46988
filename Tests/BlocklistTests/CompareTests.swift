import Testing

@testable import Blocklist

/// What lists have in common, and what one adds to the others.
@Suite struct CompareTests {
    static let words = ["ads", "track", "pixel", "cdn", "www", "shop", "media"]

    /// Names of two to four labels; the same ones come often.
    static func names(_ count: Int, _ generator: inout Seeded) -> [String] {
        (0..<count).map { _ in
            (0..<Int.random(in: 1...3, using: &generator))
                .map { _ in words.randomElement(using: &generator)! }.joined(separator: ".") + ".example"
        }
    }

    @Test func differencesAreThoseOfSets() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var generator = Seeded(state: seed)
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        let (first, second) = (CompareTests.names(300, &generator), CompareTests.names(200, &generator))
        _ = try store.add(scratch.file("a.txt", first.joined(separator: "\n") + "\n"))
        _ = try store.add(scratch.file("b.txt", second.joined(separator: "\n") + "\n"))
        var told: [ListDifference.Part: [String]] = [:]
        let difference = try store.difference("a", "b") { part, entry in told[part, default: []].append(entry.name) }
        let (a, b) = (Set(first), Set(second))
        #expect(told[.onlyFirst, default: []] == a.subtracting(b).sorted())
        #expect(told[.onlySecond, default: []] == b.subtracting(a).sorted())
        #expect(told[.both, default: []] == a.intersection(b).sorted())
        #expect(difference.onlyFirst == a.subtracting(b).count && difference.both == a.intersection(b).count)
        #expect(throws: BlocklistError.noSuchList("c")) { try store.difference("a", "c") { _, _ in } }
    }

    /// The same name that does something else is another entry.
    @Test func kindsAreToldApart() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("a.txt", "||one.example^\n||two.example^\n@@||three.example^\n"))
        _ = try store.add(scratch.file("b.txt", "||one.example^\n|two.example^\n||three.example^\n"))
        let difference = try store.difference("a", "b") { _, _ in }
        #expect(difference == ListDifference(onlyFirst: 2, onlySecond: 2, both: 1))
    }

    /// Against the definition: an entry is unique when the decision about its name, or about a name below it that nobody
    /// lists, is another one with the list than without.
    @Test func uniqueIsWhatChangesADecision() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var generator = Seeded(state: seed)
        for round in 0..<8 {
            let scratch = try Scratch()
            let store = try BlocklistStore(state: scratch.path + "/state")
            for name in ["a", "b", "c"] {
                let lines = CompareTests.names(40, &generator).map { name in
                    ["||\(name)^", "||\(name)^", "|\(name)^", "@@||\(name)^"].randomElement(using: &generator)!
                }
                _ = try store.add(
                    scratch.file("\(name).txt", lines.joined(separator: "\n") + "\n"), .init(format: .adblock))
            }
            var told: Set<String> = []
            let result = try store.unique("a") { _, entry in told.insert("\(entry.name) \(entry.kind.rawValue)") }
            let with = try {
                try store.compile(); return try store.snapshot()
            }()
            try store.setEnabled(["a"], false)
            let without = try {
                try store.compile(); return try store.snapshot()
            }()
            var wanted: Set<String> = []
            var names: Set<String> = []
            _ = try store.difference("a", "a") { _, entry in
                let key = "\(entry.name) \(entry.kind.rawValue)"
                names.insert(key)
                let isAllow = entry.kind.contains(.allow)
                let probes =
                    entry.kind.contains(.exact) ? [entry.name] : [entry.name, "nobody-lists-this." + entry.name]
                // What this entry does, and not what the list's other entries do.
                if probes.contains(where: { probe in
                    isAllow ? without.verdict(probe).action == .block : without.verdict(probe).action == .forward
                }) {
                    wanted.insert(key)
                }
                if !isAllow, with.verdict(entry.name).action == .forward {
                    Issue.record("\(entry.name) is not blocked")
                }
            }
            #expect(told == wanted, "round \(round)")
            #expect(result.unique >= told.count && result.entries == 40)
        }
    }

    @Test func aShorterNameElsewhereCovers() throws {
        let scratch = try Scratch()
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.add(scratch.file("mine.txt", "ads.one.example\ntwo.example\nthree.example\n"))
        _ = try store.add(scratch.file("other.txt", "one.example\n"))
        _ = try store.add(scratch.file("exact.txt", "two.example\n"), .init(exact: true))
        _ = try store.add(scratch.file("off.txt", "three.example\n"))
        try store.setEnabled(["off"], false)
        var names: [String] = []
        let result = try store.unique("mine") { line, entry in names.append("\(line) \(entry.name)") }
        // Of two.example the others decide the name alone, and nothing below it.
        #expect(names == ["2 two.example", "3 three.example"])
        #expect(result == ListUniqueness(entries: 3, unique: 2, others: 0))
    }

    @Test func aTrialChangesNothing() throws {
        let scratch = try Scratch()
        let file = try scratch.file("ads.txt", "0.0.0.0 ads.example\n")
        let trial = try ListTrial(file, .init(), fetcher: ListFetcher())
        #expect(trial.action("www.ads.example") == .block)
        #expect(trial.action("other.example") == .forward)
        #expect(trial.action("no name at all") == .forward)
        #expect(throws: BlocklistError.self) {
            try ListTrial(scratch.file("bad.txt", "<html>"), .init(), fetcher: ListFetcher())
        }
    }
}
