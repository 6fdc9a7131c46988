/// The positions of a pattern (Glushkov's construction): each place where it takes a symbol, which symbols it takes
/// there, and which positions may follow.
///
/// The symbols are bytes, the begin of the text and its end: `^` and `$` take the latter two.
struct PatternPositions {
    static let most = 2_000

    enum Symbol: Hashable {
        case bytes(ByteSet)
        case begin
        case end
    }

    private(set) var symbols: [Symbol] = []
    private(set) var follow: [PlaceSet] = []
    /// Positions that can come first.
    private(set) var first = PlaceSet()
    /// Positions that can come last.
    private(set) var last = PlaceSet()
    /// Whether the pattern matches nothing at all, and so everything.
    private(set) var nullable = false

    private let text: String

    init(_ node: PatternNode, _ text: String) throws(BlocklistError) {
        self.text = text
        let part = try add(node)
        first = part.first
        last = part.last
        nullable = part.nullable
    }

    private struct Part {
        var nullable: Bool
        var first = PlaceSet()
        var last = PlaceSet()
    }

    private mutating func add(_ node: PatternNode) throws(BlocklistError) -> Part {
        switch node {
        case .empty: return Part(nullable: true)
        case .set(let set): return try position(.bytes(set))
        case .begin: return try position(.begin)
        case .end: return try position(.end)
        case .sequence(let nodes):
            var whole = Part(nullable: true)
            for node in nodes { whole = join(whole, try add(node)) }
            return whole
        case .choice(let nodes):
            var whole = Part(nullable: false)
            for node in nodes {
                let part = try add(node)
                whole.nullable = whole.nullable || part.nullable
                whole.first.formUnion(part.first)
                whole.last.formUnion(part.last)
            }
            return whole
        case .repeated(let node, let low, let high):
            var whole = Part(nullable: true)
            for _ in 0..<low { whole = join(whole, try add(node)) }
            guard let high else {
                var loop = try add(node)
                loop.last.forEach { follow[$0].formUnion(loop.first) }
                loop.nullable = true
                return join(whole, loop)
            }
            for _ in low..<high {
                var optional = try add(node)
                optional.nullable = true
                whole = join(whole, optional)
            }
            return whole
        }
    }

    private mutating func position(_ symbol: Symbol) throws(BlocklistError) -> Part {
        guard symbols.count < PatternPositions.most else {
            throw .badPattern(text, 0, "too long: more than \(PatternPositions.most) places with its repetitions")
        }
        symbols.append(symbol)
        follow.append(PlaceSet())
        return Part(nullable: false, first: PlaceSet(symbols.count - 1), last: PlaceSet(symbols.count - 1))
    }

    private mutating func join(_ a: Part, _ b: Part) -> Part {
        a.last.forEach { follow[$0].formUnion(b.first) }
        return Part(
            nullable: a.nullable && b.nullable, first: a.nullable ? a.first.union(b.first) : a.first,
            last: b.nullable ? a.last.union(b.last) : b.last)
    }
}
