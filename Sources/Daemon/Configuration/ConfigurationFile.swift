import Kernel
import TOMLKit

extension Configuration {
    /// Read when it exists and no other file is named.
    public static let defaultFile = "/etc/webtun/webtun.toml"

    /// A value that the command line sets over the file.
    public struct Override: Sendable {
        let key: String
        let value: ConfigurationValue
        let option: String

        /// - Parameters:
        ///   - key: one of `Configuration.settings`.
        ///   - option: as the user writes it, for messages.
        public init(_ key: String, _ value: ConfigurationValue, option: String) {
            self.key = key
            self.value = value
            self.option = option
        }
    }

    /// The defaults, the file over them, the command line over that.
    ///
    /// - Parameter file: nil: `defaultFile` when it exists, else no file.
    /// - Throws: `ConfigurationError` with every problem of the file and the options.
    public static func load(file: String?, overrides: [Override] = []) throws(ConfigurationError) -> Configuration {
        var configuration = Configuration()
        var problems: [ConfigurationError.Problem] = []
        if let path = file ?? (FileText.exists(defaultFile) ? defaultFile : nil) {
            problems = configuration.read(path)
        }
        problems += configuration.apply(overrides)
        if problems.isEmpty {
            problems = configuration.conflicts().map { key, reason in
                let origin = configuration.origin(of: key)
                return .init(place: origin.description, key: origin.key(key), reason: reason)
            }
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
        return configuration
    }

    /// What is wrong with options alone, whatever the file says.
    public static func problems(in overrides: [Override]) -> [ConfigurationError.Problem] {
        var configuration = Configuration()
        return configuration.apply(overrides)
    }

    private mutating func apply(_ overrides: [Override]) -> [ConfigurationError.Problem] {
        overrides.compactMap { override in
            guard let setting = Configuration.settingsByKey[override.key] else {
                preconditionFailure("no key \(override.key)")
            }
            let reason = set(setting, to: override.value, from: .option(override.option))
            return reason.map { .init(place: override.option, key: nil, reason: $0) }
        }
    }

    private mutating func read(_ path: String) -> [ConfigurationError.Problem] {
        let text: String
        do {
            text = try FileText.read(path)
        } catch {
            return [.init(place: path, key: nil, reason: error.reason)]
        }
        return read(text, path: path)
    }

    /// Reads the text of a file; the path is for messages and origins. Returns the problems in the order of their lines.
    mutating func read(_ text: String, path: String) -> [ConfigurationError.Problem] {
        let document: TOMLTable
        do {
            document = try TOMLTable(string: text)
        } catch {
            guard let error = error as? TOMLParseError else {
                return [.init(place: path, key: nil, reason: "\(error)")]
            }
            return [.init(place: "\(path):\(error.source.begin.line)", key: nil, reason: error.description)]
        }
        let lines = TOMLLines(text)
        var found: [(line: Int, problem: ConfigurationError.Problem)] = []
        func refuse(_ keys: [String], _ reason: String) {
            let line = lines.line(of: keys)
            found.append((line, .init(place: "\(path):\(line)", key: keys.joined(separator: "."), reason: reason)))
        }
        for (table, value) in document {
            guard Configuration.tables.contains(table) else {
                refuse([table], value.type == .table ? "unknown table" : Configuration.unknown(table))
                continue
            }
            guard let entries = value.table else {
                refuse([table], "must be a table, [\(table)], not \(ConfigurationValue.parse(value).kind)")
                continue
            }
            for (key, value) in entries {
                guard let setting = Configuration.settingsByKey["\(table).\(key)"] else {
                    refuse([table, key], Configuration.unknown("\(table).\(key)"))
                    continue
                }
                let origin = Origin.file(path, line: lines.line(of: [table, key]))
                if let reason = set(setting, to: .parse(value), from: origin) { refuse([table, key], reason) }
            }
        }
        return found.sorted { $0.line < $1.line }.map(\.problem)
    }

    /// `unknown key`, with the known key that is nearest, when one is near.
    private static func unknown(_ key: String) -> String {
        let name = key.split(separator: ".").last.map(String.init) ?? key
        let near = settings.map { known in
            let last = known.key.split(separator: ".").last.map(String.init) ?? known.key
            return (
                key: known.key, distance: min(EditDistance.between(known.key, key), EditDistance.between(last, name))
            )
        }.min { $0.distance < $1.distance }
        guard let near, near.distance <= 2 else { return "unknown key" }
        return "unknown key; is \(near.key) meant?"
    }
}

/// How many single-character edits lie between two texts (Levenshtein).
enum EditDistance {
    static func between(_ first: String, _ second: String) -> Int {
        let second = Array(second.unicodeScalars)
        var row = Array(0...second.count)
        for (i, character) in first.unicodeScalars.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in second.enumerated() {
                let change = diagonal + (character == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(change, row[j] + 1, diagonal + 1)
            }
        }
        return row[second.count]
    }
}
