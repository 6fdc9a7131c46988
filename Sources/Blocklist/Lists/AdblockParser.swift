/// Lines of adblock syntax, as far as they speak of whole names (AdGuard DNS filtering syntax).
///
/// | line | meaning |
/// |---|---|
/// | `||name^` | the name and all below it |
/// | `|name^`, `|https://name^|` | the name alone |
/// | `||*.name^` | what is below the name |
/// | `@@…` | the same, allowed |
/// | `name`, `0.0.0.0 name` | as in the formats `domains` and `hosts` |
/// | `…$important` | before every entry without it |
///
/// Element hiding, scripts and rules that judge parts of a URL or kinds of requests say nothing about names: skipped.
/// Rules that would need more than a name are refused, saying why.
struct AdblockParser: LineParser {
    private var name = NameText()
    private var hosts = HostsParser()

    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        var start = 0
        var end = line.count
        while start < end && Words.blank(line[start]) { start += 1 }
        while end > start && Words.blank(line[end - 1]) { end -= 1 }
        guard start < end else { return }
        let rule = line.extracting(start..<end)
        switch rule[0] {
        case UInt8(ascii: "!"), UInt8(ascii: "["): return  // comments, and the head of the file
        case UInt8(ascii: "#") where !rule.starts("##") && !rule.starts("#@#"): return
        default: break
        }
        if AdblockParser.isCosmetic(rule) { return sink.skip() }
        if rule[0] &- 0x30 <= 9 || rule[0] == UInt8(ascii: ":") {
            var words = Words(rule)
            if let first = words.next(), HostsParser.address(rule.extracting(first)) != .none, words.next() != nil {
                return hosts.parse(rule, into: &sink)
            }
        }
        takeRule(rule, &sink)
    }

    private mutating func takeRule(_ rule: Span<UInt8>, _ sink: inout some LineSink & ~Copyable) {
        var kind: EntryKind = []
        var start = 0
        var end = rule.count
        if rule.starts("@@") {
            kind.insert(.allow)
            start = 2
        }
        let isPattern = start < end && rule[start] == UInt8(ascii: "/")
        if let dollar = AdblockParser.options(rule, from: start, isPattern: isPattern) {
            var problem: LineProblem?
            var isNetwork = false
            AdblockParser.forEachOption(rule.extracting((dollar + 1)..<end)) { option in
                switch AdblockParser.meaning(option) {
                case .important: kind.insert(.important)
                case .nothing: break
                case .network: isNetwork = true
                case .unsupported: problem = .modifier(String(copying: option))
                }
            }
            if isNetwork { return sink.skip() }
            if let problem { return sink.refuse(problem) }
            end = dollar
        }
        if isPattern { return sink.refuse(.pattern) }
        let body = rule.extracting(start..<end)
        if body.starts("||") {
            takeName(body.extracting(droppingFirst: 2), kind, &sink)
        } else if body.starts("|") {
            takeName(AdblockParser.host(body.extracting(droppingFirst: 1)), kind.union(.exact), &sink)
        } else if body.starts("://") {
            takeName(body.extracting(droppingFirst: 3), kind.union(.exact), &sink)
        } else {
            // Without an anchor a separator ends a name that begins anywhere; a plain name stands for itself.
            guard !body.isEmpty else { return sink.refuse(.noName) }
            let last = body[body.count - 1]
            if last == UInt8(ascii: "^") || last == UInt8(ascii: "|") { return sink.refuse(.pattern) }
            takeName(body, kind, &sink)
        }
    }

    /// A name with an end mark (`^`, `|`) or without.
    private mutating func takeName(
        _ token: Span<UInt8>, _ kind: EntryKind, _ sink: inout some LineSink & ~Copyable
    ) {
        var token = token
        var kind = kind
        while let last = token.last, last == UInt8(ascii: "^") || last == UInt8(ascii: "|") {
            token = token.extracting(droppingLast: 1)
        }
        if token.starts("*.") {
            token = token.extracting(droppingFirst: 2)
            // `*.name` on a line of its own is how lists of wildcards write a name and all below it.
            if kind.contains(.exact) { return sink.refuse(.pattern) }
            kind.insert(.below)
        }
        if token.contains(UInt8(ascii: "/")) || token.contains(UInt8(ascii: "?")) { return sink.skip() }
        if token.contains(UInt8(ascii: "*")) || token.contains(UInt8(ascii: "^")) { return sink.refuse(.pattern) }
        if let problem = name.parse(token) { return sink.refuse(.name(problem)) }
        sink.entry(name, kind)
    }

    /// What stands behind `https://` or another scheme, or all of it.
    @_lifetime(copy token)
    private static func host(_ token: Span<UInt8>) -> Span<UInt8> {
        var index = 0
        while index + 2 < token.count && index < 8 {
            if token[index] == UInt8(ascii: ":"), token[index + 1] == UInt8(ascii: "/"),
                token[index + 2] == UInt8(ascii: "/")
            {
                return token.extracting(droppingFirst: index + 3)
            }
            index += 1
        }
        return token
    }

    // MARK: Options

    /// Where the `$` is that begins the options; nil without.
    private static func options(_ rule: Span<UInt8>, from start: Int, isPattern: Bool) -> Int? {
        var index = rule.count - 1
        while index > start {
            if rule[index] == UInt8(ascii: "$") {
                // In a regular expression `$` is an anchor, unless the expression has ended before it.
                return !isPattern || rule[index - 1] == UInt8(ascii: "/") ? index : nil
            }
            index -= 1
        }
        return nil
    }

    private static func forEachOption(_ options: Span<UInt8>, _ body: (Span<UInt8>) -> Void) {
        var start = 0
        for index in 0...options.count where index == options.count || options[index] == UInt8(ascii: ",") {
            if index > start { body(options.extracting(start..<index)) }
            start = index + 1
        }
    }

    private enum Meaning { case important, nothing, network, unsupported }

    private static func meaning(_ option: Span<UInt8>) -> Meaning {
        if option.equals("important") { return .important }
        if option.equals("all") || option.equals("document") || option.equals("doc") { return .nothing }
        // Modifiers of DNS filtering.
        for text in dnsModifiers where option.starts(text) { return .unsupported }
        return .network
    }

    private static let dnsModifiers: [StaticString] = [
        "dnstype", "dnsrewrite", "denyallow", "client", "ctag", "badfilter",
    ]

    /// Element hiding (`##`, `#@#`, `#?#`, `#$#`, `#%#`) and HTML filtering (`$$`).
    private static func isCosmetic(_ rule: Span<UInt8>) -> Bool {
        var index = 0
        while index + 1 < rule.count {
            let next = rule[index + 1]
            if rule[index] == UInt8(ascii: "#") {
                switch next {
                case UInt8(ascii: "#"), UInt8(ascii: "@"), UInt8(ascii: "?"), UInt8(ascii: "$"), UInt8(ascii: "%"):
                    return true
                default: break
                }
            }
            if rule[index] == UInt8(ascii: "$") && next == UInt8(ascii: "$") { return true }
            index += 1
        }
        return false
    }
}

extension Span<UInt8> {
    fileprivate var last: UInt8? { isEmpty ? nil : self[count - 1] }
}

extension String {
    /// The first bytes of a span, as text for people.
    fileprivate init(copying span: Span<UInt8>) {
        self = String(decoding: (0..<Swift.min(span.count, 64)).map { span[$0] }, as: UTF8.self)
    }
}
