public import Wire

/// What is to be captured and how: the whole configuration of the packet tunnel.
public struct CaptureRequest: Sendable, Equatable {
    /// How packets get to the TUN.
    public enum BackEnd: String, Sendable, CaseIterable {
        /// `link` where the kernel has TCX, else `route`.
        case auto
        /// BPF programs on the links.
        case link
        /// Rules and a routing table.
        case route
    }

    /// What gets to the TUN.
    public enum Mode: String, Sendable, CaseIterable {
        /// DNS: UDP and TCP to port 53.
        case dns
        /// All unicast that leaves by a captured link, but for excluded prefixes, link-local addresses and flows that the
        /// far side began.
        case full
    }

    public var backEnd = BackEnd.auto
    public var mode = Mode.dns
    /// Full mode: packets to these prefixes only; empty: to any address. DNS is captured always.
    public var include: [Prefix] = []
    /// Full mode: no packets to these prefixes, whatever `include` says. DNS is captured always.
    public var exclude: [Prefix] = []
    /// Full mode: the networks that the machine is on are excluded too; they are followed while they change.
    public var excludesLocalNetworks = true
    /// Full mode: later packets of an allowed flow stay in the kernel.
    public var fastPath = true
    /// Flows that the kernel's table holds in full mode, 16,384 at least; more of them push out those that were silent
    /// longest, whose next packet comes to user space again.
    public var flowCapacity: UInt32 = 131_072
    /// Whether the kernel may hand over super-packets and packets without checksum.
    public var offloads = true
    /// Names or shell patterns (`wl*`) of the links whose outgoing DNS is captured; empty: every link that is
    /// not the loopback, not served, and not a part of a bridge or bond.
    public var links: [String] = []
    /// Names or patterns of the links behind which clients are: captured where their packets arrive.
    public var serve: [String] = []
    /// The name of the TUN.
    public var tun = "webtun0"
    /// The MTU of the TUN in bytes; `nil`: the smallest one of the captured links, followed while it changes.
    public var mtu: UInt32?
    public var addresses = TunAddresses()
    /// `SO_MARK` of webtun's own sockets, which are not captured.
    public var mark: UInt32 = 0x7774_0001
    /// The routing table of the `route` back end.
    public var table: UInt32 = 7774
    /// The directory of the journal `undo.json`.
    public var state = "/var/lib/webtun"

    public init() {}
}

/// The point-to-point addresses of the TUN: the near ends are this machine's, the far ends stand for the tunnel.
public struct TunAddresses: Sendable, Equatable {
    public var near4 = IPAddress(v4: 0x0a01_0001)
    public var far4 = IPAddress(v4: 0x0a01_0002)
    public var near6 = IPAddress(high: 0xfd77_6562_7475_6e00, low: 1)
    public var far6 = IPAddress(high: 0xfd77_6562_7475_6e00, low: 2)

    public init() {}
}
