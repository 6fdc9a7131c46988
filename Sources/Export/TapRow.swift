public import QueryLog

/// A query that came in, or the answer it got, on its way to whoever listens outside. A value; any thread.
public struct TapRow: Sendable {
    public enum Kind: UInt8, Sendable {
        /// A query as it came in: only times, addresses and ports of the row are known.
        case query
        case answer
    }

    public var kind: Kind
    public var row: QueryRow
    /// The port of the resolver that the client asked.
    public var resolverPort: UInt16

    public init(_ kind: Kind, _ row: QueryRow, resolverPort: UInt16) {
        self.kind = kind
        self.row = row
        self.resolverPort = resolverPort
    }
}
