import Testing

@testable import Blocklist

/// Tables of patterns against all their automata in turn, and what a pattern's literals promise.
struct PatternTableTests {
    /// A table over memory of its own.
    final class Table {
        let memory: UnsafeMutableRawPointer
        let view: PatternTable.View
        let byteCount: Int

        init(_ patterns: [Pattern]) {
            var builder = PatternTableBuilder()
            for (index, pattern) in patterns.enumerated() { builder.add(pattern, tag: UInt32(index * 3)) }
            let bytes = builder.finish()
            byteCount = bytes.count
            let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
            bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            self.memory = memory
            view = PatternTable.View(memory)
        }

        deinit { memory.deallocate() }

        func match(_ name: [UInt8], limit: Int = .max, isAsked: (Int) -> Bool = { _ in true }) -> Int? {
            (name + [UInt8](repeating: 0, count: 8)).withUnsafeBytes {
                view.match($0.baseAddress!, name.count, limit: limit, isAsked: isAsked)
            }
        }
    }

    static let words = ["track", "ad", "ads", "pixel", "cdn", "metric", "a", "x", "beacon", "tel", "stat"]

    static func pattern(_ random: inout Seeded) -> String {
        func pick<T>(_ items: [T]) -> T { items[Int(random.next() % UInt64(items.count))] }
        let word = pick(words)
        switch random.next() % 9 {
        case 0: return "^\(word)[0-9]+\\."
        case 1: return "(^|\\.)\(word)(s|er|ing)?\\."
        case 2: return "\(word).*\(pick(words))"
        case 3: return "\(word)|\(pick(words))"
        case 4: return "(\(word)|\(pick(words))-)\(pick(words))$"
        case 5: return "[ab]\(word)?[xyz]"
        case 6: return "(?:\(word)){2}"
        case 7: return "\(word)[-_.]?\(pick(words))[0-9]{2}"
        default: return "^(www\\.)?\(word).\(pick(words))\\.(com|net)$"
        }
    }

    static func name(_ random: inout Seeded) -> [UInt8] {
        let parts = (0...Int(random.next() % 5)).map { _ in
            random.next() % 3 == 0 ? String(random.next() % 100) : words[Int(random.next() % UInt64(words.count))]
        }
        var text = ""
        for part in parts { text += (text.isEmpty ? "" : ["", ".", "-", "."][Int(random.next() % 4)]) + part }
        return Array((text + (random.next() % 2 == 0 ? ".com" : "")).utf8)
    }

    @Test func agreesWithEveryAutomatonInTurn() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        var found = 0
        for count in [1, 3, 20, 300] {
            let texts = (0..<count).map { _ in Self.pattern(&random) }
            let patterns = try texts.map { try Pattern($0) }
            let table = Table(patterns)
            for _ in 0..<800 {
                let name = Self.name(&random)
                let limit = random.next() % 3 == 0 ? Int(random.next() % UInt64(count + 1)) : .max
                let modulus = Int(random.next() % 3) + 1
                let expected = patterns.indices.first {
                    $0 < limit && $0 * 3 % modulus == 0 && patterns[$0].matches(name)
                }
                let actual = table.match(name, limit: limit) { $0 % modulus == 0 }
                #expect(
                    actual == expected,
                    "'\(String(decoding: name, as: UTF8.self))' below \(limit): \(actual.map { texts[$0] } ?? "none")")
                if actual != expected { return }
                if let actual {
                    found += 1
                    #expect(table.view.tag(actual) == actual * 3)
                }
            }
        }
        #expect(found > 500)
    }

    /// A name that matches holds one of the literals, whatever the pattern.
    @Test func literalsAreNeeded() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        var matches = 0
        for round in 0..<3_000 {
            let text = round % 2 == 0 ? Self.pattern(&random) : PatternTests.tree(&random, 4).text
            guard let pattern = try? Pattern(text), !pattern.literals.isEmpty else { continue }
            #expect(pattern.literals.allSatisfy { $0.count >= PatternLiterals.shortest })
            for _ in 0..<6 {
                let name =
                    round % 2 == 0
                    ? Self.name(&random)
                    : (0...Int(random.next() % 12)).map { _ in PatternTests.alphabet[Int(random.next() % 3)] }
                guard pattern.matches(name) else { continue }
                matches += 1
                let holds = pattern.literals.contains { !name.ranges(of: $0).isEmpty }
                #expect(
                    holds, "/\(text)/ matches '\(String(decoding: name, as: UTF8.self))' without \(pattern.literals)")
                if !holds { return }
            }
        }
        #expect(matches > 200)
    }

    @Test(arguments: [
        ("^ad[0-9]+[.]", [String]()), ("tracker", ["tracker"]), ("track(er|ing)", ["tracker", "tracking"]),
        ("^(www\\.)?ads\\.example$", ["ads.example", "www.ads.example"]), ("foo|bar", ["foo", "bar"]), ("foo|ba", []),
        ("(abc)+", ["abc"]), ("(abc)*", []), ("a.*bcd.*efghi", ["efghi"]), ("[Aa][Dd][Ss]erver", ["adserver"]),
        ("(ab){2}", ["abab"]), ("^$", []),
    ])
    func literals(_ pattern: String, _ expected: [String]) throws {
        #expect(try Pattern(pattern).literals.map { String(decoding: $0, as: UTF8.self) }.sorted() == expected.sorted())
    }

    @Test func budgetOfAList() {
        var budget = PatternBudget()
        #expect(budget.take("tracker") == nil)
        #expect(budget.take("(a|b)*a(a|b){40}")?.contains("too complex") == true)
        #expect(budget.take("(((a{200}){200}){200})")?.contains("too long") == true)
        #expect(budget.take("a(")?.contains("character 2") == true)
        for index in 0..<PatternBudget.unfiltered { #expect(budget.take("^a[0-9]{\(index % 9 + 1)}") == nil) }
        #expect(budget.take("^b[0-9]")?.contains("without three fixed characters") == true)
        #expect(budget.take("beacon[0-9]") == nil)
        for _ in 0..<PatternBudget.tooComplex { _ = budget.take("(a|b)*a(a|b){40}") }
        #expect(budget.take("beacon[0-9]x")?.contains("too complex") == true)
    }
}
