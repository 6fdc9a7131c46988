public import Wire

/// A way to get packets to the TUN: `LinkCapture` or `RouteCapture`. Any thread; nothing here is on a packet's path.
///
/// The order of a run: open the `TunDevice`, make the capture, start reading, `attach`, `follow` until the end, `detach`,
/// close the TUN.
public protocol Capture: AnyObject, Sendable {
    /// Diverts packets from now on. On an error nothing stays diverted.
    func attach() throws(CaptureError)
    /// Keeps the capture right while links appear, vanish and change, until the task is cancelled.
    func follow() async throws
    /// Captures and serves other links from now on: names or patterns as in `CaptureRequest`.
    func select(links: [String], serve: [String])
    /// Gives the packets back. Does nothing when not attached.
    func detach()
    /// What holds at this moment, asked of the kernel.
    var state: CaptureState { get }
    /// Packets since the start.
    var counters: CaptureCounters { get }
    /// Which link an address belongs to.
    var addresses: AddressBook { get }
    /// Which sockets of this machine flows are from; nil where the capture does not see it.
    var flowSockets: FlowSockets? { get }
    /// The kernel's table of flows in full mode; `nil`: there is none, and every packet keeps passing the TUN.
    var flows: KernelFlows? { get }
    /// Whether packets that are forwarded by the TUN lose one of their TTL, so that `Lifetime.raise` must come before.
    var lowersLifetime: Bool { get }
    /// Changes the prefixes of full mode. A flow that is in the table follows when the epoch changes.
    func setPrefixes(include: [Prefix], exclude: [Prefix]) throws(CaptureError)
}

/// What is captured at this moment, as the kernel says.
public struct CaptureState: Sendable, Equatable {
    /// One link of the machine that the capture deals with.
    public struct Link: Sendable, Equatable {
        public var name: String
        public var ifindex: UInt32
        /// Captured for clients behind it, not for this machine.
        public var served: Bool
        /// Whether its DNS goes to the TUN.
        public var captured: Bool
        /// Up, with an address of more than link scope.
        public var active: Bool
        /// Why it is not captured, for people.
        public var problem: String?
    }

    /// `link` or `route`.
    public var backEnd: CaptureRequest.BackEnd
    public var links: [Link]
    /// Names asked for that no link has now.
    public var missing: [String]
    /// Why nothing is filtered, for people; `nil` when the capture as such is in place.
    public var problem: String?
    /// Why the packets of allowed flows keep passing the TUN, for people; `nil` when they stay in the kernel, or nobody wants
    /// that.
    public var detour: String?

    /// True when the capture is in place and every link is captured.
    public var isCapturing: Bool { problem == nil && !links.isEmpty && links.allSatisfy(\.captured) }
}

/// Packets since the start, by what happened to them. `route` counts nothing here.
public struct CaptureCounters: Sendable, Equatable {
    /// From captured links to the TUN.
    public var captured: UInt64 = 0
    /// From clients behind served links to the TUN.
    public var served: UInt64 = 0
    /// From the TUN to applications and clients.
    public var replied: UInt64 = 0
    /// From the TUN on their way, unchanged.
    public var forwarded: UInt64 = 0
    /// From the TUN to this machine's own stack.
    public var local: UInt64 = 0
    /// webtun's own packets, left alone.
    public var passed: UInt64 = 0
    /// Fragments among `captured` and `served`.
    public var fragments: UInt64 = 0
    /// Dropped because a kernel helper failed.
    public var errors: UInt64 = 0
    /// Full mode, left alone: of allowed flows, of flows that the far side began, to excluded prefixes.
    public var allowed: UInt64 = 0
    public var inbound: UInt64 = 0
    public var excluded: UInt64 = 0

    public init() {}
}
