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

/// Reads files of resolver data: lines of a word that says what follows, and values; `#` begins a comment.
enum ResolverFile {
    /// Longest file that is read, in bytes.
    static let longest = 4 << 20

    /// - Throws: `BlocklistError.listRefused` with the line of the first fault: such a file is taken whole or not at all.
    static func parse(_ text: String, path: String) throws(BlocklistError) -> [ResolverEntry] {
        var entries: [ResolverEntry] = []
        var current: (name: String, source: String)?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let keyword = words.first else { continue }
            func refuse(_ reason: String) -> BlocklistError { .listRefused(path, "line \(index + 1): \(reason)") }
            if keyword == "operator" {
                guard words.count == 3 else { throw refuse("'operator' takes a name and an address of a page") }
                current = (words[1], words[2])
                continue
            }
            guard let kind = ResolverEntry.Kind(rawValue: keyword) else {
                throw refuse("'\(keyword)' is not port, operator, names, addresses, nxdomain or nodata")
            }
            guard let (name, source) = current else { throw refuse("no 'operator' line before it") }
            guard words.count > 1 else { throw refuse("'\(keyword)' without a value") }
            for word in words.dropFirst() {
                var entry = ResolverEntry(
                    kind: kind, subject: word, operatorName: name, source: source, line: Int32(clamping: index + 1))
                do {
                    entry.subject = try subject(word, kind)
                } catch {
                    throw refuse("\(error)")
                }
                if kind == .port && entry.port == nil { throw refuse("'\(word)' is no port; write tcp/853 or udp/853") }
                entries.append(entry)
            }
        }
        guard !entries.isEmpty else { throw .listRefused(path, "holds no names, addresses or ports") }
        return entries
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
