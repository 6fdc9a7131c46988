/// Lines of one name each; `*.name` is the same as the name, which stands for all below it as well. `#` begins a comment; lines that begin with `!`, `;` or `//` are comments too.
struct DomainsParser: LineParser {
    private var name = NameText()

    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        var words = Words(line)
        guard let word = words.next() else { return }
        let token = line.extracting(word)
        if token[0] == UInt8(ascii: "!") || token[0] == UInt8(ascii: ";") { return }
        if token.count >= 2 && token[0] == UInt8(ascii: "/") && token[1] == UInt8(ascii: "/") { return }
        if words.next() != nil { return sink.refuse(.severalNames) }
        let text = token.starts("*.") ? token.extracting(droppingFirst: 2) : token
        if let problem = name.parse(text) { return sink.refuse(.name(problem)) }
        sink.entry(name, [], nil)
    }
}
