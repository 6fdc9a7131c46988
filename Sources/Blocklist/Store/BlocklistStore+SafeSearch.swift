import GRDB

/// An engine that is enforced for a group.
public struct SafeSearchSwitch: Sendable, Equatable {
    public var engine: String
    /// The group's id; 0: `default`.
    public var group: Int
    public var level: String
}

/// What is known of search engines, and whose safe search is enforced.
public struct SafeSearchState: Sendable, Equatable {
    public var engines: [SearchEngine]
    /// The level of each engine that is on, for each group that it is on for.
    public var switches: [SafeSearchSwitch]
    /// The file the data was read from; nil when none was read.
    public var source: String?
    /// When it was read: microseconds since 1970, UTC.
    public var read: Int64?

    /// The level of each engine that is on for a group.
    public func levels(_ group: Int = 0) -> [String: String] {
        let own = switches.filter { $0.group == group }.map { ($0.engine, $0.level) }
        return Dictionary(own, uniquingKeysWith: { first, _ in first })
    }
}

extension BlocklistStore {
    /// The name of the file of search engines among the starter lists.
    public static let safeSearchFile = SafeSearchFile.name

    public func safeSearch() throws -> SafeSearchState {
        try read(BlocklistStore.safeSearch)
    }

    static func safeSearch(_ db: Database) throws -> SafeSearchState {
        let origin = try origin(db, SafeSearchFile.self)
        let switches = try Row.fetchAll(
            db, sql: "SELECT engine, policy_group, level FROM safesearch_on ORDER BY policy_group"
        ).map { SafeSearchSwitch(engine: $0["engine"], group: $0["policy_group"], level: $0["level"]) }
        return SafeSearchState(
            engines: SafeSearchFile.engines(try data(db, SafeSearchFile.self)),
            switches: switches, source: origin.path, read: origin.read)
    }

    /// The engines that are enforced for somebody.
    static func safeSearchInForce(_ db: Database) throws -> [SafeSearchTable.Engine] {
        guard try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM safesearch_on)") ?? false else { return [] }
        let state = try safeSearch(db)
        return state.engines.compactMap { engine in
            let levels = engine.targets.enumerated().compactMap { place, target -> SafeSearchTable.Level? in
                let groups = state.switches.reduce(0 as UInt64) { groups, found in
                    guard found.engine == engine.name, 0..<64 ~= found.group else { return groups }
                    // Data that was read later may have no such level any more: the first counts then.
                    let isKnown = engine.targets.contains { $0.level == found.level }
                    let isThis = isKnown ? found.level == target.level : place == 0
                    return isThis ? groups | 1 << UInt64(found.group) : groups
                }
                guard groups != 0, let records = engine.records(target.level) else { return nil }
                return SafeSearchTable.Level(records: records, groups: groups)
            }
            return levels.isEmpty ? nil : SafeSearchTable.Engine(names: engine.names, levels: levels)
        }
    }

    /// The engines that are enforced for a group.
    static func safeSearchEngines(_ db: Database, of group: Int) throws -> [String] {
        try String.fetchAll(
            db, sql: "SELECT engine FROM safesearch_on WHERE policy_group = ? ORDER BY engine", arguments: [group])
    }

    /// Enforces safe search, or stops to.
    ///
    /// - Parameters:
    ///   - isOn: of the engines named, or of all when none is.
    ///   - engines: names, or `name:level`.
    ///   - groups: for whom; none: to enforce `default`, to stop everybody.
    /// - Throws: `BlocklistError.badArgument` for an engine or level that is not known, and when no data was ever read;
    ///   `.noSuchGroup`.
    public func setSafeSearch(_ isOn: Bool, _ engines: [String] = [], groups: [String] = []) throws {
        try write { db in
            let known = try BlocklistStore.safeSearch(db).engines
            guard !known.isEmpty || !isOn else {
                throw BlocklistError.badArgument("there is no data of search engines yet: give its file with --engines")
            }
            let ids =
                groups.isEmpty && !isOn
                ? Array(0..<GroupSet.capacity)
                : try BlocklistStore.groupSet(db, groups.isEmpty ? ["default"] : groups).ids
            let wanted = try (engines.isEmpty ? known.map(\.name) : engines).map {
                try BlocklistStore.engine($0, known)
            }
            for id in ids {
                for (engine, level) in wanted where isOn {
                    try db.execute(
                        sql: """
                            INSERT INTO safesearch_on (engine, policy_group, level) VALUES (?, ?, ?)
                            ON CONFLICT (engine, policy_group) DO UPDATE SET level = excluded.level
                            """, arguments: [engine, id, level])
                }
                // What was on may be of an engine that the data has no more.
                if !isOn, engines.isEmpty {
                    try db.execute(sql: "DELETE FROM safesearch_on WHERE policy_group = ?", arguments: [id])
                }
                for (engine, _) in wanted where !isOn {
                    try db.execute(
                        sql: "DELETE FROM safesearch_on WHERE engine = ? AND policy_group = ?", arguments: [engine, id])
                }
            }
        }
    }

    /// The engine and level that a word means.
    static func engine(
        _ word: String, _ known: [SearchEngine]
    ) throws(BlocklistError) -> (name: String, level: String) {
        let parts = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let engine = known.first(where: { $0.name == parts[0].lowercased() }) else {
            throw .badArgument(
                "no search engine is called '\(parts[0])'; known are \(known.map(\.name).joined(separator: ", "))")
        }
        let levels = engine.targets.map(\.level)
        let level = parts.count == 2 ? parts[1].lowercased() : levels[0]
        guard levels.contains(level) else {
            throw .badArgument("\(engine.name) has no level '\(level)'; it has \(levels.joined(separator: ", "))")
        }
        return (engine.name, level)
    }

    /// Reads a file of search engines in place of what was read before; all of it or nothing.
    ///
    /// - Throws: `BlocklistError.listRefused` with the line and the reason.
    public func loadSafeSearch(_ path: String) throws {
        try load(SafeSearchFile.self, path)
    }

    /// Reads the file given or, when nothing was ever read, that of the starter lists' directory, if it is there.
    public func loadSafeSearch(_ path: String?, orStarter directory: String) throws {
        try load(SafeSearchFile.self, path, orStarter: directory)
    }
}
