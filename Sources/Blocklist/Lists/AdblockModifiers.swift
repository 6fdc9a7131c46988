/// The modifiers of an adblock rule, what stands behind its `$`.
enum AdblockModifiers {
    enum Result {
        case taken(isImportant: Bool, EntryOptions?)
        /// About kinds of requests or pages, not names.
        case network
        case refused(LineProblem)
    }

    static func parse(_ modifiers: Span<UInt8>, isException: Bool) -> Result {
        var isImportant = false
        var options = EntryOptions()
        var problem: LineProblem?
        for text in split(modifiers) {
            let key = text.prefix { $0 != "=" }
            let value = key.endIndex < text.endIndex ? String(text[key.endIndex...].dropFirst()) : nil
            switch key.lowercased() {
            case "important": isImportant = true
            case "all", "document", "doc": break
            case "badfilter": options.isTakingBack = true
            case "dnstype": problem = problem ?? take(types: value ?? "", &options)
            case "denyallow": problem = problem ?? take(denyallow: value ?? "", &options)
            case "dnsrewrite":
                options.isRewrite = true
                guard let value, !value.isEmpty else {
                    if !isException { problem = .option("'$dnsrewrite' without a value is for exceptions ('@@') only") }
                    break
                }
                switch DNSRewriteText.parse(value) {
                case .success(let answer): options.answer = answer
                case .failure(let reason): problem = problem ?? reason
                }
            case "client", "~client":
                problem = .option(
                    "'$client' is not supported: 'webtun client' and 'webtun group' say whom a list is for")
            case "ctag", "~ctag":
                problem = .option("'$ctag' is not supported: tags of clients are known to AdGuard Home only")
            default: return .network
            }
        }
        if let problem { return .refused(problem) }
        return .taken(isImportant: isImportant, options == EntryOptions() ? nil : options)
    }

    /// The parts between commas; `\,` is a comma within one.
    private static func split(_ modifiers: Span<UInt8>) -> [String] {
        var parts: [[UInt8]] = [[]]
        for index in modifiers.indices {
            let byte = modifiers[index]
            if byte == UInt8(ascii: ",") {
                if parts[parts.count - 1].last == UInt8(ascii: "\\") {
                    parts[parts.count - 1].removeLast()
                } else {
                    parts.append([])
                    continue
                }
            }
            parts[parts.count - 1].append(byte)
        }
        return parts.filter { !$0.isEmpty }.map { String(decoding: $0, as: UTF8.self) }
    }

    private static func take(types text: String, _ options: inout EntryOptions) -> LineProblem? {
        var taken: Set<UInt16> = []
        var excepted: Set<UInt16> = []
        for word in text.split(separator: "|", omittingEmptySubsequences: false) {
            guard let type = QueryType.number(word.drop { $0 == "~" }) else {
                return .option("'$dnstype' needs query types such as A|AAAA, not '\(word.prefix(20))'")
            }
            if word.hasPrefix("~") { excepted.insert(type) } else { taken.insert(type) }
        }
        options.types = taken.sorted()
        options.exceptedTypes = excepted.sorted()
        return nil
    }

    private static func take(denyallow text: String, _ options: inout EntryOptions) -> LineProblem? {
        var names: Set<String> = []
        var name = NameText()
        for word in text.split(separator: "|", omittingEmptySubsequences: false) {
            if let problem = name.parse(Array(word.utf8).span) {
                return .option("'$denyallow' needs names such as a.example|b.example; '\(word.prefix(60))': \(problem)")
            }
            names.insert(name.string)
        }
        guard names.count <= EntryOptions.mostNames else {
            return .option("'$denyallow' with more than \(EntryOptions.mostNames) names")
        }
        options.denyallow = names.sorted()
        return nil
    }
}
