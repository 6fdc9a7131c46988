public import Kernel

/// Names a connection of the server; one that is gone is recognised.
public struct StreamToken: Hashable, Sendable {
    let slot: UInt32
    let generation: UInt32

    init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    /// The token that has a `value`.
    public init(_ value: UInt64) {
        slot = UInt32(truncatingIfNeeded: value >> 32) &- 1
        generation = UInt32(truncatingIfNeeded: value)
    }

    /// The token as one integer, never 0.
    public var value: UInt64 { (UInt64(slot) + 1) << 32 | UInt64(generation) }
}

/// A query that came over TCP. Each wants one `reply` or `discard`.
public struct StreamQuery: Sendable {
    public let token: StreamToken
    /// The other end as the listener sees it: the tunnel's peer, with the port that names the flow.
    public let peer: SocketAddress
    let offset: Int
    let byteCount: Int
}
