/// A piece of webtun that takes bytes from strangers. An input that breaks one of its promises is a trap.
///
/// Compiled twice: with coverage into the fuzzer, and plainly into the test that replays the kept inputs.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// Packets from the TUN to what becomes of them.
    case packets
    /// Lines of blocklists.
    case lists
    /// Replies of upstreams on their way into the cache.
    case replies
    /// TLS and HTTP streams in which a name is looked for.
    case streams
    /// QUIC packets in which a name is looked for.
    case initials

    /// One input. Deterministic, but for the seeds of hash tables.
    public func run(_ input: [UInt8]) {
        switch self {
        case .packets: PacketTarget.run(input)
        case .lists: ListTarget.run(input)
        case .replies: ReplyTarget.run(input)
        case .streams: StreamTarget.run(input)
        case .initials: InitialTarget.run(input)
        }
    }

    /// Inputs to begin with.
    public var seeds: [[UInt8]] {
        switch self {
        case .packets: PacketTarget.seeds
        case .lists: ListTarget.seeds
        case .replies: ReplyTarget.seeds
        case .streams: StreamTarget.seeds
        case .initials: InitialTarget.seeds
        }
    }
}

/// A promise: its breach ends the program, in release builds too.
func promise(_ condition: Bool, _ text: @autoclosure () -> String) {
    if !condition { fatalError(text()) }
}
