import GRDB
public import Kernel
import Wire

/// A forward zone as `blocklist.db` has it.
public struct StoredForward: Sendable, Equatable {
    public var zone: ForwardZone
    public var comment: String
    /// Microseconds since 1970, UTC.
    public var added: Int64
}

extension BlocklistStore {
    /// A zone has at most so many servers.
    public static let forwardServers = 8
    /// All zones together have at most so many different servers.
    public static let forwardServersInAll = 48

    /// All forward zones, by name.
    public func forwards() throws -> [StoredForward] {
        try read(BlocklistStore.forwards)
    }

    static func forwards(_ db: Database) throws -> [StoredForward] {
        try Row.fetchAll(db, sql: "SELECT * FROM forward ORDER BY zone").map { row in
            let text: String? = row["servers"]
            // What some other program wrote may be no address: the zone then has fewer servers, or none that answers.
            let servers = (text ?? "").split(separator: " ").compactMap {
                SocketAddress(String($0), defaultPort: 53)
            }
            return StoredForward(
                zone: ForwardZone(name: row["zone"], servers: servers, isForwarded: text != nil),
                comment: row["comment"], added: row["added"])
        }
    }

    /// The zones that a word means: a name, or the reverse zones of a prefix.
    public static func forwardZones(_ word: String) throws(BlocklistError) -> [String] {
        if word.contains("/") || IPAddress(word) != nil {
            let prefix = try IPPrefix(word)
            return ReverseName.zones(of: Prefix(prefix.address, length: prefix.length))
        }
        return [try DomainName(word.hasPrefix("*.") ? String(word.dropFirst(2)) : word).text]
    }

    /// Forwards a zone, or the reverse zones of a prefix, in place of what was said of it before.
    ///
    /// - Parameter servers: in order of preference; nil: its names are never asked for.
    /// - Throws: `BlocklistError.badName`, `.badPrefix`, `.badArgument`.
    public func setForward(
        _ word: String, servers: [SocketAddress]?, comment: String = ""
    ) throws -> [StoredForward] {
        let zones = try BlocklistStore.forwardZones(word)
        if let servers {
            guard !servers.isEmpty else { throw BlocklistError.badArgument("a zone is forwarded to a server") }
            guard servers.count <= BlocklistStore.forwardServers else {
                throw BlocklistError.badArgument("a zone has at most \(BlocklistStore.forwardServers) servers")
            }
            for server in servers where server.address.isUnspecified {
                throw BlocklistError.badArgument("\(server.host) is not the address of a server")
            }
        }
        return try write { db in
            for zone in zones {
                try db.execute(
                    sql: """
                        INSERT INTO forward (zone, servers, comment, added) VALUES (?, ?, ?, ?)
                        ON CONFLICT (zone) DO UPDATE SET
                            servers = excluded.servers, comment = excluded.comment, added = excluded.added
                        """,
                    arguments: [
                        zone, servers.map { $0.map(\.description).joined(separator: " ") }, comment,
                        BlocklistStore.now(),
                    ])
            }
            let all = try BlocklistStore.forwards(db)
            guard Set(all.flatMap(\.zone.servers)).count <= BlocklistStore.forwardServersInAll else {
                throw BlocklistError.badArgument(
                    "all zones together have at most \(BlocklistStore.forwardServersInAll) servers")
            }
            return all.filter { zones.contains($0.zone.name) }
        }
    }

    /// Forgets what was said of zones, all or none.
    ///
    /// - Returns: the zones removed.
    /// - Throws: `BlocklistError.noSuchForward`, `.badName`, `.badPrefix`.
    public func removeForwards(_ words: [String]) throws -> [StoredForward] {
        let zones = try words.map { ($0, try BlocklistStore.forwardZones($0)) }
        return try write { db in
            let all = try BlocklistStore.forwards(db)
            var removed: [StoredForward] = []
            for (word, names) in zones {
                let found = all.filter { names.contains($0.zone.name) && !removed.contains($0) }
                guard !found.isEmpty else { throw BlocklistError.noSuchForward(word) }
                removed += found
            }
            for forward in removed {
                try db.execute(sql: "DELETE FROM forward WHERE zone = ?", arguments: [forward.zone.name])
            }
            return removed
        }
    }
}
