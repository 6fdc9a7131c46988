/// The formats of lists.
public enum ListFormat: String, Sendable, CaseIterable {
    case hosts
    case domains
    /// Addresses and prefixes, for flows.
    case ip
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
    case noAddress
    case noName
    case realAddress
    case severalNames
    case severalAddresses
    case noPrefix(String)
    case everyAddress
    case nul
    case notUTF8
    case tooLong
    case tooManyNames

    var description: String {
        switch self {
        case .name(let problem): "\(problem)"
        case .noAddress: "no address before the name (hosts lines are '0.0.0.0 name')"
        case .noName: "no name after the address"
        case .realAddress: "a real address: only names with 0.0.0.0, ::, 127.0.0.1 or ::1 are blocked"
        case .severalNames: "more than one word on the line"
        case .severalAddresses: "more than an address on the line"
        case .noPrefix(let reason): reason
        case .everyAddress: "stands for every address; 'webtun flow' makes such rules"
        case .nul: "a NUL byte"
        case .notUTF8: "not valid UTF-8"
        case .tooLong: "longer than \(LineReader.longest) bytes"
        case .tooManyNames: "more than \(EntryID.namesPerLine) names on the line"
        }
    }
}
