/// A name given by a person, brought to the form in which names are stored: A-labels, lower case, no last dot.
public struct DomainName: Sendable, Hashable, CustomStringConvertible {
    /// The stored form, at most 253 bytes.
    public let text: String

    /// - Throws: `BlocklistError.badName` with the reason.
    public init(_ text: String) throws(BlocklistError) {
        var name = NameText()
        if let problem = name.parse(Array(text.utf8).span) { throw .badName(text, "\(problem)") }
        self.text = name.string
    }

    public var description: String { text }

    /// The wire form with the root's byte (RFC 1035 section 3.1), in lower case.
    public var wire: [UInt8] {
        text.utf8.split(separator: NameBytes.dot).flatMap { [UInt8($0.count)] + Array($0) } + [0]
    }
}
