/// What the part of an adblock rule before its modifiers stands for.
///
/// `||` begins a label of the name, `|` the name's begin or end, `^` (a separator) its end, `*` any run of characters.
/// Without an anchor a pattern is found anywhere in a name.
enum AdblockPattern {
    enum Shape: Equatable {
        /// A name in a part of the body.
        case name(Range<Int>, EntryKind)
        /// A regular expression with the same meaning.
        case expression(String)
        /// Every name there is.
        case every
        /// Something about URLs.
        case network
        case refused(LineProblem)
    }

    /// The regular expression that every name fits.
    static let every = "^"

    /// Whether a rule, `@@` in front of it or not, is a regular expression between slashes, with modifiers or without.
    static func isExpression(_ rule: Span<UInt8>) -> Bool {
        let start = rule.starts("@@") ? 2 : 0
        guard rule.count > start + 2, rule[start] == UInt8(ascii: "/") else { return false }
        if rule[rule.count - 1] == UInt8(ascii: "/") { return true }
        var index = rule.count - 1
        while index > start + 2 {
            if rule[index] == UInt8(ascii: "$"), rule[index - 1] == UInt8(ascii: "/") { return true }
            index -= 1
        }
        return false
    }

    static func shape(_ body: Span<UInt8>) -> Shape {
        var start = 0
        var end = body.count
        var isLabel = false
        var isBegin = false
        var isEnd = false
        if body.starts("||") {
            isLabel = true
            start = 2
        } else if body.starts("|") {
            isBegin = true
            start = 1
            if let scheme = scheme(body.extracting(droppingFirst: 1)) { start += scheme }
        } else if body.starts("://") {
            isBegin = true
            start = 3
        }
        while end > start, let last = body.extracting(start..<end).last,
            last == UInt8(ascii: "^") || last == UInt8(ascii: "|")
        {
            isEnd = true
            end -= 1
        }
        let token = body.extracting(start..<end)
        if token.contains(UInt8(ascii: "/")) || token.contains(UInt8(ascii: "?")) { return .network }
        if token.isEmpty { return isLabel || isBegin || isEnd ? .every : .refused(.noName) }
        if (0..<token.count).allSatisfy({ token[$0] == UInt8(ascii: "*") }) { return .every }
        // `*.name` is how lists of wildcards write a name and all below it; of these anchors it is what is below.
        let isBelow = isLabel && token.starts("*.")
        let name = isBelow || !isBegin && !isEnd && token.starts("*.") ? start + 2..<end : start..<end
        let isPlain = !body.extracting(name).contains(UInt8(ascii: "*")) && !token.contains(UInt8(ascii: "^"))
        if isPlain {
            if isLabel { return .name(name, isBelow ? .below : []) }
            if isBegin && isEnd || isBegin && !token.starts("*") { return .name(name, .exact) }
            // Without an anchor a separator ends a name that begins anywhere; a plain name stands for itself.
            if !isBegin && !isEnd { return .name(name, []) }
        }
        return expression(token, isLabel: isLabel, isBegin: isBegin, isEnd: isEnd)
    }

    private static func expression(_ token: Span<UInt8>, isLabel: Bool, isBegin: Bool, isEnd: Bool) -> Shape {
        var text = isLabel ? #"(^|\.)"# : isBegin ? "^" : ""
        for index in token.indices {
            let byte = token[index]
            switch byte {
            case UInt8(ascii: "*"):
                // At an open end any run of characters says nothing.
                let isOpen = index == 0 && text.isEmpty || index == token.count - 1 && !isEnd
                if !isOpen && !text.hasSuffix(".*") { text += ".*" }
            case UInt8(ascii: "^"):
                return .refused(.option("a separator '^' within a name, which no name has"))
            case UInt8(ascii: "."): text += #"\."#
            default:
                let lower = byte &- 0x41 < 26 ? byte | 0x20 : byte
                guard NameBytes.symbol(lower) != 0 else {
                    return .refused(.name(byte < 0x80 ? .badCharacter(byte) : .notUTF8))
                }
                text.unicodeScalars.append(Unicode.Scalar(lower))
            }
        }
        if isEnd { text += "$" }
        return text.isEmpty ? .every : .expression(text)
    }

    /// How many bytes a scheme such as `https://` takes in front; nil without.
    private static func scheme(_ token: Span<UInt8>) -> Int? {
        var index = 0
        while index + 2 < token.count && index < 8 {
            if token[index] == UInt8(ascii: ":"), token[index + 1] == UInt8(ascii: "/"),
                token[index + 2] == UInt8(ascii: "/")
            {
                return index + 3
            }
            index += 1
        }
        return nil
    }
}
