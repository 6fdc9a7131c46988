/// Makes a deterministic automaton of a pattern's positions: a state is the set of positions taken so far, and since a
/// pattern may begin anywhere, its first positions may follow in every state.
struct PatternAutomaton {
    static let mostStates = 8_000

    private let positions: PatternPositions
    private let stateLimit: Int
    private(set) var classes = [UInt8](repeating: 0, count: 256)
    private(set) var classCount = 0
    private(set) var start: UInt16 = 0
    private(set) var table: [UInt16] = []

    /// Words of 64 positions in a set.
    private let width: Int
    /// For each class (then: end of text) the positions that take it, and those that take the text's begin; `width` words each.
    private var takes: [UInt64] = []
    private var begins: [UInt64] = []
    /// What may follow each position, and what may come first and last; `width` words each.
    private var follow: [UInt64] = []
    private var first: [UInt64] = []
    private var last: [UInt64] = []
    /// The positions of each state, `width` words each, and their numbers.
    private var states: [UInt64] = []
    private var numbers: [[UInt64]: UInt16] = [:]

    init(_ positions: PatternPositions, stateLimit: Int = mostStates) {
        self.positions = positions
        self.stateLimit = stateLimit
        width = max(1, (positions.symbols.count + 63) / 64)
    }

    /// Returns false when there would be too many states.
    mutating func build() -> Bool {
        divideBytes()
        for set in positions.follow { append(set, &follow) }
        append(positions.first, &first)
        append(positions.last, &last)
        let empty = [UInt64](repeating: 0, count: width)
        guard let beginning = number(closure(empty[...], begins[...])) else { return false }
        start = positions.nullable ? Pattern.accept : beginning
        var done = 0
        while done < numbers.count {
            let reached = following(states[done * width..<(done + 1) * width])
            for column in 0..<classCount {
                guard let target = number(taken(reached, takes[column * width..<(column + 1) * width])) else {
                    return false
                }
                table.append(target)
            }
            let ends = takes[classCount * width..<(classCount + 1) * width]
            guard let target = number(closure(states[done * width..<(done + 1) * width], ends)) else { return false }
            table.append(target)
            done += 1
        }
        markDead()
        return true
    }

    private func append(_ set: PlaceSet, _ words: inout [UInt64]) {
        words += set.words.prefix(width)
        words += repeatElement(0, count: width - min(width, set.words.count))
    }

    private func positionsTaking(_ takes: (PatternPositions.Symbol) -> Bool) -> PlaceSet {
        var set = PlaceSet()
        for (place, symbol) in positions.symbols.enumerated() where takes(symbol) { set.insert(place) }
        return set
    }

    /// The positions that may come after a state, whatever the next byte.
    private func following(_ state: ArraySlice<UInt64>) -> [UInt64] {
        var result = first
        for (index, word) in state.enumerated() {
            var word = word
            while word != 0 {
                let base = (index << 6 | word.trailingZeroBitCount) * width
                for offset in 0..<width { result[offset] |= follow[base + offset] }
                word &= word - 1
            }
        }
        return result
    }

    private func taken(_ reached: [UInt64], _ taking: ArraySlice<UInt64>) -> [UInt64] {
        var result = reached
        for offset in 0..<width { result[offset] &= taking[taking.startIndex + offset] }
        return result
    }

    /// What is reached by the begin of the text, or its end, taken once or several times: `^^` says no more than `^`.
    private func closure(_ state: ArraySlice<UInt64>, _ taking: ArraySlice<UInt64>) -> [UInt64] {
        var result = taken(following(state), taking)
        while true {
            let more = taken(following(result[...]), taking)
            var further = result
            for offset in 0..<width { further[offset] |= more[offset] }
            if further == result { return result }
            result = further
        }
    }

    /// The number of a state, new or known.
    private mutating func number(_ state: [UInt64]) -> UInt16? {
        for offset in 0..<width where state[offset] & last[offset] != 0 { return Pattern.accept }
        if let known = numbers[state] { return known }
        guard numbers.count < stateLimit else { return nil }
        let number = UInt16(numbers.count)
        numbers[state] = number
        states += state
        return number
    }

    /// Puts bytes that every position treats alike into one class.
    private mutating func divideBytes() {
        var sets: [ByteSet] = []
        var seen: Set<ByteSet> = []
        for case .bytes(let set) in positions.symbols where seen.insert(set).inserted { sets.append(set) }
        var examples: [UInt8] = [0]
        // Each set divides the classes so far: its bytes in a class become one of their own, unless they are all of it.
        for set in sets {
            var split: [UInt8: UInt8] = [:]
            var outside: Set<UInt8> = []
            for byte in UInt8.min...UInt8.max where !set.contains(byte) { outside.insert(classes[Int(byte)]) }
            for byte in UInt8.min...UInt8.max where set.contains(byte) && outside.contains(classes[Int(byte)]) {
                let old = classes[Int(byte)]
                if let new = split[old] {
                    classes[Int(byte)] = new
                } else {
                    split[old] = UInt8(examples.count)
                    classes[Int(byte)] = UInt8(examples.count)
                    examples.append(byte)
                }
            }
        }
        classCount = examples.count
        // The byte that stood for a class may have gone to another.
        for byte in UInt8.min...UInt8.max { examples[Int(classes[Int(byte)])] = byte }
        for example in examples {
            append(positionsTaking { if case .bytes(let set) = $0 { set.contains(example) } else { false } }, &takes)
        }
        append(positionsTaking { $0 == .end }, &takes)
        append(positionsTaking { $0 == .begin }, &begins)
    }

    /// States that lead to themselves alone cannot match any more.
    private mutating func markDead() {
        let columns = classCount + 1
        for state in 0..<numbers.count {
            let row = table[state * columns..<(state + 1) * columns]
            guard row.allSatisfy({ $0 == UInt16(state) }) else { continue }
            for index in table.indices where table[index] == UInt16(state) { table[index] = Pattern.dead }
            if start == UInt16(state) { start = Pattern.dead }
        }
    }
}
