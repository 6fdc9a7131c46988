import GRDB
import Glibc

/// What is known of search engines, and whose safe search is enforced.
public struct SafeSearchState: Sendable, Equatable {
    public var engines: [SearchEngine]
    /// The level of each engine that is on.
    public var levels: [String: String]
    /// The file the data was read from; nil when none was read.
    public var source: String?
    /// When it was read: microseconds since 1970, UTC.
    public var read: Int64?
}

extension BlocklistStore {
    /// The name of the file of search engines among the starter lists.
    public static let safeSearchFile = "engines.safesearch"

    public func safeSearch() throws -> SafeSearchState {
        try read(BlocklistStore.safeSearch)
    }

    private static func safeSearchLines(_ db: Database) throws -> [SafeSearchFile.Line] {
        try Row.fetchAll(db, sql: "SELECT * FROM safesearch ORDER BY id").compactMap { row in
            let kind: String = row["kind"]
            guard let kind = SafeSearchFile.Line.Kind(rawValue: kind) else { return nil }
            return SafeSearchFile.Line(
                line: row["line"], engine: row["engine"], source: row["source"], kind: kind, level: row["level"],
                value: row["value"])
        }
    }

    private static func safeSearch(_ db: Database) throws -> SafeSearchState {
        let file = try Row.fetchOne(db, sql: "SELECT path, read FROM safesearch_file")
        let levels = try Row.fetchAll(db, sql: "SELECT engine, level FROM safesearch_on").map { row in
            (row["engine"] as String, row["level"] as String)
        }
        return SafeSearchState(
            engines: SafeSearchFile.engines(try safeSearchLines(db)),
            levels: Dictionary(levels, uniquingKeysWith: { first, _ in first }), source: file?["path"],
            read: file?["read"])
    }

    /// Names of the engines that are on, and what each is answered with.
    static func safeSearchInForce(_ db: Database) throws -> [(name: String, record: LocalRecord)] {
        guard try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM safesearch_on)") ?? false else { return [] }
        let state = try safeSearch(db)
        return state.engines.flatMap { engine -> [(name: String, record: LocalRecord)] in
            // Data that was read later may have no such level any more: the strictest counts then.
            guard let level = state.levels[engine.name],
                let records = engine.records(level) ?? engine.targets.first.flatMap({ engine.records($0.level) })
            else { return [] }
            return engine.names.flatMap { name in records.map { (name, $0) } }
        }
    }

    /// Enforces safe search, or stops to.
    ///
    /// - Parameters:
    ///   - isOn: of the engines named, or of all when none is.
    ///   - engines: names, or `name:level`.
    /// - Throws: `BlocklistError.badArgument` for an engine or level that is not known, and when no data was ever read.
    public func setSafeSearch(_ isOn: Bool, _ engines: [String] = []) throws {
        try write { db in
            let known = try BlocklistStore.safeSearch(db).engines
            guard !known.isEmpty || !isOn else {
                throw BlocklistError.badArgument("there is no data of search engines yet: give its file with --engines")
            }
            let words = engines.isEmpty ? known.map(\.name) : engines
            if !isOn, engines.isEmpty {
                return try db.execute(sql: "DELETE FROM safesearch_on")
            }
            for word in words {
                let parts = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                guard let engine = known.first(where: { $0.name == parts[0].lowercased() }) else {
                    throw BlocklistError.badArgument(
                        "no search engine is called '\(parts[0])'; known are \(known.map(\.name).joined(separator: ", "))"
                    )
                }
                let levels = engine.targets.map(\.level)
                let level = parts.count == 2 ? parts[1].lowercased() : levels[0]
                guard levels.contains(level) else {
                    throw BlocklistError.badArgument(
                        "\(engine.name) has no level '\(level)'; it has \(levels.joined(separator: ", "))")
                }
                if isOn {
                    try db.execute(
                        sql: """
                            INSERT INTO safesearch_on (engine, level) VALUES (?, ?)
                            ON CONFLICT (engine) DO UPDATE SET level = excluded.level
                            """, arguments: [engine.name, level])
                } else {
                    try db.execute(sql: "DELETE FROM safesearch_on WHERE engine = ?", arguments: [engine.name])
                }
            }
        }
    }

    /// Reads a file of search engines in place of what was read before; all of it or nothing.
    ///
    /// - Throws: `BlocklistError.listRefused` with the line and the reason.
    public func loadSafeSearch(_ path: String) throws {
        let lines = try SafeSearchFile.parse(BlocklistStore.text(path), path: path)
        let source = BlocklistStore.absolute(path)
        try write { db in
            if try BlocklistStore.safeSearchLines(db) != lines {
                try db.execute(sql: "DELETE FROM safesearch")
                for line in lines {
                    try db.execute(
                        sql: """
                            INSERT INTO safesearch (line, engine, source, kind, level, value) VALUES (?, ?, ?, ?, ?, ?)
                            """,
                        arguments: [line.line, line.engine, line.source, line.kind.rawValue, line.level, line.value])
                }
            }
            try db.execute(
                sql: "INSERT OR REPLACE INTO safesearch_file (id, path, read) VALUES (1, ?, ?)",
                arguments: [source, BlocklistStore.now()])
        }
    }

    /// Reads the data of the starter lists' directory, unless the user gave other.
    func followStarterSafeSearch(_ directory: String) throws {
        let path = directory + "/" + BlocklistStore.safeSearchFile
        guard unsafe access(path, F_OK) == 0 else { return }
        let source = try read { db in try String.fetchOne(db, sql: "SELECT path FROM safesearch_file") }
        if source == nil || source == BlocklistStore.absolute(path) { try loadSafeSearch(path) }
    }
}
