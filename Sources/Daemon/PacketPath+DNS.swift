import Blocklist
import ContentFilter
import DNSProxy
import Glibc
import Kernel
import PacketTunnel
import Wire

/// The stages of DNS: over UDP, over TCP, and the answers of upstreams.
extension PacketPath {
    // MARK: 3a. DNS over UDP

    /// Answers the message of a datagram, or each message of a super-packet of them.
    mutating func answerDatagram(_ bytes: RawSpan, _ packet: Packet, _ header: VirtioHeader) {
        let arrived = Clock.monotonic()
        var origin = Origin(
            client: packet.source, clientPort: packet.sourcePort, resolver: packet.destination,
            resolverPort: packet.destinationPort, stream: 0, arrived: arrived)
        origin.owner = owner(of: origin)
        let size = header.isUDPSegmentation ? max(Int(header.gsoSize), 1) : packet.end - packet.payload
        var at = packet.payload
        repeat {
            answer(bytes.part(at, min(size, packet.end - at)), origin)
            at += size
        } while at < packet.end
    }

    private mutating func answer(_ message: RawSpan, _ origin: Origin) {
        var out = unsafe messageRoom(isIPv6: origin.client.isIPv6)
        switch decide(message, origin, &out) {
        case .answered(let answer):
            send(answer, to: origin)
            printer?.note("answered")
        case .parked:
            printer?.note("asked upstream")
        case .dropped:
            printer?.note("dropped")
        }
    }

    /// What of the output buffer a DNS message is written to: behind the virtio header and the datagram's headers.
    @unsafe
    @_lifetime(immortal)
    private func messageRoom(isIPv6: Bool) -> MutableRawSpan {
        unsafe PacketPath.room(output, from: VirtioHeader.byteCount + UDPDatagram.headerByteCount(isIPv6: isIPv6))
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
        log.push(message, origin)
        switch engine.handle(
            message, isStream: origin.isStream, client: origin.client, owner: origin.owner, now: origin.arrived,
            into: &out)
        {
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
            engine.asked, qtype: query.qtype, qclass: query.qclass, dnssecOK: query.dnssecOK,
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

    mutating func redirectStream(_ outcome: StreamRedirect.Outcome, _ byteCount: Int) {
        switch outcome {
        case .rewritten:
            printer?.note("redirected")
            unsafe write(input, byteCount)
        case .reset(let packetByteCount):
            writeInPlace(packetByteCount)
        case .drop:
            counters.dropped &+= 1
        }
    }

    /// Answers the queries that the listener's connections have read. Returns whether there were any.
    mutating func answerStreams(_ now: UInt64) -> Bool {
        var isAny = false
        while let query = server.nextQuery() {
            isAny = true
            // A connection whose flow is gone has nobody to answer to.
            guard let flow = redirect.flow(port: query.peer.port, isIPv6: query.peer.address.isIPv6) else {
                counters.dropped &+= 1
                server.discard(query.token, poller: poller, now: now)
                continue
            }
            var origin = Origin(
                client: flow.client.address, clientPort: flow.client.port, resolver: flow.resolver.address,
                resolverPort: flow.resolver.port, stream: query.token.value, arrived: now)
            origin.owner = owner(of: origin)
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

    // MARK: 4. Upstream replies

    /// Answers the queries whose upstream has answered or failed. Returns whether there were any.
    mutating func answerWaiting(_ now: UInt64) -> Bool {
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
        if !origin.isStream, !origin.client.isIPv6 {
            let message = out.bytes.extracting(first: answer.byteCount)
            var room = unsafe messageRoom(isIPv6: false)
            room.put(0, message)
        }
        note(answer, origin, now: now)
        send(answer, to: origin)
        return true
    }

    // MARK: 5. Send

    /// Sends the answer that stands in the output buffer to whoever asked.
    private mutating func send(_ answer: Answer, to origin: Origin) {
        if answer.isSilent {
            if origin.isStream { server.discard(StreamToken(origin.stream), poller: poller, now: Clock.monotonic()) }
            return
        }
        learn(answer, origin)
        if origin.isStream {
            let message = unsafe messageRoom(isIPv6: true)
            server.reply(
                StreamToken(origin.stream), message.bytes.extracting(first: answer.byteCount), poller: poller)
            return
        }
        var packet = unsafe PacketPath.room(output, from: VirtioHeader.byteCount)
        let byteCount = UDPDatagram.compose(
            &packet, from: origin.resolver, port: origin.resolverPort, to: origin.client, port: origin.clientPort,
            payloadByteCount: answer.byteCount)
        writeOutput(byteCount)
    }

    // MARK: Count and log

    /// Flows to the addresses of an answer have its name.
    private mutating func learn(_ answer: Answer, _ origin: Origin) {
        guard learnsNames, answer.verdict.action != .block || answer.verdict.givesAnswer, answer.rcode == .noError
        else { return }
        let message = unsafe messageRoom(isIPv6: origin.isStream || origin.client.isIPv6)
        flows.learn(
            client: log.client(origin.client), message.bytes.extracting(first: answer.byteCount),
            now: Clock.monotonic())
    }

    /// The answer stands where `send` takes it from.
    private mutating func note(_ answer: Answer, _ origin: Origin, now: UInt64) {
        counters.queries &+= 1
        switch answer.reason {
        case .failed, .overload: counters.failed &+= 1
        case .malformed, .unsupported, .refused: counters.refused &+= 1
        default:
            if answer.verdict.action == .block { counters.blocked &+= 1 }
            if answer.isCached { counters.cached &+= 1 }
        }
        let message = unsafe messageRoom(isIPv6: origin.isStream || origin.client.isIPv6)
        log.push(
            answer, engine.query, origin, qname: engine.name.bytes, digest: engine.digest.bytes,
            message: message.bytes.extracting(first: answer.byteCount), now: now)
    }
}
