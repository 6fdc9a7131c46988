public import Blocklist
public import Kernel
public import Wire

/// What is to be done with a DNS message from an application.
public enum Action: Sendable {
    /// The answer stands in the caller's buffer.
    case answer(Answer)
    /// An upstream has to be asked the engine's `query` for the name `asked`; then `park` the query.
    case ask
    /// Nothing: it is no query.
    case drop
}

/// An answer that was written, and what the log wants to know of it.
public struct Answer: Sendable {
    /// Length of the DNS message.
    public var byteCount: Int
    public var verdict: Verdict
    public var reason: Reason
    public var rcode: RCode
    public var isCached: Bool
    /// An upstream vouched for the answer with AD.
    public var isAuthentic: Bool
    /// The upstream that answered; the unspecified address for none.
    public var upstream: SocketAddress
    /// Nothing is sent: a list drops the query.
    public var isSilent = false

    @inlinable
    init(_ byteCount: Int, _ reason: Reason, _ rcode: RCode, _ verdict: Verdict = .forward) {
        self.byteCount = byteCount
        self.verdict = verdict
        self.reason = reason
        self.rcode = rcode
        isCached = false
        isAuthentic = false
        upstream = .none
    }
}

/// Why a query was answered as it was; raw values as in the query log.
public enum Reason: UInt8, Sendable, CaseIterable {
    case none, list, rule, cname, record, paused, malformed, unsupported, refused, failed, overload, bypass, safesearch

    /// Of a verdict on a qname.
    @inlinable
    init(_ verdict: Verdict) {
        switch verdict.list {
        case 0: self = .rule
        case Verdict.bypass: self = .bypass
        default: self = verdict.action == .forward ? .none : .list
        }
    }
}

/// Where a query came from: what its answer has to be sent to, and when it arrived.
public struct Origin: Sendable {
    public var client: IPAddress
    public var clientPort: UInt16
    /// The resolver that was asked: the answer's source.
    public var resolver: IPAddress
    public var resolverPort: UInt16
    /// Of a stream: the token to answer with; 0 for a datagram.
    public var stream: UInt64
    /// Nanoseconds, monotonic.
    public var arrived: UInt64
    /// Who asked; matters only while the policy's `needsQueryOwner`.
    public var owner = Owner.unknown

    @inlinable public var isStream: Bool { stream != 0 }

    @inlinable
    public init(
        client: IPAddress, clientPort: UInt16, resolver: IPAddress, resolverPort: UInt16, stream: UInt64,
        arrived: UInt64
    ) {
        self.client = client
        self.clientPort = clientPort
        self.resolver = resolver
        self.resolverPort = resolverPort
        self.stream = stream
        self.arrived = arrived
    }
}

extension UpstreamExchange.Failure {
    /// What the client is told (RFC 8914 section 4).
    public var extendedError: ExtendedError {
        switch self {
        case .timeout, .noServers: .noReachableAuthority
        case .refused, .unreachable: .networkError
        case .serverFailure: .other
        }
    }
}
