import Blocklist
import ContentFilter
import DNSProxy
import Glibc
import Kernel
import PacketTunnel
import QueryLog
import Wire

/// The path of a packet, top to bottom: read → classify → DNS query, redirected stream or other flow → write.
///
/// All of it belongs to one thread, which takes no lock on this path, waits only in the poller, and allocates nothing for
/// a blocked or cached answer.
@safe
struct PacketPath: ~Copyable {
    /// Whom a descriptor of the poller belongs to: the upper half of its tag.
    enum Party {
        static let tunnel: UInt32 = 1
        static let wakeup: UInt32 = 2
        static let upstream: UInt32 = 3
        static let stream: UInt32 = 4
    }

    /// Packets read before the other descriptors get their turn.
    static let batch = 64
    /// Rounds of streams and upstreams before the TUN gets its turn again.
    static let rounds = 16
    /// Questions asked upstream at a time.
    static let slots = 4096
    static let bufferByteCount = 65536 + 64

    let tunnel: TunDevice
    let poller: Poller
    var engine: Engine
    var exchange: UpstreamExchange
    var redirect: StreamRedirect
    var server: StreamServer
    var flows: FlowEngine
    /// The kernel's own table of flows, where it has one.
    let map: KernelFlows?
    /// The kernel takes one of the TTL of packets that are forwarded: it is given one more before.
    let raisesLifetime: Bool
    /// Flows are judged, also by the names of their addresses.
    let learnsNames: Bool
    /// What the kernel tells of flows, still to be followed.
    var tidings: [FlowTidings] = []
    var log: QueryLogging
    /// Who sends packets; rules may depend on it.
    var owners: OwnerLookup?
    var needsQueryOwner: Bool
    var needsFlowOwner: Bool
    var printer: PacketPrinter?
    var counters = LoopCounters()
    /// The packet read, and the packet written, each behind its virtio header.
    let input: UnsafeMutableRawBufferPointer
    let output: UnsafeMutableRawBufferPointer

    init(
        tunnel: consuming TunDevice, capture: any Capture, settings: LoopSettings, policy: PolicySnapshot,
        ring: QueryRing?, owners: OwnerLookup?, wakeup: CInt
    ) throws {
        // What can fail comes first.
        let poller = try Poller()
        var exchange = try UpstreamExchange(
            servers: settings.servers, mark: settings.mark, poller: poller, owner: Party.upstream,
            capacity: PacketPath.slots)
        exchange.setForwards(policy.local.forwards, now: Clock.monotonic(), poller: poller)
        let listener4 = SocketAddress(settings.near4, port: settings.listenerPort)
        let listener6 = SocketAddress(settings.near6, port: settings.listenerPort)
        let server = try StreamServer(
            listeners: tunnel.hasIPv6 ? [listener4, listener6] : [listener4], device: tunnel.name,
            peers: [settings.far4, settings.far6], poller: poller, owner: Party.stream, connections: settings.streams,
            idleSeconds: settings.streamIdleSeconds)
        try poller.add(tunnel.number, tag: UInt64(Party.tunnel) << 32, .read)
        try poller.add(wakeup, tag: UInt64(Party.wakeup) << 32, .read)

        self.tunnel = tunnel
        self.poller = poller
        self.exchange = exchange
        self.server = server
        engine = Engine(settings: settings.engine, policy: policy, slots: PacketPath.slots)
        redirect = StreamRedirect(
            listener4: listener4, peer4: settings.far4, listener6: listener6, peer6: settings.far6)
        flows = FlowEngine(settings: settings.flows, policy: policy)
        map = capture.flows
        learnsNames = settings.flows.mode == .judge
        raisesLifetime = capture.lowersLifetime
        log = QueryLogging(ring: ring, tap: settings.tap, addresses: capture.addresses)
        self.owners = owners
        needsQueryOwner = policy.needsQueryOwner
        needsFlowOwner = policy.needsFlowOwner
        printer = settings.printsPackets ? PacketPrinter() : nil
        unsafe input = .allocate(byteCount: PacketPath.bufferByteCount, alignment: 64)
        unsafe output = .allocate(byteCount: PacketPath.bufferByteCount, alignment: 64)
    }

    deinit {
        unsafe input.deallocate()
        unsafe output.deallocate()
    }

    /// Runs until a stop is ordered and the waiting queries are answered, or a second after that.
    mutating func run(wakeup: Wakeup, published: PublishedCounters, takeMail: () -> PacketLoop.Mail) {
        var stopAt = UInt64.max
        var nextSecond: UInt64 = 0
        var isMore = false
        while true {
            let ready = poller.wait(milliseconds: isMore ? 0 : timeout(Clock.monotonic()))
            var now = Clock.monotonic()
            var index = 0
            while index < ready {
                let event = poller.event(index)
                let place = UInt32(truncatingIfNeeded: event.tag)
                switch UInt32(truncatingIfNeeded: event.tag >> 32) {
                case Party.tunnel:
                    readBatch()
                case Party.upstream:
                    exchange.ready(index: place, event.ready, now: now, poller: poller)
                case Party.stream:
                    server.ready(index: place, event.ready, now: now, poller: poller)
                default:
                    wakeup.clear()
                    let mail = takeMail()
                    follow(mail, now)
                    if mail.isStopping, stopAt == .max { stopAt = now + 1_000_000_000 }
                }
                index += 1
            }
            // What follows may look at times that were taken while the events were handled.
            now = Clock.monotonic()
            exchange.expire(now: now, poller: poller)
            // An answer to a stream can let its next query in, and that one can be asked and fail at once.
            var rounds = 0
            while rounds < PacketPath.rounds, answerStreams(now) || answerWaiting(now) { rounds += 1 }
            server.expire(now: now, poller: poller)
            isMore = tendFlows(now)
            if now >= nextSecond {
                nextSecond = now + 1_000_000_000
                redirect.expire(now: now)
                log.synchronise(now)
            }
            publish(published)
            if stopAt != .max, engine.waitingQueries == 0 || now >= stopAt { break }
        }
        endAllFlows(Clock.monotonic())
    }

    /// Milliseconds until something is due: a retry, an idle connection, or the heartbeat.
    private func timeout(_ now: UInt64) -> CInt {
        var due = now + 500_000_000
        if let next = exchange.nextDeadline(), next < due { due = next }
        if let next = server.nextDeadline, next < due { due = next }
        return due <= now ? 0 : CInt((due - now + 999_999) / 1_000_000)
    }

    private mutating func follow(_ mail: PacketLoop.Mail, _ now: UInt64) {
        if let policy = mail.policy {
            engine.adopt(policy)
            exchange.setForwards(policy.local.forwards, now: now, poller: poller)
            followOwners(policy)
        }
        if let until = mail.pausedUntil { engine.pausedUntil = until }
        if let servers = mail.servers { exchange.setServers(servers, now: now, poller: poller) }
        for peek in mail.peeks { peek.look(engine, now: now) }
        followFlows(mail, now)
    }

    private mutating func publish(_ published: PublishedCounters) {
        counters.heartbeat &+= 1
        counters.cacheEntries = engine.cachedAnswers
        counters.waiting = engine.waitingQueries
        counters.flows = flows.liveFlows
        counters.flowsAllowed = Int(truncatingIfNeeded: flows.counters.flowsAllowed)
        counters.flowsDropped = Int(truncatingIfNeeded: flows.counters.flowsDropped)
        published.publish(counters)
    }

    // MARK: 1. Read

    private mutating func readBatch() {
        var count = 0
        while count < PacketPath.batch {
            let byteCount = unsafe tunnel.read(into: input)
            if byteCount <= 0 { return }
            if byteCount > VirtioHeader.byteCount { classify(byteCount) }
            count += 1
        }
    }

    // MARK: 2. Classify

    private mutating func classify(_ byteCount: Int) {
        let frame = unsafe PacketPath.room(input, count: byteCount)
        let header = VirtioHeader(frame.bytes)
        let offset = VirtioHeader.byteCount
        var bytes = unsafe PacketPath.room(input, from: offset, count: byteCount - offset)
        let packet = Packet.parse(bytes.bytes)
        printer?.begin(bytes.bytes, packet)
        defer { printer?.end() }
        if packet.kind == .udp, packet.destinationPort == 53 {
            answerDatagram(bytes.bytes, packet, header)
        } else if packet.kind == .tcp, packet.destinationPort == 53 {
            redirectStream(
                redirect.toListener(
                    &bytes, packet, partialChecksum: header.needsChecksum, now: Clock.monotonic()), byteCount)
        } else if redirect.isFromListener(packet) {
            redirectStream(
                redirect.fromListener(
                    &bytes, packet, partialChecksum: header.needsChecksum, now: Clock.monotonic()), byteCount)
        } else {
            filter(&bytes, packet, header, byteCount)
        }
    }

    // MARK: 4. Write

    /// Writes the packet that was composed in place of the one read.
    mutating func writeInPlace(_ packetByteCount: Int) {
        var frame = unsafe PacketPath.room(input)
        VirtioHeader.composePlain(into: &frame)
        unsafe write(input, VirtioHeader.byteCount + packetByteCount)
    }

    /// Writes the packet that was composed in the output buffer.
    mutating func writeOutput(_ packetByteCount: Int) {
        var frame = unsafe PacketPath.room(output)
        VirtioHeader.composePlain(into: &frame)
        unsafe write(output, VirtioHeader.byteCount + packetByteCount)
    }

    mutating func write(_ buffer: UnsafeMutableRawBufferPointer, _ byteCount: Int) {
        let written = unsafe tunnel.write(UnsafeRawBufferPointer(rebasing: buffer[..<byteCount]))
        if written != byteCount { counters.writeErrors &+= 1 }
    }

    /// A buffer as a span that is tied to nobody: the buffers live as long as the thread.
    @unsafe
    @_lifetime(immortal)
    static func room(
        _ buffer: UnsafeMutableRawBufferPointer, from offset: Int = 0, count: Int? = nil
    ) -> MutableRawSpan {
        let part = unsafe UnsafeMutableRawBufferPointer(
            rebasing: buffer[offset..<offset + (count ?? buffer.count - offset)])
        return unsafe _overrideLifetime(part.mutableBytes, copying: ())
    }
}
