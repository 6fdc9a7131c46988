public import Blocklist
public import Kernel
public import Wire

/// Decides what becomes of a packet that reached the tunnel and is no DNS.
///
/// Sans-I/O: bytes in, an action out. One thread. Nothing allocates.
///
/// A flow's first packet gives it a place in the table and asks the policy: allow, drop, or peek, which means that packets
/// pass until the flow's name has been found in them. An allowed flow is handed to the kernel and not seen again, until it
/// ends or the policy changes.
public struct FlowEngine: ~Copyable {
    public enum Action: Equatable, Sendable {
        /// The packet leaves as the application sent it, with the virtio header it came with.
        case forward
        /// The same, and the kernel is to let the rest of `flow` pass without asking.
        case allow
        /// The packet gave way to an answer of so many bytes, which goes into the TUN with a plain virtio header.
        case reply(byteCount: Int)
        /// The packet must not leave; its sender is to hear of it by TCP reset or ICMP error.
        case reject
        /// The same for a connection that was alive: its far end is to hear of it too.
        case cut
        /// It is a flow's first packet: call `decide` again with who began it.
        case identify
        case drop(Reason)
    }

    /// Why a packet is dropped without an answer.
    public enum Reason: UInt8, CaseIterable, Sendable {
        /// Not IP, or its lengths contradict each other.
        case malformed
        /// A fragment of a query, which cannot be judged, or of a packet whose first fragment was dropped.
        case fragment
        /// For a group, all hosts or a link-local address: nothing that leaves the TUN, where nobody else is. Such are
        /// the kernel's own announcements.
        case linkScope
        /// For the peer address, where pings are answered and connections refused, and nothing else.
        case peer
        /// The policy drops its flow, and the configuration wants silence.
        case policy
    }

    /// What was decided since the start, in packets.
    public struct Counters: Sendable {
        public var forwarded: UInt64 = 0
        public var replied: UInt64 = 0
        public var rejected: UInt64 = 0
        /// Flows by their verdict.
        public var flowsAllowed: UInt64 = 0
        public var flowsDropped: UInt64 = 0
        /// Flows among the dropped ones that were alive when the policy changed.
        public var flowsCut: UInt64 = 0
        /// Flows that had to be forgotten because the table was full.
        public var flowsEvicted: UInt64 = 0
        /// By `Reason`.
        fileprivate(set) var dropped = [5 of UInt64](repeating: 0)

        public subscript(reason: Reason) -> UInt64 { dropped[Int(reason.rawValue)] }
    }

    /// What is known of a packet besides its bytes.
    public struct Arrival: Sendable {
        /// Nanoseconds, monotonic.
        public var now: UInt64
        /// Who sent it; `FlowEngine.machine` for any address of this machine.
        public var client: IPAddress
        /// Bytes of payload of each datagram in a UDP super-packet; 0: it is none.
        public var segmentSize = 0
        /// The program that sent it; asked for by `identify`.
        public var owner: Owner?

        public init(now: UInt64, client: IPAddress, segmentSize: Int = 0, owner: Owner? = nil) {
            self.now = now
            self.client = client
            self.segmentSize = segmentSize
            self.owner = owner
        }
    }

    var settings: FlowSettings
    public internal(set) var counters = Counters()
    /// Until when every flow is allowed, nanoseconds on the monotonic clock.
    public internal(set) var pausedUntil: UInt64 = 0
    /// Counts policies: a flow that another one judged is judged again at its next packet.
    public internal(set) var generation: UInt32 = 1
    /// The flow of the last packet; meaningful after `allow`, `reject` and `cut`.
    public internal(set) var flow: FlowKey
    /// `nil`: none speaks of any flow.
    var policy: PolicySnapshot?
    var table: FlowTable
    var fragments = FragmentTable()
    var names: AddressNames
    var peeker: NamePeek
    var dnsName = Name()
    /// The flow that was judged last and is still to be told of; -1: none.
    var judged = -1
    var isRejudged = false
    /// The flow of `nextIdle`.
    var idle = 0
    var numbers: UInt64 = 0
    /// The name of the flow at hand.
    var room = InlineArray<256, UInt8>(repeating: 0)
    var roomUsed = 0

    /// An engine that forwards what is not for the peer addresses.
    public init(peer4: IPAddress, peer6: IPAddress) {
        self.init(settings: FlowSettings(mode: .forward, peer4: peer4, peer6: peer6), policy: nil)
    }

    public init(settings: FlowSettings, policy: PolicySnapshot?) {
        self.settings = settings
        self.policy = policy
        let capacity = settings.mode == .judge ? settings.capacity : 1
        names = AddressNames(capacity: settings.mode == .judge ? settings.names : 1)
        peeker = NamePeek(capacity: settings.mode == .judge ? 256 : 1)
        table = FlowTable(
            capacity: capacity, nameBytes: capacity * 32, seed: (.random(in: 1 ... .max), .random(in: 1 ... .max)))
        flow = FlowKey(
            source: settings.peer4, sourcePort: 0, destination: settings.peer4, destinationPort: 0, proto: 0)
    }

    /// - Parameters:
    ///   - bytes: the packet, from its IP header on; an answer is composed in its place.
    ///   - packet: what `Packet.parse` made of it.
    public mutating func decide(
        _ bytes: inout MutableRawSpan, _ packet: Packet, _ arrival: Arrival
    ) -> Action {
        let action = judge(&bytes, packet, arrival)
        switch action {
        case .forward, .allow: counters.forwarded += 1
        case .reply: counters.replied += 1
        case .reject, .cut: counters.rejected += 1
        case .drop(let reason): counters.dropped[Int(reason.rawValue)] += 1
        case .identify: break
        }
        return action
    }

    private mutating func judge(
        _ bytes: inout MutableRawSpan, _ packet: Packet, _ arrival: Arrival
    ) -> Action {
        if packet.kind == .malformed { return .drop(.malformed) }
        if packet.destination == (packet.isIPv6 ? settings.peer6 : settings.peer4) { return answer(&bytes, packet) }
        if packet.destination.isMulticastOrBroadcast || packet.destination.isLinkLocal { return .drop(.linkScope) }
        switch (packet.kind, settings.mode) {
        case (.fragment, .forward): return .drop(.fragment)
        case (_, .forward): return .forward
        case (.fragment, .judge): return judgeFragment(bytes.bytes, packet, arrival)
        // Errors belong to the flow that they quote; without them path MTU discovery fails (RFC 4890 section 4.3.1).
        case (.icmp, .judge) where Unreachable.isError(bytes.bytes, packet): return .forward
        case (_, .judge): return judgeFlow(bytes.bytes, packet, FlowKey(bytes.bytes, packet), arrival)
        }
    }

    /// Who sends, in the numbers of the policy in force.
    func asker(_ client: IPAddress, _ owner: Owner) -> Asker {
        Asker(owner: owner, profile: policy?.profile(of: client, owner: owner) ?? 0)
    }

    /// What the peer address says: pings are answered, connections refused.
    private func answer(_ bytes: inout MutableRawSpan, _ packet: Packet) -> Action {
        switch packet.kind {
        case .icmp where Echo.composeReply(into: &bytes, answering: packet):
            return .reply(byteCount: packet.end)
        case .tcp:
            let count = Segment.composeReset(into: &bytes, answering: packet)
            return count > 0 ? .reply(byteCount: count) : .drop(.peer)
        default:
            return .drop(.peer)
        }
    }

    /// The first fragment has the ports and stands for the packet: without it the others cannot be put together, so they
    /// pass unless it is known to have been dropped, or the policy forbids their address.
    private mutating func judgeFragment(
        _ bytes: RawSpan, _ packet: Packet, _ arrival: Arrival
    ) -> Action {
        let now = arrival.now
        let fragment = Fragment(bytes, packet)
        guard fragment.isFirst else {
            if fragments.holds(packet, fragment, now: now) { return .drop(.fragment) }
            let verdict = policy?.flowVerdict(
                remote: packet.destination, port: 0, proto: packet.proto, name: RawSpan(),
                asker: asker(packet.source, .unknown), isNameFinal: true)
            return verdict?.action == .drop && now >= pausedUntil ? .drop(.fragment) : .forward
        }
        var action = Action.drop(.fragment)
        if fragment.destinationPort != 53 {
            var key = FlowKey(bytes, packet)
            key.sourcePort = fragment.sourcePort
            key.destinationPort = fragment.destinationPort
            action = judgeFlow(bytes, packet, key, arrival)
        }
        switch action {
        case .reject, .cut, .drop: fragments.insert(packet, fragment, now: now)
        case .forward, .allow, .reply, .identify: break
        }
        return action
    }
}
