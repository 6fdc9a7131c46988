/// Lines of adblock syntax, as far as they speak of names (AdGuard DNS filtering syntax).
///
/// | line | meaning |
/// |---|---|
/// | `||name^` | the name and all below it |
/// | `|name^`, `|https://name^|` | the name alone |
/// | `||*.name^` | what is below the name |
/// | `/regex/` | names in which the regular expression is found |
/// | `||ad*.name^`, `*track*`, `name^` | names that fit the wildcards and anchors |
/// | `@@…` | the same, allowed |
/// | `name`, `0.0.0.0 name` | as in the formats `domains` and `hosts` |
/// | `…$important` | before every entry without it |
///
/// Element hiding, scripts and rules that judge parts of a URL or kinds of requests say nothing about names: skipped.
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
        let isPattern = AdblockPattern.isExpression(rule)
        if !isPattern && AdblockParser.isCosmetic(rule) { return sink.skip() }
        if rule[0] &- 0x30 <= 9 || rule[0] == UInt8(ascii: ":") {
            var words = Words(rule)
            if let first = words.next(), HostsParser.address(rule.extracting(first)) != .none, words.next() != nil {
                return hosts.parse(rule, into: &sink)
            }
        }
        takeRule(rule, isPattern, &sink)
    }

    private mutating func takeRule(
        _ rule: Span<UInt8>, _ isPattern: Bool, _ sink: inout some LineSink & ~Copyable
    ) {
        var kind: EntryKind = []
        var start = 0
        var end = rule.count
        if rule.starts("@@") {
            kind.insert(.allow)
            start = 2
        }
        var options: EntryOptions?
        if let dollar = AdblockParser.modifiers(rule, from: start, isPattern: isPattern) {
            switch AdblockModifiers.parse(rule.extracting((dollar + 1)..<end), isException: kind.contains(.allow)) {
            case .network: return sink.skip()
            case .refused(let problem): return sink.refuse(problem)
            case .taken(let isImportant, let taken):
                if isImportant { kind.insert(.important) }
                options = taken
            }
            end = dollar
        }
        let body = rule.extracting(start..<end)
        if isPattern {
            // Between the slashes.
            return sink.pattern(String(copying: body.extracting(1..<(body.count - 1))), kind, options?.text)
        }
        switch AdblockPattern.shape(body) {
        case .name(let range, let more):
            takeName(body.extracting(range), kind.union(more), options?.text, &sink)
        case .expression(let text):
            sink.pattern(text, kind, options?.text)
        case .every:
            // With conditions it is a rule of its own; without them it would block everything.
            guard let options, !options.types.isEmpty || !options.denyallow.isEmpty else {
                return sink.refuse(.everyAdblockName)
            }
            sink.pattern(AdblockPattern.every, kind, options.text)
        case .network: sink.skip()
        case .refused(let problem): sink.refuse(problem)
        }
    }

    private mutating func takeName(
        _ token: Span<UInt8>, _ kind: EntryKind, _ options: String?, _ sink: inout some LineSink & ~Copyable
    ) {
        if let problem = name.parse(token) { return sink.refuse(.name(problem)) }
        sink.entry(name, kind, options)
    }

    /// Where the `$` is that begins the modifiers; nil without.
    private static func modifiers(_ rule: Span<UInt8>, from start: Int, isPattern: Bool) -> Int? {
        var index = rule.count - 1
        while index > start {
            if rule[index] == UInt8(ascii: "$"), rule[index - 1] != UInt8(ascii: "\\") {
                // In a regular expression `$` is an anchor, unless the expression has ended before it.
                if !isPattern || rule[index - 1] == UInt8(ascii: "/") { return index }
                if index == rule.count - 1 { return nil }
            }
            index -= 1
        }
        return nil
    }

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
    var last: UInt8? { isEmpty ? nil : self[count - 1] }
}

extension String {
    /// The bytes of a span as text; what is no UTF-8 becomes U+FFFD.
    init(copying span: Span<UInt8>) {
        self = String(decoding: span.indices.map { span[$0] }, as: UTF8.self)
    }
}
