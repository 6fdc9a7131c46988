import GRDB

/// One way around the DNS of the machine, as the resolver data has it.
public struct ResolverEntry: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        /// A transport and a port, such as `tcp/853`: flows to it are cut.
        case port
        /// A name and all below it: DNS is blocked, and flows that name it.
        case names
        /// An address or prefix: flows to its port 443 are cut.
        case addresses
        /// A name and all below it, answered NXDOMAIN.
        case nxdomain
        /// A name and all below it, answered without records.
        case nodata
    }

    public var kind: Kind
    /// The port, name or address in stored form.
    public var subject: String
    /// Whose it is.
    public var operatorName: String
    /// Where the operator says so.
    public var source: String
    /// The line in the file, from 1.
    public var line: Int32

    /// A port's IP protocol and number.
    var port: (proto: UInt8, number: UInt16)? {
        let parts = subject.split(separator: "/")
        guard kind == .port, parts.count == 2, let number = UInt16(parts[1]), number > 0 else { return nil }
        switch parts[0] {
        case "tcp": return (6, number)
        case "udp": return (17, number)
        default: return nil
        }
    }
}

/// Files of resolver data.
enum ResolverFile: DataFile {
    static let name = "resolvers.bypass"
    static let table = "resolver"
    static let columns = ["line", "kind", "subject", "operator", "source"]
    static let originQuery = "SELECT resolvers AS path, resolvers_read AS read FROM state"
    static let originNote = "UPDATE state SET resolvers = ?1, resolvers_read = ?2"

    static func parse(_ text: String, path: String) throws(BlocklistError) -> [ResolverEntry] {
        var entries: [ResolverEntry] = []
        var current: (name: String, source: String)?
        for line in DataLine.split(text, path: path) {
            if line.keyword == "operator" {
                current = try line.title()
                continue
            }
            guard let kind = ResolverEntry.Kind(rawValue: line.keyword) else {
                throw line.refused("'\(line.keyword)' is not port, operator, names, addresses, nxdomain or nodata")
            }
            guard let (name, source) = current else { throw line.refused("no 'operator' line before it") }
            guard !line.values.isEmpty else { throw line.refused("'\(line.keyword)' without a value") }
            for word in line.values {
                var entry = ResolverEntry(
                    kind: kind, subject: word, operatorName: name, source: source, line: line.number)
                do {
                    entry.subject = try subject(word, kind)
                } catch {
                    throw line.refused("\(error)")
                }
                if kind == .port && entry.port == nil {
                    throw line.refused("'\(word)' is no port; write tcp/853 or udp/853")
                }
                entries.append(entry)
            }
        }
        guard !entries.isEmpty else { throw .listRefused(path, "holds no names, addresses or ports") }
        return entries
    }

    static func entry(_ row: Row) -> ResolverEntry? {
        ResolverEntry.Kind(rawValue: row["kind"]).map { kind in
            ResolverEntry(
                kind: kind, subject: row["subject"], operatorName: row["operator"], source: row["source"],
                line: row["line"])
        }
    }

    static func values(_ entry: ResolverEntry) -> [(any DatabaseValueConvertible)?] {
        [entry.line, entry.kind.rawValue, entry.subject, entry.operatorName, entry.source]
    }

    /// A value in stored form.
    private static func subject(_ word: String, _ kind: ResolverEntry.Kind) throws(BlocklistError) -> String {
        switch kind {
        case .port: return word.lowercased()
        case .names, .nxdomain, .nodata: return try DomainName(word).text
        case .addresses: return try IPPrefix(word).description
        }
    }
}
