/// A regular expression on names, compiled to a deterministic automaton: a match takes one table look-up a byte,
/// whatever the pattern.
///
/// It is searched for anywhere in the name's text (lower case, A-labels, no last dot) unless `^` or `$` tie it. The
/// automaton's size is bounded: a pattern that needs more is refused when the rule is made. Immutable; any thread.
struct Pattern: Sendable {
    /// The name matches, whatever follows.
    static let accept: UInt16 = 0xFFFF
    /// The name cannot match any more.
    static let dead: UInt16 = 0xFFFE

    /// The class of each byte.
    let classes: [UInt8]
    /// Byte classes; the column after them is the end of the name.
    let classCount: Int
    /// The state at the first byte.
    let start: UInt16
    /// For each state a row of next states, by class, and one for the end.
    let table: [UInt16]
    /// Strings of which every name that matches holds one at least; empty when nothing can be said.
    let literals: [[UInt8]]

    /// - Parameter stateLimit: refuses a pattern whose automaton needs more states.
    /// - Throws: `BlocklistError.badPattern`.
    init(_ text: String, stateLimit: Int = PatternAutomaton.mostStates) throws(BlocklistError) {
        let node = try PatternParser.parse(text)
        let positions = try PatternPositions(node, text)
        var automaton = PatternAutomaton(positions, stateLimit: stateLimit)
        guard automaton.build() else {
            throw .badPattern(text, 0, "too complex: it needs more than \(stateLimit) states")
        }
        classes = automaton.classes
        classCount = automaton.classCount
        start = automaton.start
        table = automaton.table
        literals = PatternLiterals.required(node)
    }

    /// Bytes of the classes and the table.
    var byteCount: Int { 256 + table.count * 2 }

    /// Whether the pattern is found in a text.
    func matches(_ text: some Sequence<UInt8>) -> Bool {
        var state = start
        for byte in text {
            if state >= Pattern.dead { break }
            state = table[Int(state) * (classCount + 1) + Int(classes[Int(byte)])]
        }
        if state < Pattern.dead { state = table[Int(state) * (classCount + 1) + classCount] }
        return state == Pattern.accept
    }
}
