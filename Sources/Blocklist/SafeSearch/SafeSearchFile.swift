import Wire

/// What is known of a search engine: the names it is reached by, and where its safe search is.
public struct SearchEngine: Sendable, Equatable {
    /// How strict, and where to: a name, or addresses.
    public struct Target: Sendable, Equatable {
        public var level: String
        public var values: [String]
    }

    public var name: String
    /// Where the engine documents it.
    public var source: String
    /// The first is what `safesearch on` takes.
    public var targets: [Target]
    /// In stored form.
    public var names: [String]

    /// What its names are answered with at a level; nil when it has no such level.
    func records(_ level: String) -> [LocalRecord]? {
        guard let target = targets.first(where: { $0.level == level }) else { return nil }
        return target.values.compactMap { value in
            let type = IPAddress(value).map { $0.isIPv6 ? "AAAA" : "A" } ?? "CNAME"
            return try? RecordText.parse(type: type, data: value, ttl: SearchEngine.ttl)
        }
    }

    /// Seconds.
    static let ttl: UInt32 = 300
}

/// Reads files of search engines: lines of a word that says what follows, and values; `#` begins a comment.
enum SafeSearchFile {
    struct Line: Sendable, Equatable {
        enum Kind: String, Sendable { case target, name }
        var line: Int32
        var engine: String
        var source: String
        var kind: Kind
        /// Of a target.
        var level: String
        /// A name in stored form, or an address.
        var value: String
    }

    /// - Throws: `BlocklistError.listRefused` with the line of the first fault: such a file is taken whole or not at all.
    static func parse(_ text: String, path: String) throws(BlocklistError) -> [Line] {
        var lines: [Line] = []
        var current: (name: String, source: String)?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let keyword = words.first else { continue }
            func refuse(_ reason: String) -> BlocklistError { .listRefused(path, "line \(index + 1): \(reason)") }
            switch keyword {
            case "engine":
                guard words.count == 3 else { throw refuse("'engine' takes a name and an address of a page") }
                guard !lines.contains(where: { $0.engine == words[1] }) else {
                    throw refuse("engine '\(words[1])' was there before")
                }
                current = (words[1], words[2])
            case "target", "names":
                guard let (name, source) = current else { throw refuse("no 'engine' line before it") }
                let isTarget = keyword == "target"
                guard words.count > (isTarget ? 2 : 1) else {
                    throw refuse(
                        isTarget ? "'target' takes a level and a name, or addresses" : "'names' without a name")
                }
                for word in words.dropFirst(isTarget ? 2 : 1) {
                    do {
                        lines.append(
                            Line(
                                line: Int32(clamping: index + 1), engine: name, source: source,
                                kind: isTarget ? .target : .name, level: isTarget ? words[1] : "",
                                value: try value(word, isTarget)))
                    } catch {
                        throw refuse("\(error)")
                    }
                }
            default:
                throw refuse("'\(keyword)' is not engine, target or names")
            }
        }
        guard !lines.isEmpty else { throw .listRefused(path, "holds no search engine") }
        for engine in engines(lines) {
            if engine.targets.isEmpty || engine.names.isEmpty {
                throw .listRefused(path, "engine '\(engine.name)' has no 'target' or no 'names'")
            }
            for target in engine.targets where target.values.count > 1 {
                if target.values.contains(where: { IPAddress($0) == nil }) {
                    throw .listRefused(path, "engine '\(engine.name)': a target is one name, or addresses")
                }
            }
        }
        return lines
    }

    private static func value(_ word: String, _ isTarget: Bool) throws(BlocklistError) -> String {
        if isTarget, let address = IPAddress(word) { return address.description }
        return try DomainName(word).text
    }

    /// The engines that lines speak of, in their order.
    static func engines(_ lines: [Line]) -> [SearchEngine] {
        var engines: [SearchEngine] = []
        for line in lines {
            if engines.last?.name != line.engine {
                engines.append(SearchEngine(name: line.engine, source: line.source, targets: [], names: []))
            }
            let last = engines.count - 1
            if line.kind == .name {
                engines[last].names.append(line.value)
            } else if let place = engines[last].targets.firstIndex(where: { $0.level == line.level }) {
                engines[last].targets[place].values.append(line.value)
            } else {
                engines[last].targets.append(SearchEngine.Target(level: line.level, values: [line.value]))
            }
        }
        return engines
    }
}
