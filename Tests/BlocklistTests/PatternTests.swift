import Testing

@testable import Blocklist

/// Regular expressions against a matcher that follows sets of places through the tree.
struct PatternTests {
    indirect enum Tree {
        case empty
        case literal(UInt8)
        case any
        case set([UInt8], negated: Bool)
        case begin
        case end
        case sequence([Tree])
        case choice([Tree])
        case repeated(Tree, Int, Int?)

        var text: String {
            switch self {
            case .empty: "(?:)"
            case .literal(let byte): byte == UInt8(ascii: ".") ? "\\." : String(Character(Unicode.Scalar(byte)))
            case .any: "."
            case .set(let bytes, let negated): "[\(negated ? "^" : "")\(String(decoding: bytes, as: UTF8.self))]"
            case .begin: "^"
            case .end: "$"
            case .sequence(let parts): parts.map(\.text).joined()
            case .choice(let branches): "(\(branches.map(\.text).joined(separator: "|")))"
            case .repeated(let tree, let low, let high): "(?:\(tree.text))" + Tree.quantifier(low, high)
            }
        }

        static func quantifier(_ low: Int, _ high: Int?) -> String {
            switch (low, high) {
            case (0, nil): "*"
            case (1, nil): "+"
            case (0, 1): "?"
            case (_, nil): "{\(low),}"
            case (_, let high?): low == high ? "{\(low)}" : "{\(low),\(high)}"
            }
        }

        /// Where a match can end that begins at one of `starts`.
        func ends(_ text: [UInt8], _ starts: Set<Int>) -> Set<Int> {
            func step(_ accepts: (UInt8) -> Bool) -> Set<Int> {
                Set(starts.filter { $0 < text.count && accepts(text[$0]) }.map { $0 + 1 })
            }
            switch self {
            case .empty: return starts
            case .literal(let byte): return step { $0 == byte }
            case .any: return step { _ in true }
            case .set(let bytes, let negated): return step { bytes.contains($0) != negated }
            case .begin: return starts.intersection([0])
            case .end: return starts.intersection([text.count])
            case .sequence(let parts): return parts.reduce(starts) { $1.ends(text, $0) }
            case .choice(let branches): return branches.reduce(into: []) { $0.formUnion($1.ends(text, starts)) }
            case .repeated(let tree, let low, let high):
                var current = (0..<low).reduce(starts) { places, _ in tree.ends(text, places) }
                var all = current
                for _ in low..<(high ?? low + text.count + 1) {
                    current = tree.ends(text, current)
                    all.formUnion(current)
                }
                return all
            }
        }
    }

    static let alphabet = Array("ab.".utf8)

    static func tree(_ random: inout Seeded, _ depth: Int) -> Tree {
        let pick = { (count: Int, random: inout Seeded) in Int(random.next() % UInt64(count)) }
        switch pick(depth == 0 ? 7 : 12, &random) {
        case 0...2: return .literal(alphabet[pick(3, &random)])
        case 3: return .any
        case 4: return .set([alphabet[pick(3, &random)], alphabet[pick(3, &random)]], negated: pick(2, &random) == 0)
        case 5: return pick(3, &random) == 0 ? .begin : .literal(alphabet[0])
        case 6: return pick(3, &random) == 0 ? .end : pick(4, &random) == 0 ? .empty : .literal(alphabet[1])
        case 7, 8: return .sequence((0...pick(3, &random)).map { _ in tree(&random, depth - 1) })
        case 9: return .choice((0...pick(3, &random)).map { _ in tree(&random, depth - 1) })
        default:
            let low = pick(3, &random)
            let high: Int? = pick(2, &random) == 0 ? nil : low + pick(3, &random)
            return .repeated(tree(&random, depth - 1), low, high)
        }
    }

    @Test func agreesWithReference() throws {
        let seed = UInt64(20_261_125)
        print("seed \(seed)")
        var random = Seeded(state: seed)
        var found = 0
        for _ in 0..<1_500 {
            let tree = Self.tree(&random, 3)
            if let reason = Self.refusal(tree.text)?.reason, reason.hasPrefix("too complex") { continue }
            let pattern = try Pattern(tree.text)
            for _ in 0..<12 {
                let text = (0...Int(random.next() % 8)).map { _ in Self.alphabet[Int(random.next() % 3)] }
                let expected = !tree.ends(text, Set(0...text.count)).isEmpty
                if expected { found += 1 }
                let agrees = pattern.matches(text) == expected
                #expect(agrees, "/\(tree.text)/ on '\(String(decoding: text, as: UTF8.self))', expected \(expected)")
                if !agrees { return }
            }
        }
        #expect(found > 1_000)
    }

    @Test(arguments: [
        ("^ad[0-9]+[.]", "ad7.example", true), ("^ad[0-9]+[.]", "x.ad7.example", false),
        ("(^|[.])track(er|ing)?[.]", "a.tracking.example", true),
        ("(^|[.])track(er|ing)?[.]", "backtrack.example", false),
        ("ADS", "ads.example", true), ("(?i)Ads", "ads.example", true), (#"\d{3}\.example$"#, "a123.example", true),
        (#"\d{3}\.example$"#, "a12.example", false), ("[[:digit:]]-[^a-y]", "x1-z", true), ("a.*?b", "xaccb", true),
    ])
    func findsInNames(_ pattern: String, _ name: String, _ expected: Bool) throws {
        #expect(try Pattern(pattern).matches(name.utf8) == expected)
    }

    @Test(arguments: [
        ("", 0), ("a(b", 1), ("a)", 1), ("[a", 0), ("*a", 0), ("a{3,1}", 1), ("(?=a)", 0), (#"(a)\1"#, 3), ("[z-a]", 1),
        ("ü", 0),
    ])
    func refusesWithThePlace(_ pattern: String, _ place: Int) {
        #expect(Self.refusal(pattern)?.place == place)
        #expect(Self.refusal(pattern)?.reason.isEmpty == false)
    }

    /// Why a pattern is refused; nil when it is taken.
    static func refusal(_ text: String) -> (place: Int, reason: String)? {
        do {
            _ = try Pattern(text)
            return nil
        } catch {
            if case .badPattern(let shown, let place, let reason) = error, shown == text { return (place, reason) }
            return (-1, "\(error)")
        }
    }

    @Test func refusesWhatWouldExplode() {
        #expect(throws: BlocklistError.self) { try Pattern("(a|b)*a(a|b){40}") }
    }
}
