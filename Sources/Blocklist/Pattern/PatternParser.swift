/// A regular expression as a tree.
indirect enum PatternNode: Equatable {
    case empty
    case set(ByteSet)
    /// `^`
    case begin
    /// `$`
    case end
    case sequence([PatternNode])
    case choice([PatternNode])
    /// At least `low` times, at most `high` (nil: any number).
    case repeated(PatternNode, low: Int, high: Int?)
}

/// Reads the syntax of regular expressions: literals, `.`, `[…]` with ranges, `^` and `[:class:]`, `\d \w \s` and their
/// capitals, escaped punctuation, `( )`, `(?: )`, `|`, `* + ? {m} {m,} {m,n}`, `^` and `$` (POSIX extended regular
/// expressions, IEEE 1003.1 chapter 9, with RE2's shorthands). Back-references and look-around do not exist.
struct PatternParser {
    private static let deepest = 100
    private static let mostRepeats = 255

    private let text: String
    private let bytes: [UInt8]
    private var at = 0
    private var depth = 0

    /// - Throws: `BlocklistError.badPattern` with the place and the reason.
    static func parse(_ text: String) throws(BlocklistError) -> PatternNode {
        var parser = PatternParser(text)
        if let place = parser.bytes.firstIndex(where: { $0 >= 0x80 }) {
            throw .badPattern(text, place, "not ASCII (names are matched as A-labels, xn--…)")
        }
        if let place = parser.bytes.firstIndex(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw .badPattern(text, place, "a control character")
        }
        guard !parser.bytes.isEmpty else { throw .badPattern(text, 0, "an empty pattern matches every name") }
        // Names are matched in lower case anyway.
        if parser.rest.starts(with: "(?i)".utf8) { parser.at = 4 }
        let node = try parser.choice()
        guard parser.at == parser.bytes.count else { throw parser.error("')' without '('") }
        return node
    }

    private init(_ text: String) {
        self.text = text
        bytes = Array(text.utf8)
    }

    private var rest: ArraySlice<UInt8> { bytes[at...] }
    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func error(_ reason: String, at place: Int? = nil) -> BlocklistError {
        .badPattern(text, place ?? at, reason)
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: byte) else { return false }
        at += 1
        return true
    }

    private mutating func choice() throws(BlocklistError) -> PatternNode {
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence() throws(BlocklistError) -> PatternNode {
        var parts: [PatternNode] = []
        while let byte = peek, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            parts.append(try quantified())
        }
        return parts.isEmpty ? .empty : parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func quantified() throws(BlocklistError) -> PatternNode {
        var node = try atom()
        while let byte = peek {
            let start = at
            switch byte {
            case UInt8(ascii: "*"): node = .repeated(node, low: 0, high: nil)
            case UInt8(ascii: "+"): node = .repeated(node, low: 1, high: nil)
            case UInt8(ascii: "?"): node = .repeated(node, low: 0, high: 1)
            case UInt8(ascii: "{"):
                let (low, high) = try bounds()
                node = .repeated(node, low: low, high: high)
                at -= 1
            default: return node
            }
            at += 1
            // A lazy quantifier finds the same names as a greedy one.
            if byte != UInt8(ascii: "?") || start + 1 == at { _ = take("?") }
        }
        return node
    }

    /// `{m}`, `{m,}` or `{m,n}`; the place is then behind it.
    private mutating func bounds() throws(BlocklistError) -> (Int, Int?) {
        let start = at
        at += 1
        guard let low = try number() else {
            throw error("'{' begins a repetition such as {2,5}; write \\{ for itself", at: start)
        }
        var high: Int? = low
        if take(",") { high = try number() }
        guard take("}") else { throw error("'}' is missing after a repetition") }
        if let high, high < low { throw error("the repetition {\(low),\(high)} runs backwards", at: start) }
        return (low, high)
    }

    private mutating func number() throws(BlocklistError) -> Int? {
        var value: Int?
        while let byte = peek, byte &- 0x30 < 10 {
            value = (value ?? 0) * 10 + Int(byte - 0x30)
            guard value! <= PatternParser.mostRepeats else {
                throw error("more than \(PatternParser.mostRepeats) repetitions")
            }
            at += 1
        }
        return value
    }

    private mutating func atom() throws(BlocklistError) -> PatternNode {
        let start = at
        at += 1
        switch bytes[start] {
        case UInt8(ascii: "("):
            depth += 1
            guard depth <= PatternParser.deepest else { throw error("nested too deeply", at: start) }
            if take("?") && !take(":") {
                throw error("groups are ( ) or (?: ); look-around and flags are not supported", at: start)
            }
            let node = try choice()
            guard take(")") else { throw error("')' is missing for this '('", at: start) }
            depth -= 1
            return node
        case UInt8(ascii: "["): return .set(try bracket(start))
        case UInt8(ascii: "\\"): return .set(try escape(start))
        case UInt8(ascii: "."): return .set(ByteSet().inverted)
        case UInt8(ascii: "^"): return .begin
        case UInt8(ascii: "$"): return .end
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"):
            throw error("'\(Character(Unicode.Scalar(bytes[start])))' has nothing to repeat", at: start)
        case let byte: return .set(ByteSet(byte...byte).lowered)
        }
    }

    private mutating func escape(_ start: Int) throws(BlocklistError) -> ByteSet {
        guard let byte = peek else { throw error("'\\' at the end escapes nothing", at: start) }
        at += 1
        switch byte {
        case UInt8(ascii: "d"): return PatternParser.classes["digit"]!
        case UInt8(ascii: "D"): return PatternParser.classes["digit"]!.inverted
        case UInt8(ascii: "w"): return PatternParser.word
        case UInt8(ascii: "W"): return PatternParser.word.inverted
        case UInt8(ascii: "s"): return PatternParser.classes["space"]!
        case UInt8(ascii: "S"): return PatternParser.classes["space"]!.inverted
        case 0x30...0x39: throw error("back-references are not supported", at: start)
        case 0x61...0x7A, 0x41...0x5A:
            throw error("'\\\(Character(Unicode.Scalar(byte)))' is not supported", at: start)
        default: return ByteSet(byte...byte)
        }
    }

    private mutating func bracket(_ start: Int) throws(BlocklistError) -> ByteSet {
        let negated = take("^")
        var set = ByteSet()
        var first = true
        while true {
            guard let byte = peek else { throw error("']' is missing for this '['", at: start) }
            if byte == UInt8(ascii: "]") && !first { break }
            first = false
            if byte == UInt8(ascii: "["), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: ":") {
                set.formUnion(try namedClass())
                continue
            }
            let place = at
            at += 1
            var low = byte
            if byte == UInt8(ascii: "\\") {
                let escaped = try escape(place)
                guard let single = PatternParser.single(escaped) else {
                    set.formUnion(escaped)
                    continue
                }
                low = single
            }
            var high = low
            if peek == UInt8(ascii: "-"), at + 1 < bytes.count, bytes[at + 1] != UInt8(ascii: "]") {
                at += 1
                let place = at
                high = bytes[at]
                at += 1
                if high == UInt8(ascii: "\\") {
                    guard let single = PatternParser.single(try escape(place)) else {
                        throw error("a range ends with a class", at: place)
                    }
                    high = single
                }
            }
            guard low <= high else { throw error("the range runs backwards", at: place) }
            set.formUnion(ByteSet(low...high))
        }
        at += 1
        return negated ? set.lowered.inverted : set.lowered
    }

    private mutating func namedClass() throws(BlocklistError) -> ByteSet {
        let start = at
        at += 2
        var name = ""
        while let byte = peek, byte != UInt8(ascii: ":"), byte != UInt8(ascii: "]") {
            name.unicodeScalars.append(Unicode.Scalar(byte))
            at += 1
        }
        guard take(":"), take("]"), let set = PatternParser.classes[name] else {
            throw error("no such class: [:\(name):]", at: start)
        }
        return set
    }

    private static func single(_ set: ByteSet) -> UInt8? {
        var found: UInt8?
        for byte in UInt8.min...UInt8.max where set.contains(byte) {
            guard found == nil else { return nil }
            found = byte
        }
        return found
    }

    private static let word = ByteSet("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
    private static let classes: [String: ByteSet] = {
        let lower = ByteSet(0x61...0x7A)
        let digit = ByteSet(0x30...0x39)
        var alnum = lower.union(ByteSet(0x41...0x5A))
        let alpha = alnum
        alnum.formUnion(digit)
        return [
            "lower": lower, "upper": lower, "alpha": alpha, "digit": digit, "alnum": alnum,
            "xdigit": digit.union(ByteSet("abcdefABCDEF")), "space": ByteSet(" \t\r\n").union(ByteSet(0x0B...0x0C)),
            "blank": ByteSet(" \t"), "graph": ByteSet(0x21...0x7E), "print": ByteSet(0x20...0x7E),
            "punct": ByteSet("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
            "cntrl": ByteSet(0...0x1F).union(ByteSet(0x7F...0x7F)),
        ]
    }()
}

extension ByteSet {
    func union(_ other: ByteSet) -> ByteSet {
        var set = self
        set.formUnion(other)
        return set
    }
}
