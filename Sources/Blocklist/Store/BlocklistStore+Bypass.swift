import GRDB

/// The switch of the bypass protection and the data behind it.
public struct BypassState: Sendable, Equatable {
    public var isOn: Bool
    /// The file the data was read from; nil when none was read.
    public var source: String?
    /// When it was read: microseconds since 1970, UTC.
    public var read: Int64?
    public var entries: [ResolverEntry]
}

extension BlocklistStore {
    /// The name of the file of resolver data among the starter lists.
    public static let resolverFile = ResolverFile.name

    /// The switch and the data.
    public func bypass() throws -> BypassState {
        try read { db in
            let origin = try BlocklistStore.origin(db, ResolverFile.self)
            return BypassState(
                isOn: try Bool.fetchOne(db, sql: "SELECT bypass FROM state") ?? false, source: origin.path,
                read: origin.read, entries: try BlocklistStore.data(db, ResolverFile.self))
        }
    }

    /// What is in force: nothing while the switch is off.
    static func resolversInForce(_ db: Database) throws -> [ResolverEntry] {
        guard try Bool.fetchOne(db, sql: "SELECT bypass FROM state") ?? false else { return [] }
        return try data(db, ResolverFile.self)
    }

    /// Puts the protection in force or out of force.
    ///
    /// - Throws: `BlocklistError.badArgument` when it is to be in force and no data was ever read.
    public func setBypass(_ isOn: Bool) throws {
        try write { db in
            let any = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM resolver)") ?? false
            guard any || !isOn else {
                throw BlocklistError.badArgument("there is no resolver data yet: give its file with --resolvers")
            }
            try db.execute(
                sql: "UPDATE state SET bypass = ?, rules = rules + 1 WHERE bypass IS NOT ?", arguments: [isOn, isOn])
        }
    }

    /// Reads a file of resolver data in place of what was read before; all of it or nothing.
    ///
    /// - Returns: how many entries it has.
    /// - Throws: `BlocklistError.listRefused` with the line and the reason.
    @discardableResult
    public func loadResolvers(_ path: String) throws -> Int {
        try load(ResolverFile.self, path)
    }

    /// Reads the file given or, when nothing was ever read, that of the starter lists' directory, if it is there.
    public func loadResolvers(_ path: String?, orStarter directory: String) throws {
        try load(ResolverFile.self, path, orStarter: directory)
    }

    /// The entry of a line of the data, for texts.
    public func resolver(line: Int32) throws -> ResolverEntry? {
        try read { db in try BlocklistStore.data(db, ResolverFile.self).first { $0.line == line } }
    }
}
