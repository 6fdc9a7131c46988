/// Makes a deterministic automaton of a pattern's positions: a state is the set of positions taken so far, and since a
/// pattern may begin anywhere, its first positions may follow in every state.
struct PatternAutomaton {
    static let mostStates = 8_000

    private let positions: PatternPositions
    private(set) var classes = [UInt8](repeating: 0, count: 256)
    private(set) var classCount = 0
    private(set) var start: UInt16 = 0
    private(set) var table: [UInt16] = []

    /// For each class (then: end of text) the positions that take it.
    private var takes: [Set<Int>] = []
    private var states: [Set<Int>: UInt16] = [:]
    private var pending: [Set<Int>] = []

    init(_ positions: PatternPositions) {
        self.positions = positions
    }

    /// Returns false when there would be too many states.
    mutating func build() -> Bool {
        divideBytes()
        let begun = closure([], positionsTaking(.begin))
        guard let first = number(begun) else { return false }
        start = positions.nullable ? Pattern.accept : first
        var done = 0
        while done < pending.count {
            let state = pending[done]
            let base = table.count
            table += [UInt16](repeating: 0, count: classCount + 1)
            for column in 0...classCount {
                let reached =
                    column == classCount ? closure(state, takes[column]) : next(state, takes[column])
                guard let target = number(reached) else { return false }
                table[base + column] = target
            }
            done += 1
        }
        markDead()
        return true
    }

    private func positionsTaking(_ symbol: PatternPositions.Symbol) -> Set<Int> {
        Set(positions.symbols.indices.filter { positions.symbols[$0] == symbol })
    }

    private func next(_ state: Set<Int>, _ taking: Set<Int>) -> Set<Int> {
        var result = positions.first.intersection(taking)
        for position in state { result.formUnion(positions.follow[position].intersection(taking)) }
        return result
    }

    /// What is reached by the begin of the text, or its end, taken once or several times: `^^` says no more than `^`.
    private func closure(_ state: Set<Int>, _ taking: Set<Int>) -> Set<Int> {
        var result = next(state, taking)
        while true {
            let further = result.union(next(result, taking))
            if further == result { return result }
            result = further
        }
    }

    /// The number of a state, new or known.
    private mutating func number(_ state: Set<Int>) -> UInt16? {
        if !state.isDisjoint(with: positions.last) { return Pattern.accept }
        if let known = states[state] { return known }
        guard states.count < PatternAutomaton.mostStates else { return nil }
        let number = UInt16(states.count)
        states[state] = number
        pending.append(state)
        return number
    }

    /// Puts bytes that every position treats alike into one class.
    private mutating func divideBytes() {
        let sets: [ByteSet] = Array(
            Set(
                positions.symbols.compactMap { symbol in
                    if case .bytes(let set) = symbol { set } else { nil }
                }))
        var known: [[Bool]: UInt8] = [:]
        var examples: [UInt8] = []
        for byte in UInt8.min...UInt8.max {
            let signature = sets.map { $0.contains(byte) }
            if let number = known[signature] {
                classes[Int(byte)] = number
            } else {
                classes[Int(byte)] = UInt8(known.count)
                known[signature] = UInt8(known.count)
                examples.append(byte)
            }
        }
        classCount = examples.count
        takes = examples.map { example in
            Set(
                positions.symbols.indices.filter { index in
                    if case .bytes(let set) = positions.symbols[index] { set.contains(example) } else { false }
                })
        }
        takes.append(positionsTaking(.end))
    }

    /// States that lead to themselves alone cannot match any more.
    private mutating func markDead() {
        let width = classCount + 1
        for state in pending.indices {
            let row = table[state * width..<(state + 1) * width]
            guard row.allSatisfy({ $0 == UInt16(state) }) else { continue }
            for index in table.indices where table[index] == UInt16(state) { table[index] = Pattern.dead }
            if start == UInt16(state) { start = Pattern.dead }
        }
    }
}
