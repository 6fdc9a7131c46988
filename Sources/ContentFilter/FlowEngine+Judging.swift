public import Blocklist
import Kernel
import Wire

/// A flow and its verdict.
extension FlowEngine {
    // MARK: The policy

    /// From the next packet on, `policy` decides, over flows that are alive too.
    public mutating func adopt(_ policy: PolicySnapshot) {
        self.policy = policy
        generation &+= 1
    }

    /// The same for what is done with flows that the policy does not speak of.
    public mutating func adopt(_ defaults: FlowDefaults) {
        settings.defaults = defaults
        generation &+= 1
    }

    /// Every flow is allowed until then: nanoseconds on the monotonic clock, 0 to judge again.
    public mutating func setPaused(until: UInt64) {
        pausedUntil = until
        generation &+= 1
    }

    // MARK: A packet of a flow

    mutating func judgeFlow(
        _ bytes: RawSpan, _ packet: Packet, _ key: FlowKey, _ arrival: Arrival
    ) -> Action {
        flow = key
        let segment = packet.kind == .tcp ? Segment(bytes, packet) : nil
        if let slot = table.find(key) {
            if !isReborn(slot, segment) { return proceed(slot, bytes, packet, segment, arrival) }
            end(slot, arrival.now)
        } else if let segment, segment.isRST || segment.isFIN && packet.payload == packet.end {
            // The end of a connection that nobody knows any more: the far end may want to know.
            return .forward
        }
        return begin(key, bytes, packet, segment, arrival)
    }

    /// Whether the packet begins a new flow under the key of an old one: a new connection from the same port, or one that
    /// was dropped by another policy.
    private func isReborn(_ slot: Int, _ segment: Segment?) -> Bool {
        if table.phase(slot) == .dropped, table[slot].generation != generation { return true }
        guard let segment, segment.opens else { return false }
        return segment.sequence != table[slot].initialSequence
    }

    private mutating func begin(
        _ key: FlowKey, _ bytes: RawSpan, _ packet: Packet, _ segment: Segment?, _ arrival: Arrival
    ) -> Action {
        if arrival.owner == nil { return .identify }
        guard let slot = table.insert(key, phase: .peeking, now: arrival.now) else {
            // `makeRoom` was not called for too many packets.
            return refuse(isAlive: false, packet)
        }
        numbers += 1
        table[slot].number = numbers
        table[slot].initialSequence = segment?.sequence ?? 0
        table[slot].isOpened = segment?.opens ?? true
        if let owner = arrival.owner { table[slot].owner = owner }
        return proceed(slot, bytes, packet, segment, arrival)
    }

    /// A packet of a flow in the table.
    private mutating func proceed(
        _ slot: Int, _ bytes: RawSpan, _ packet: Packet, _ segment: Segment?, _ arrival: Arrival
    ) -> Action {
        let now = arrival.now
        let byteCount = UInt64(packet.end)
        defer {
            table[slot].packets += 1
            table[slot].bytes += byteCount
        }
        var phase = table.phase(slot)
        if phase != .peeking, table[slot].generation != generation {
            decideFinally(slot, now, .none)
            phase = table.phase(slot)
        } else if phase == .peeking {
            phase = peek(slot, bytes, packet, arrival)
        }
        switch phase {
        case .dropped:
            table.touch(slot, phase: .dropped, now: now)
            return refuse(isAlive: false, packet)
        case .cut:
            table.touch(slot, phase: .cut, now: now)
            // The application's own reset, after ours, closes the far end.
            if let segment, segment.isRST { return .forward }
            return refuse(isAlive: true, packet)
        case .peeking:
            table.touch(slot, phase: .peeking, now: now)
            table[slot].isAlive = true
            return .forward
        default:
            let isClosing = phase == .closing || segment.map { $0.isFIN || $0.isRST } ?? false
            table.touch(slot, phase: isClosing ? .closing : .init(allowed: packet.proto), now: now)
            table[slot].isAlive = true
            // Several packets were read at once, or the kernel has no room for the flow: it need not hear of it each time.
            guard Clock.elapsed(from: table[slot].handed, to: now) > FlowEngine.patience else { return .forward }
            table[slot].handed = now
            table[slot].isInKernel = true
            return .allow
        }
    }

    /// Nanoseconds before the kernel is told of an allowed flow again.
    private static let patience: UInt64 = 10_000_000

    private func refuse(isAlive: Bool, _ packet: Packet) -> Action {
        if settings.defaults.isSilent { return .drop(.policy) }
        return isAlive && packet.kind == .tcp ? .cut : .reject
    }

    // MARK: Verdicts

    /// Judges the flow with the name it has; it gets no better one.
    ///
    /// - Parameter otherwise: the reason when nothing in the policy speaks of it.
    func verdict(_ slot: Int, isNameFinal: Bool) -> FlowVerdict {
        guard let policy else { return .none }
        let key = table[slot].key
        return unsafe policy.flowVerdict(
            remote: key.destination, port: key.destinationPort, proto: key.proto,
            name: room.span.bytes.extracting(first: roomUsed),
            asker: asker(key.source, table[slot].owner), isNameFinal: isNameFinal)
    }

    /// Whether nothing is judged now, or nothing for whoever began the flow.
    func isPaused(_ slot: Int, _ now: UInt64) -> Bool {
        if now < pausedUntil { return true }
        guard let policy else { return false }
        return policy.isPaused(asker(table[slot].key.source, table[slot].owner).profile)
    }

    mutating func decideFinally(_ slot: Int, _ now: UInt64, _ otherwise: FlowReason) {
        if isPaused(slot, now) {
            settle(slot, .none, .paused, now)
            return
        }
        roomUsed = table.copyName(slot, into: &room)
        settle(slot, verdict(slot, isNameFinal: true), otherwise, now)
    }

    /// Gives the flow its verdict. With the reason `none` the default decides.
    mutating func settle(_ slot: Int, _ verdict: FlowVerdict, _ otherwise: FlowReason, _ now: UInt64) {
        let isDefault = verdict.reason == .none && otherwise != .paused
        let drops = isDefault ? settings.defaults.drops : verdict.action == .drop
        let isFirst = table[slot].generation == 0
        let isNews = isFirst || drops != table[slot].isDropped
        table[slot].generation = generation
        table[slot].isDropped = drops
        if isNews {
            table[slot].reason = verdict.reason == .none ? otherwise : FlowReason(verdict.reason)
            table[slot].list = verdict.list
            table[slot].rule = verdict.rule
            table[slot].match = verdict.match
            table[slot].labels = verdict.labels
            judged = slot
            isRejudged = !isFirst
            if drops { counters.flowsDropped += 1 } else { counters.flowsAllowed += 1 }
        }
        let isCut = drops && table[slot].isAlive
        if isCut, isNews { counters.flowsCut += 1 }
        table[slot].handed = 0
        closePeek(slot)
        table.touch(
            slot, phase: isCut ? .cut : drops ? .dropped : .init(allowed: table[slot].key.proto), now: now)
    }

    // MARK: The end

    /// The flow is over: it leaves the table, and `nextReport` tells of it.
    mutating func end(_ slot: Int, _ now: UInt64) {
        if judged == slot { judged = -1 }
        closePeek(slot)
        table.end(slot, now: now)
    }
}
