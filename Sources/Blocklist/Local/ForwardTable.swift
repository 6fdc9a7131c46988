public import Kernel
import Wire

/// Names whose questions go to servers of their own, or nowhere.
public struct ForwardZone: Sendable, Equatable {
    /// In stored form: it and every name below.
    public var name: String
    /// In order of preference. Empty with `isForwarded`: what was stored is no address, and questions fail.
    public var servers: [SocketAddress]
    /// `false`: names of the zone are never asked for; they do not exist.
    public var isForwarded: Bool

    public init(name: String, servers: [SocketAddress], isForwarded: Bool = true) {
        self.name = name
        self.servers = servers
        self.isForwarded = isForwarded
    }
}

/// The forward zones, ready for lookups: the longest that holds a name counts, as with the match domains of
/// `NEDNSSettings`. Immutable; lookups allocate nothing; any thread.
public final class ForwardTable: Sendable {
    public let zones: [ForwardZone]
    private let table: NameTable
    private let isForwarded: [Bool]
    private let salts: [UInt64]

    public init(_ zones: [ForwardZone]) {
        self.zones = zones
        isForwarded = zones.map(\.isForwarded)
        salts = zones.map(ForwardTable.salt)
        table = NameTable(
            zones.enumerated().compactMap { index, zone in
                (try? DomainName(zone.name)).map { ($0.wire, Int32(index)) }
            })
    }

    public var isEmpty: Bool { zones.isEmpty }

    /// The index of the zone that holds a name; -1: none.
    ///
    /// - Parameter name: wire form in lower case, with the root's byte.
    public func zone(of name: RawSpan) -> Int {
        table.isEmpty ? -1 : Int(table.findSuffix(name))
    }

    /// Whether the names of a zone are asked for at all.
    public func isForwarded(_ zone: Int) -> Bool {
        zone < 0 || isForwarded[zone]
    }

    /// A number that changes with the zone and its servers, 0 for no zone: answers that are kept under it are not found
    /// once the zone, or its servers, are others.
    public func salt(_ zone: Int) -> UInt64 {
        zone < 0 ? 0 : salts[zone]
    }

    /// FNV-1a of the zone as text.
    private static func salt(_ zone: ForwardZone) -> UInt64 {
        let text = "\(zone.name) \(zone.isForwarded) " + zone.servers.map(\.description).joined(separator: " ")
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash | 1
    }
}
