/// Finds strings of which a text must hold one for a pattern to match.
///
/// Every part of a pattern says which texts it can be, while they are few (`exact`), and which strings it needs whatever it is.
/// Parts that stand one behind the other join their texts; a branch needs a string of each of its sides.
enum PatternLiterals {
    /// Shorter strings choose nothing.
    static let shortest = 3
    private static let longest = 32
    private static let most = 16

    /// The strings, all of `shortest` bytes or more; empty when there are none.
    static func required(_ node: PatternNode) -> [[UInt8]] {
        part(node).best
    }

    private struct Part {
        /// The texts that it can be; nil: too many to say.
        var exact: [[UInt8]]?
        /// A set of strings of which one is needed; empty: none is known.
        var needed: [[UInt8]] = []

        /// The better of both.
        var best: [[UInt8]] {
            guard let exact, PatternLiterals.worth(exact) > PatternLiterals.worth(needed) else { return needed }
            return exact
        }
    }

    /// How well a set chooses: the length of its shortest string, then how few there are.
    private static func worth(_ strings: [[UInt8]]) -> Int {
        guard let least = strings.map(\.count).min(), least >= shortest else { return 0 }
        return min(least, longest) * 64 - strings.count
    }

    private static func part(_ node: PatternNode) -> Part {
        switch node {
        case .empty, .begin, .end: return Part(exact: [[]])
        case .set(let set): return Part(exact: bytes(of: set).map { $0.map { [$0] } })
        case .sequence(let nodes): return sequence(nodes.map(part))
        case .choice(let nodes):
            let parts = nodes.map(part)
            var whole = Part(exact: [])
            for part in parts {
                whole.exact = part.exact.flatMap { more in whole.exact.map { $0 + more.filter { !$0.isEmpty } } }
                if part.exact?.contains([]) == true { whole.exact?.append([]) }
            }
            if let exact = whole.exact, exact.count > most { whole.exact = nil }
            let needs = parts.map(\.best)
            if !needs.contains(where: \.isEmpty), needs.reduce(0, { $0 + $1.count }) <= most {
                whole.needed = needs.flatMap { $0 }
            }
            return whole
        case .repeated(let node, let low, let high):
            let inner = part(node)
            if low == 1 && high == 1 { return inner }
            if low == 0 {
                guard high == 1, let exact = inner.exact, exact.count < most else { return Part(exact: nil) }
                return Part(exact: exact + [[]])
            }
            // Once for certain, then who knows what; a fixed number of times is as many parts.
            if low == high, low <= 8 { return sequence([Part](repeating: inner, count: low)) }
            return Part(exact: nil, needed: inner.best)
        }
    }

    private static func sequence(_ parts: [Part]) -> Part {
        var whole = Part(exact: [[]])
        /// The texts since the last part that could be anything.
        var run: [[UInt8]] = [[]]
        func consider(_ strings: [[UInt8]]) {
            if worth(strings) > worth(whole.needed) { whole.needed = strings }
        }
        for part in parts {
            if let exact = part.exact, run.count * exact.count <= most,
                run.allSatisfy({ $0.count <= longest })
            {
                run = run.flatMap { head in exact.map { head + $0 } }
            } else {
                consider(run)
                consider(part.needed)
                whole.exact = nil
                run = part.exact.map { $0.count <= most ? $0 : [[]] } ?? [[]]
            }
        }
        consider(run)
        if whole.exact != nil { whole.exact = run }
        return whole
    }

    /// The bytes of a set, capitals aside, which no name has; nil when there are more than four.
    private static func bytes(of set: ByteSet) -> [UInt8]? {
        var bytes: [UInt8] = []
        for byte in UInt8.min...UInt8.max where set.contains(byte) && !(0x41...0x5A ~= byte) {
            guard bytes.count < 4 else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}
