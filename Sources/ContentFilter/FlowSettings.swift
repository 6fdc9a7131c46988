public import Wire

/// What the flow engine is started with; fixed while it runs.
public struct FlowSettings: Sendable {
    /// What is done with the packets that are no DNS.
    public enum Mode: Sendable {
        /// They are forwarded: only DNS is captured, so there are hardly any.
        case forward
        /// Each belongs to a flow, which gets a verdict.
        case judge
    }

    public var mode: Mode
    /// The far addresses of the TUN, which answer pings.
    public var peer4: IPAddress
    public var peer6: IPAddress
    public var defaults = FlowDefaults()
    /// Flows that are remembered at a time.
    public var capacity = 131_072
    /// Addresses of which the name is remembered that a DNS answer gave.
    public var names = 65_536

    public init(mode: Mode, peer4: IPAddress, peer6: IPAddress) {
        self.mode = mode
        self.peer4 = peer4
        self.peer6 = peer6
    }
}

/// What the configuration says of flows; it can change while the engine runs.
public struct FlowDefaults: Sendable, Equatable {
    /// Whether a flow is dropped that nothing in the policy speaks of.
    public var drops = false
    /// Whether a dropped flow gets no answer, instead of a TCP reset or an ICMP error.
    public var isSilent = false

    public init() {}
}
