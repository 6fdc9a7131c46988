/// What the kernel knows of a flow in full mode.
public struct FlowRecord: Sendable, Equatable {
    /// How far a TCP connection has ended.
    public struct Ends: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// FIN from the side that began the flow, and from the other one.
        public static let finOut = Ends(rawValue: 1)
        public static let finIn = Ends(rawValue: 2)
        /// A reset, from either side.
        public static let reset = Ends(rawValue: 4)

        /// Nothing more is to come but repetitions.
        public var isClosed: Bool { contains(.reset) || contains([.finOut, .finIn]) }
    }

    /// The link where the flow is captured.
    public var ifindex: UInt32
    /// Of a client behind a served link, not of this machine.
    public var isServed: Bool
    /// Allowed in the present epoch: the flow's packets do not come to user space.
    public var isAllowed: Bool
    /// `SO_COOKIE` of the socket, a container's included; 0 when it is none of this machine's.
    public var cookie: UInt64
    /// The first packet, nanoseconds on the monotonic clock to about 10 ms. Another value than before means that another flow of
    /// the same key has begun: counters start at 0.
    public var began: UInt64
    /// The last packet.
    public var lastSeen: UInt64
    /// Packets of the wire by the side that began the flow, and bytes of them from the IP header on.
    public var packetsOut: UInt64
    public var bytesOut: UInt64
    /// The same of the other side.
    public var packetsIn: UInt64
    public var bytesIn: UInt64
    public var ends: Ends
}
