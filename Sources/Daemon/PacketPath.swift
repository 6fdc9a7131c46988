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
    /// Who owns a descriptor of the poller: the upper half of its tag.
    enum Owner {
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
    var log: QueryLogging
    var counters = LoopCounters()
    /// The packet read, and the packet written, each behind its virtio header.
    let input: UnsafeMutableRawBufferPointer
    let output: UnsafeMutableRawBufferPointer

    init(
        tunnel: consuming TunDevice, settings: LoopSettings, policy: PolicySnapshot, ring: QueryRing?,
        addresses: AddressBook, wakeup: CInt
    ) throws {
        // What can fail comes first.
        let poller = try Poller()
        let exchange = try UpstreamExchange(
            servers: settings.servers, mark: settings.mark, poller: poller, owner: Owner.upstream,
            capacity: PacketPath.slots)
        let listener4 = SocketAddress(settings.near4, port: settings.listenerPort)
        let listener6 = SocketAddress(settings.near6, port: settings.listenerPort)
        let server = try StreamServer(
            listeners: tunnel.hasIPv6 ? [listener4, listener6] : [listener4], device: tunnel.name,
            peers: [settings.far4, settings.far6], poller: poller, owner: Owner.stream, connections: settings.streams,
            idleSeconds: settings.streamIdleSeconds)
        try poller.add(tunnel.number, tag: UInt64(Owner.tunnel) << 32, .read)
        try poller.add(wakeup, tag: UInt64(Owner.wakeup) << 32, .read)

        self.tunnel = tunnel
        self.poller = poller
        self.exchange = exchange
        self.server = server
        engine = Engine(settings: settings.engine, policy: policy, slots: PacketPath.slots)
        redirect = StreamRedirect(
            listener4: listener4, peer4: settings.far4, listener6: listener6, peer6: settings.far6)
        flows = FlowEngine(peer4: settings.far4, peer6: settings.far6)
        log = QueryLogging(ring: ring, addresses: addresses)
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
        while true {
            let ready = poller.wait(milliseconds: timeout(Clock.monotonic()))
            var now = Clock.monotonic()
            var index = 0
            while index < ready {
                let event = poller.event(index)
                let place = UInt32(truncatingIfNeeded: event.tag)
                switch UInt32(truncatingIfNeeded: event.tag >> 32) {
                case Owner.tunnel:
                    readBatch()
                case Owner.upstream:
                    exchange.ready(index: place, event.ready, now: now, poller: poller)
                case Owner.stream:
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
            if now >= nextSecond {
                nextSecond = now + 1_000_000_000
                redirect.expire(now: now)
                log.synchronise(now)
            }
            publish(published)
            if stopAt != .max, engine.waitingQueries == 0 || now >= stopAt { return }
        }
    }

    /// Milliseconds until something is due: a retry, an idle connection, or the heartbeat.
    private func timeout(_ now: UInt64) -> CInt {
        var due = now + 500_000_000
        if let next = exchange.nextDeadline(), next < due { due = next }
        if let next = server.nextDeadline, next < due { due = next }
        return due <= now ? 0 : CInt((due - now + 999_999) / 1_000_000)
    }

    private mutating func follow(_ mail: PacketLoop.Mail, _ now: UInt64) {
        if let policy = mail.policy { engine.adopt(policy) }
        if let until = mail.pausedUntil { engine.pausedUntil = until }
        if let servers = mail.servers { exchange.setServers(servers, now: now, poller: poller) }
    }

    private mutating func publish(_ published: PublishedCounters) {
        counters.heartbeat &+= 1
        counters.cacheEntries = engine.cachedAnswers
        counters.waiting = engine.waitingQueries
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
            passOn(flows.decide(&bytes, packet), byteCount)
        }
    }

    // MARK: 3a. DNS over UDP

    /// Answers the message of a datagram, or each message of a super-packet of them.
    private mutating func answerDatagram(_ bytes: RawSpan, _ packet: Packet, _ header: VirtioHeader) {
        let arrived = Clock.monotonic()
        let origin = Origin(
            client: packet.source, clientPort: packet.sourcePort, resolver: packet.destination,
            resolverPort: packet.destinationPort, stream: 0, arrived: arrived)
        let size = header.isUDPSegmentation ? max(Int(header.gsoSize), 1) : packet.end - packet.payload
        var at = packet.payload
        repeat {
            answer(bytes.part(at, min(size, packet.end - at)), origin)
            at += size
        } while at < packet.end
    }

    private mutating func answer(_ message: RawSpan, _ origin: Origin) {
        var out = unsafe messageRoom(isIPv6: origin.client.isIPv6)
        if case .answered(let answer) = decide(message, origin, &out) { send(answer, to: origin) }
    }

    /// What of the output buffer a DNS message is written to: behind the virtio header and the datagram's headers.
    @unsafe
    @_lifetime(immortal)
    private func messageRoom(isIPv6: Bool) -> MutableRawSpan {
        unsafe PacketPath.room(output, from: VirtioHeader.byteCount + UDPDatagram.headerByteCount(isIPv6: isIPv6))
    }

    /// A buffer as a span that is tied to nobody: the buffers live as long as the thread.
    @unsafe
    @_lifetime(immortal)
    private static func room(
        _ buffer: UnsafeMutableRawBufferPointer, from offset: Int = 0, count: Int? = nil
    ) -> MutableRawSpan {
        let part = unsafe UnsafeMutableRawBufferPointer(
            rebasing: buffer[offset..<offset + (count ?? buffer.count - offset)])
        return unsafe _overrideLifetime(part.mutableBytes, copying: ())
    }

    /// What became of one message.
    private enum Outcome {
        /// The answer stands in the output buffer.
        case answered(Answer)
        /// It waits for an upstream.
        case parked
        case dropped
    }

    /// The engine's decision over one message.
    private mutating func decide(_ message: RawSpan, _ origin: Origin, _ out: inout MutableRawSpan) -> Outcome {
        switch engine.handle(message, isStream: origin.isStream, now: origin.arrived, into: &out) {
        case .answer(let answer):
            note(answer, origin, now: origin.arrived)
            return .answered(answer)
        case .drop:
            counters.dropped &+= 1
            return .dropped
        case .ask:
            return ask(message, origin, &out)
        }
    }

    /// Asks an upstream and parks the query; SERVFAIL when that is not possible.
    private mutating func ask(_ message: RawSpan, _ origin: Origin, _ out: inout MutableRawSpan) -> Outcome {
        let query = engine.query
        let slot = exchange.ask(
            engine.name, qtype: query.qtype, qclass: query.qclass, dnssecOK: query.dnssecOK,
            checkingDisabled: query.checkingDisabled, now: origin.arrived, poller: poller)
        if slot >= 0, engine.park(slot, message, origin) {
            counters.forwarded &+= 1
            return .parked
        }
        let answer = engine.fail(message, .overload, into: &out)
        note(answer, origin, now: origin.arrived)
        return .answered(answer)
    }

    // MARK: 3b. DNS over TCP

    private mutating func redirectStream(_ outcome: StreamRedirect.Outcome, _ byteCount: Int) {
        switch outcome {
        case .rewritten:
            unsafe write(input, byteCount)
        case .reset(let packetByteCount):
            writeInPlace(packetByteCount)
        case .drop:
            counters.dropped &+= 1
        }
    }

    /// Answers the queries that the listener's connections have read. Returns whether there were any.
    private mutating func answerStreams(_ now: UInt64) -> Bool {
        var isAny = false
        while let query = server.nextQuery() {
            isAny = true
            // A connection whose flow is gone has nobody to answer to.
            guard let flow = redirect.flow(port: query.peer.port, isIPv6: query.peer.address.isIPv6) else {
                counters.dropped &+= 1
                server.discard(query.token, poller: poller, now: now)
                continue
            }
            let origin = Origin(
                client: flow.client.address, clientPort: flow.client.port, resolver: flow.resolver.address,
                resolverPort: flow.resolver.port, stream: query.token.value, arrived: now)
            counters.streamed &+= 1
            let message = unsafe takeMessage(query)
            var out = unsafe messageRoom(isIPv6: true)
            switch decide(message, origin, &out) {
            case .answered(let answer): send(answer, to: origin)
            case .parked: break
            case .dropped: server.discard(query.token, poller: poller, now: now)
            }
        }
        return isAny
    }

    /// Copies a stream's message into the input buffer, which no packet is in now.
    @unsafe
    @_lifetime(immortal)
    private func takeMessage(_ query: StreamQuery) -> RawSpan {
        let message = server.message(query)
        var room = unsafe PacketPath.room(input)
        room.put(0, message)
        let part = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(input)[..<message.byteCount])
        return unsafe _overrideLifetime(part.bytes, copying: ())
    }

    // MARK: 3c. Everything else

    private mutating func passOn(_ action: FlowEngine.Action, _ byteCount: Int) {
        switch action {
        case .forward:
            counters.passed &+= 1
            unsafe write(input, byteCount)
        case .reply(let packetByteCount):
            writeInPlace(packetByteCount)
        case .drop:
            counters.dropped &+= 1
        }
    }

    // MARK: 4. Upstream replies

    /// Answers the queries whose upstream has answered or failed. Returns whether there were any.
    private mutating func answerWaiting(_ now: UInt64) -> Bool {
        var isAny = false
        while let completion = exchange.nextCompletion(now: now, poller: poller) {
            let server = completion.server ?? .none
            switch completion.outcome {
            case .reply:
                engine.complete(completion.slot, reply: exchange.reply, upstream: server, now: now)
            case .failed(let failure):
                engine.complete(completion.slot, failure: failure.extendedError)
            }
            isAny = true
            var isMore = true
            while isMore { isMore = answerNextWaiting(now) }
        }
        return isAny
    }

    private mutating func answerNextWaiting(_ now: UInt64) -> Bool {
        // The room for IPv6 headers fits both families; the answer is moved up for IPv4 by `send`.
        var out = unsafe messageRoom(isIPv6: true)
        guard let (origin, answer) = engine.nextAnswer(into: &out) else { return false }
        note(answer, origin, now: now)
        if !origin.isStream, !origin.client.isIPv6 {
            let message = out.bytes.extracting(first: answer.byteCount)
            var room = unsafe messageRoom(isIPv6: false)
            room.put(0, message)
        }
        send(answer, to: origin)
        return true
    }

    // MARK: 5. Write

    /// Sends the answer that stands in the output buffer to whoever asked.
    private mutating func send(_ answer: Answer, to origin: Origin) {
        if origin.isStream {
            let message = unsafe messageRoom(isIPv6: true)
            server.reply(
                StreamToken(origin.stream), message.bytes.extracting(first: answer.byteCount), poller: poller)
            return
        }
        var frame = unsafe PacketPath.room(output)
        VirtioHeader.composePlain(into: &frame)
        var packet = unsafe PacketPath.room(output, from: VirtioHeader.byteCount)
        let byteCount = UDPDatagram.compose(
            &packet, from: origin.resolver, port: origin.resolverPort, to: origin.client, port: origin.clientPort,
            payloadByteCount: answer.byteCount)
        unsafe write(output, VirtioHeader.byteCount + byteCount)
    }

    /// Writes the packet that was composed in place of the one read.
    private mutating func writeInPlace(_ packetByteCount: Int) {
        var frame = unsafe PacketPath.room(input)
        VirtioHeader.composePlain(into: &frame)
        unsafe write(input, VirtioHeader.byteCount + packetByteCount)
    }

    private mutating func write(_ buffer: UnsafeMutableRawBufferPointer, _ byteCount: Int) {
        let written = unsafe tunnel.write(UnsafeRawBufferPointer(rebasing: buffer[..<byteCount]))
        if written != byteCount { counters.writeErrors &+= 1 }
    }

    // MARK: Count and log

    private mutating func note(_ answer: Answer, _ origin: Origin, now: UInt64) {
        counters.queries &+= 1
        switch answer.reason {
        case .failed, .overload: counters.failed &+= 1
        case .malformed, .unsupported, .refused: counters.refused &+= 1
        default:
            if answer.verdict.action == .block { counters.blocked &+= 1 }
            if answer.isCached { counters.cached &+= 1 }
        }
        log.push(answer, engine.query, origin, qname: engine.name.bytes, digest: engine.digest.bytes, now: now)
    }
}
