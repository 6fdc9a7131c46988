/// Zone text line by line: puts together what parentheses hold over several lines, takes comments off, follows `$ORIGIN`
/// and `$TTL` (RFC 1035 section 5.1, RFC 2308 section 4). A record that is broken does not disturb the next.
struct ZoneText {
    /// The longest record, in bytes of text, and in lines.
    private static let longest = 65_536
    private static let mostLines = 64

    let context = ZoneContext()
    /// What an open parenthesis holds so far.
    private var open: [UInt8] = []
    private var openLines = 0

    /// What a line brought: a record, a reason why there is none, or both, when the line shows that the one before it was
    /// never closed.
    struct Found {
        var record: ZoneRecord?
        var problem: LineProblem?
    }

    mutating func take(_ line: Span<UInt8>) -> Found {
        if openLines > 0 { return takeMore(line) }
        var text: [UInt8] = []
        let depth = ZoneText.clean(line, depth: 0, into: &text)
        guard let depth else { return Found(problem: .zoneRecord("a ')' without its '('")) }
        if text.allSatisfy(Words.blank) { return Found() }
        if text[0] == UInt8(ascii: "$") { return directive(text) }
        guard depth == 0 else {
            open = text
            openLines = 1
            openDepth = depth
            return Found()
        }
        return parse(text)
    }

    private var openDepth = 0

    private mutating func takeMore(_ line: Span<UInt8>) -> Found {
        var text: [UInt8] = []
        let depth = ZoneText.clean(line, depth: openDepth, into: &text)
        // A line that is a record by itself begins one: the parenthesis before it was a mistake.
        if let first = text.first, !Words.blank(first), depth == openDepth,
            case .success(let record) = context.parse(text)
        {
            close()
            return Found(record: record, problem: .zoneRecord("a '(' that is not closed"))
        }
        openLines += 1
        guard let depth, openLines <= ZoneText.mostLines, open.count + text.count <= ZoneText.longest else {
            close()
            return Found(problem: .zoneRecord("a '(' that is not closed"))
        }
        open.append(0x20)
        open += text
        openDepth = depth
        guard depth == 0 else { return Found() }
        let whole = open
        close()
        return parse(whole)
    }

    /// At the end of the text.
    mutating func finish() -> LineProblem? {
        guard openLines > 0 else { return nil }
        close()
        return .zoneRecord("a '(' that is not closed")
    }

    private mutating func close() {
        open = []
        openLines = 0
        openDepth = 0
    }

    private func parse(_ text: [UInt8]) -> Found {
        switch context.parse(text) {
        case .success(let record): Found(record: record)
        case .failure(let problem): Found(problem: problem)
        }
    }

    private func directive(_ text: [UInt8]) -> Found {
        let words = text.split { Words.blank($0) }.map { String(decoding: $0, as: UTF8.self) }
        switch words[0].uppercased() {
        case "$ORIGIN":
            guard words.count == 2, context.setOrigin(words[1]) else {
                return Found(problem: .zoneRecord("'$ORIGIN' needs a name"))
            }
        case "$TTL":
            guard words.count == 2, context.setTTL(words[1]) else {
                return Found(problem: .zoneRecord("'$TTL' needs a time"))
            }
        default:
            return Found(problem: .zoneRecord("'\(words[0].prefix(20))' is not supported; only $ORIGIN and $TTL are"))
        }
        return Found()
    }

    /// Appends a line without its comment and its parentheses.
    ///
    /// - Returns: how many parentheses are open behind it; nil when one closes that was not open.
    private static func clean(_ line: Span<UInt8>, depth: Int, into text: inout [UInt8]) -> Int? {
        var depth = depth
        var isQuoted = false
        var isEscaped = false
        for index in line.indices {
            let byte = line[index]
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if !isQuoted {
                switch byte {
                case UInt8(ascii: ";"): return depth
                case UInt8(ascii: "("):
                    depth += 1
                    text.append(0x20)
                    continue
                case UInt8(ascii: ")"):
                    depth -= 1
                    guard depth >= 0 else { return nil }
                    text.append(0x20)
                    continue
                default: break
                }
            }
            text.append(byte)
        }
        return depth
    }
}

extension ZoneContext {
    func parse(_ text: [UInt8]) -> Result<ZoneRecord, LineProblem> {
        guard let text = String(validating: text, as: UTF8.self) else { return .failure(.notUTF8) }
        return parse(text)
    }
}
