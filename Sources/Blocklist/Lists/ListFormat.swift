/// The formats of lists.
public enum ListFormat: String, Sendable, CaseIterable {
    case hosts
    case domains
    /// Addresses and prefixes, for flows.
    case ip
    case adblock
    case dnsmasq
    case unbound
}

/// What a parser tells of a line. The importer writes it to the database, tests collect it.
protocol LineSink: ~Copyable {
    /// A name of the line.
    mutating func entry(_ name: borrowing NameText, _ options: EntryKind)
    /// An address or prefix of the line.
    mutating func address(_ prefix: IPPrefix)
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
}

/// Why a line was refused.
enum LineProblem: Error, Equatable, CustomStringConvertible {
    case name(NameProblem)
    case everyName
    case forwarding
    case modifier(String)
    case noAddress
    case noName
    case notDnsmasq
    case notUnbound
    case pattern
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
        case .modifier(let text): "the modifier '\(text)' is not supported"
        case .noAddress: "no address before the name (hosts lines are '0.0.0.0 name')"
        case .noName: "no name after the address"
        case .notDnsmasq: "not a line of dnsmasq configuration (address=/name/, local=/name/, server=/name/)"
        case .notUnbound: "not a line of unbound configuration (local-zone: \"name\" type, local-data: \"…\")"
        case .pattern: "a pattern, not a name; patterns in lists are not supported"
        case .realAddress: "a real address: only names with 0.0.0.0, ::, 127.0.0.1 or ::1 are blocked"
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
