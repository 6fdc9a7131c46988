public import ContentFilter
public import DNSProxy
public import Export
public import Kernel
public import Wire

/// What the packet loop is started with; fixed while it runs, but for `engine`.
public struct LoopSettings: Sendable {
    /// Followed while the loop runs.
    public var engine: SettingsBook
    /// Upstreams at the start; `PacketLoop.adopt(servers:)` changes them.
    public var servers: [SocketAddress]
    /// `SO_MARK` of webtun's own sockets, which the capture lets pass.
    public var mark: UInt32
    /// The TUN's near and far addresses, IPv4 and IPv6.
    public var near4: IPAddress
    public var far4: IPAddress
    public var near6: IPAddress
    public var far6: IPAddress
    /// Port of the listener that DNS over TCP is redirected to.
    public var listenerPort: UInt16
    /// Connections to the listener at most, and seconds after which an idle one is closed.
    public var streams: Int
    public var streamIdleSeconds: Int
    public var flows: FlowSettings
    /// Is told of every answer, when metrics, dnstap or events are wanted.
    public var tap: TapRing?
    /// A line on standard output for each packet read.
    public var printsPackets = false

    public init(
        engine: SettingsBook, servers: [SocketAddress], mark: UInt32, near4: IPAddress, far4: IPAddress,
        near6: IPAddress, far6: IPAddress, listenerPort: UInt16, streams: Int = 1024, streamIdleSeconds: Int = 10
    ) {
        self.engine = engine
        self.servers = servers
        self.mark = mark
        self.near4 = near4
        self.far4 = far4
        self.near6 = near6
        self.far6 = far6
        self.listenerPort = listenerPort
        self.streams = streams
        self.streamIdleSeconds = streamIdleSeconds
        flows = FlowSettings(mode: .forward, peer4: far4, peer6: far6)
    }
}
