/// The formats of lists.
public enum ListFormat: String, Sendable, CaseIterable {
    case hosts
    case domains
    /// Addresses and prefixes, for flows.
    case ip
    case adblock
    case dnsmasq
    case unbound
    case rpz
}

/// What a parser tells of a line. The importer writes it to the database, tests collect it.
protocol LineSink: ~Copyable {
    /// Whether data of a list's own, such as a real address in a hosts file, becomes local data.
    var takesRecords: Bool { get }
    /// A name of the line.
    ///
    /// - Parameter options: in the canonical text of `EntryOptions`.
    mutating func entry(_ name: borrowing NameText, _ kind: EntryKind, _ options: String?)
    /// A pattern of the line, as a regular expression.
    mutating func pattern(_ text: String, _ kind: EntryKind, _ options: String?)
    /// An address or prefix of the line.
    mutating func address(_ prefix: IPPrefix, _ kind: EntryKind)
    /// A name that stands in every hosts file and is no rule, such as `localhost`.
    mutating func skip()
    /// The line, or one name of it, cannot be taken.
    mutating func refuse(_ problem: LineProblem)
}

/// Reads the lines of one format.
protocol LineParser {
    init()
    /// - Parameters:
    ///   - line: without its end (LF or CR LF), not empty, at most `LineReader.longest` bytes.
    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable)
    /// Behind the last line.
    mutating func finish(into sink: inout some LineSink & ~Copyable)
}

extension LineParser {
    mutating func finish(into sink: inout some LineSink & ~Copyable) {}
}

/// Why a line was refused.
enum LineProblem: Error, Equatable, CustomStringConvertible {
    case name(NameProblem)
    case everyName
    case forwarding
    case everyAdblockName
    /// A modifier of adblock syntax: what is wrong with it.
    case option(String)
    /// A regular expression or wildcard: what is wrong with it.
    case pattern(String)
    case zoneRecord(String)
    case noAddress
    case noName
    case notDnsmasq
    case notUnbound
    case realAddress
    case severalNames
    case severalAddresses
    case noPrefix(String)
    case everyAddress
    case nul
    case notUTF8
    case tooLong
    case tooManyNames
    case zoneType

    var description: String {
        switch self {
        case .name(let problem): "\(problem)"
        case .everyName: "'#' stands for every name: this would block everything"
        case .forwarding: "a forwarding rule (names a server), not a rule that blocks"
        case .everyAdblockName:
            "stands for every name: this would block everything (with $dnstype or $denyallow it is a rule)"
        case .option(let reason), .pattern(let reason), .zoneRecord(let reason): reason
        case .noAddress: "no address before the name (hosts lines are '0.0.0.0 name')"
        case .noName: "no name after the address"
        case .notDnsmasq: "not a line of dnsmasq configuration (address=/name/, local=/name/, server=/name/)"
        case .notUnbound: "not a line of unbound configuration (local-zone: \"name\" type, local-data: \"…\")"
        case .realAddress:
            "real data, which 'list add --records' takes as local data; only names with 0.0.0.0, ::, 127.0.0.1 or ::1 are blocked"
        case .severalNames: "more than one word on the line"
        case .severalAddresses: "more than an address on the line"
        case .noPrefix(let reason): reason
        case .everyAddress: "stands for every address; 'webtun flow' makes such rules"
        case .nul: "a NUL byte"
        case .notUTF8: "not valid UTF-8"
        case .tooLong: "longer than \(LineReader.longest) bytes"
        case .tooManyNames: "more than \(EntryID.namesPerLine) names on the line"
        case .zoneType: "a zone type that neither blocks nor excepts a name"
        }
    }
}
