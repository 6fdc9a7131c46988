import GRDB
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

/// Files of search engines.
enum SafeSearchFile: DataFile {
    static let name = "engines.safesearch"
    static let table = "safesearch"
    static let columns = ["line", "engine", "source", "kind", "level", "value"]
    static let originQuery = "SELECT path, read FROM safesearch_file"
    static let originNote = "INSERT OR REPLACE INTO safesearch_file (id, path, read) VALUES (1, ?1, ?2)"

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

    static func parse(_ text: String, path: String) throws(BlocklistError) -> [Line] {
        var lines: [Line] = []
        var current: (name: String, source: String)?
        for line in DataLine.split(text, path: path) {
            switch line.keyword {
            case "engine":
                let title = try line.title()
                guard !lines.contains(where: { $0.engine == title.name }) else {
                    throw line.refused("engine '\(title.name)' was there before")
                }
                current = title
            case "target", "names":
                guard let (name, source) = current else { throw line.refused("no 'engine' line before it") }
                let isTarget = line.keyword == "target"
                guard line.values.count > (isTarget ? 1 : 0) else {
                    throw line.refused(
                        isTarget ? "'target' takes a level and a name, or addresses" : "'names' without a name")
                }
                for word in line.values.dropFirst(isTarget ? 1 : 0) {
                    do {
                        lines.append(
                            Line(
                                line: line.number, engine: name, source: source, kind: isTarget ? .target : .name,
                                level: isTarget ? line.values[0] : "", value: try value(word, isTarget)))
                    } catch {
                        throw line.refused("\(error)")
                    }
                }
            default:
                throw line.refused("'\(line.keyword)' is not engine, target or names")
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

    static func entry(_ row: Row) -> Line? {
        Line.Kind(rawValue: row["kind"]).map { kind in
            Line(
                line: row["line"], engine: row["engine"], source: row["source"], kind: kind, level: row["level"],
                value: row["value"])
        }
    }

    static func values(_ line: Line) -> [(any DatabaseValueConvertible)?] {
        [line.line, line.engine, line.source, line.kind.rawValue, line.level, line.value]
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
