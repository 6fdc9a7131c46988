/// What the patterns of one list may cost together: so a list can neither fill the memory nor slow the queries it does not speak
/// of, whatever its patterns are.
struct PatternBudget {
    /// States of one pattern's automaton.
    static let states = 1_000
    /// Patterns of a list.
    static let patterns = 65_536
    /// Bytes of the automata of a list.
    static let bytes = 64 << 20
    /// Patterns without a string of three bytes that a name must hold: every query is put to each of these.
    static let unfiltered = 100
    /// Refused for their size: making an automaton up to the limit takes milliseconds, so there is an end to it.
    static let tooComplex = 200

    private var patternsLeft = patterns
    private var bytesLeft = bytes
    private var unfilteredLeft = unfiltered
    private var tooComplexLeft = tooComplex

    /// Takes a pattern.
    ///
    /// - Returns: why it is not taken, or nil.
    mutating func take(_ text: String) -> String? {
        guard patternsLeft > 0 else { return "more than \(PatternBudget.patterns) patterns in the list" }
        guard tooComplexLeft > 0 else {
            return "more than \(PatternBudget.tooComplex) patterns before it were too complex"
        }
        guard text.utf8.count <= 2_000 else { return "a pattern of more than 2000 bytes" }
        let pattern: Pattern
        do {
            pattern = try Pattern(text, stateLimit: PatternBudget.states)
        } catch {
            guard case .badPattern(_, let place, let reason) = error else { return "\(error)" }
            if reason.hasPrefix("too ") { tooComplexLeft -= 1 }
            return "/\(text.prefix(200))/, character \(place + 1): \(reason)"
        }
        guard pattern.byteCount <= bytesLeft else {
            return "the list's patterns take more than \(PatternBudget.bytes >> 20) MiB"
        }
        if pattern.literals.isEmpty {
            guard unfilteredLeft > 0 else {
                return "more than \(PatternBudget.unfiltered) patterns without three fixed characters in a row, "
                    + "which every query has to be put to"
            }
            unfilteredLeft -= 1
        }
        patternsLeft -= 1
        bytesLeft -= pattern.byteCount
        return nil
    }
}
