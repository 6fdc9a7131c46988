import GRDB
import Glibc
import Kernel

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
    public static let resolverFile = "resolvers.bypass"

    /// The switch and the data.
    public func bypass() throws -> BypassState {
        try read { db in
            let row = try Row.fetchOne(db, sql: "SELECT bypass, resolvers, resolvers_read FROM state")
            return BypassState(
                isOn: row?["bypass"] ?? false, source: row?["resolvers"], read: row?["resolvers_read"],
                entries: try BlocklistStore.resolvers(db))
        }
    }

    private static func resolvers(_ db: Database) throws -> [ResolverEntry] {
        try Row.fetchAll(db, sql: "SELECT * FROM resolver ORDER BY id").compactMap { row in
            let kind: String = row["kind"]
            guard let kind = ResolverEntry.Kind(rawValue: kind) else { return nil }
            return ResolverEntry(
                kind: kind, subject: row["subject"], operatorName: row["operator"], source: row["source"],
                line: row["line"])
        }
    }

    /// What is in force: nothing while the switch is off.
    static func resolversInForce(_ db: Database) throws -> [ResolverEntry] {
        guard try Bool.fetchOne(db, sql: "SELECT bypass FROM state") ?? false else { return [] }
        return try resolvers(db)
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
        let entries = try ResolverFile.parse(BlocklistStore.text(path), path: path)
        let source = BlocklistStore.absolute(path)
        return try write { db in
            if try BlocklistStore.resolvers(db) == entries {
                try db.execute(
                    sql: "UPDATE state SET resolvers = ?, resolvers_read = ?",
                    arguments: [source, BlocklistStore.now()])
                return entries.count
            }
            try db.execute(sql: "DELETE FROM resolver")
            for entry in entries {
                try db.execute(
                    sql: "INSERT INTO resolver (line, kind, subject, operator, source) VALUES (?, ?, ?, ?, ?)",
                    arguments: [entry.line, entry.kind.rawValue, entry.subject, entry.operatorName, entry.source])
            }
            try db.execute(
                sql: "UPDATE state SET resolvers = ?, resolvers_read = ?, rules = rules + 1",
                arguments: [source, BlocklistStore.now()])
            return entries.count
        }
    }

    /// The entry of a line of the data, for texts.
    public func resolver(line: Int32) throws -> ResolverEntry? {
        try read { db in try BlocklistStore.resolvers(db).first { $0.line == line } }
    }

    /// The text of a small file.
    static func text(_ path: String) throws(BlocklistError) -> String {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw .listRefused(path, "\(Errno.current())") }
        let file = Descriptor(owning: number)
        var bytes = [UInt8](repeating: 0, count: ResolverFile.longest + 1)
        var count = 0
        while count < bytes.count {
            let got = unsafe bytes.withUnsafeMutableBytes { room in
                unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: room[count...]))
            }
            if got == -Int(EINTR) { continue }
            guard got >= 0 else { throw .listRefused(path, "\(Errno(CInt(-got)))") }
            if got == 0 { break }
            count += got
        }
        guard count <= ResolverFile.longest else {
            throw .listRefused(path, "longer than \(ResolverFile.longest) bytes")
        }
        guard let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw .listRefused(path, "not valid UTF-8")
        }
        return text
    }
}
