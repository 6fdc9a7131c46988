import ContentFilter
import Glibc
import Kernel
import PacketTunnel
import QueryLog
import Wire

/// The stage of everything that is no DNS: each packet belongs to a flow, and the flow has a verdict.
extension PacketPath {
    // MARK: 3c. Flows

    mutating func filter(_ bytes: inout MutableRawSpan, _ packet: Packet, _ header: VirtioHeader, _ byteCount: Int) {
        let now = Clock.monotonic()
        var arrival = FlowEngine.Arrival(now: now, client: log.client(packet.source))
        if header.isUDPSegmentation { arrival.segmentSize = Int(header.gsoSize) }
        var action = flows.decide(&bytes, packet, arrival)
        if action == .identify {
            arrival.owner = owner(of: flows.flow, now)
            action = flows.decide(&bytes, packet, arrival)
        }
        switch action {
        case .forward:
            forward(&bytes, packet, byteCount)
        case .allow:
            // Before the packet: what comes next of this flow need not come here.
            map?.allow(flows.flow)
            forward(&bytes, packet, byteCount)
        case .reply(let packetByteCount):
            writeInPlace(packetByteCount)
        case .reject:
            reject(&bytes, packet)
        case .cut:
            abort(bytes.bytes, packet)
            reject(&bytes, packet)
        case .drop, .identify:
            counters.dropped &+= 1
        }
        note(action)
        tellFlows(now)
    }

    /// On its way, as the application sent it.
    private mutating func forward(_ bytes: inout MutableRawSpan, _ packet: Packet, _ byteCount: Int) {
        counters.passed &+= 1
        if raisesLifetime { Lifetime.raise(&bytes, packet) }
        unsafe write(input, byteCount)
    }

    /// The sender hears at once that the packet does not pass.
    private mutating func reject(_ bytes: inout MutableRawSpan, _ packet: Packet) {
        counters.rejected &+= 1
        if packet.kind == .tcp {
            let count = Segment.composeReset(into: &bytes, answering: packet)
            if count > 0 { writeInPlace(count) }
            return
        }
        var out = unsafe PacketPath.room(output, from: VirtioHeader.byteCount)
        let count = Unreachable.compose(into: &out, answering: bytes.bytes, packet)
        if count > 0 { writeOutput(count) }
    }

    /// The far end of a connection hears that it is over.
    private mutating func abort(_ bytes: RawSpan, _ packet: Packet) {
        var out = unsafe PacketPath.room(output, from: VirtioHeader.byteCount)
        let count = Segment.composeAbort(into: &out, after: bytes, packet)
        if raisesLifetime { Lifetime.raise(&out, Packet.parse(out.bytes.part(0, count))) }
        writeOutput(count)
    }

    private mutating func note(_ action: FlowEngine.Action) {
        printer?.note(action)
    }

    // MARK: Changes of the policy

    mutating func followFlows(_ mail: PacketLoop.Mail, _ now: UInt64) {
        if let policy = mail.policy { flows.adopt(policy) }
        if let defaults = mail.flowDefaults { flows.adopt(defaults) }
        if let until = mail.pausedUntil { flows.setPaused(until: until) }
        tidings = tidings.isEmpty ? mail.tidings : tidings + mail.tidings
        judgeAnew()
    }

    /// Flows that are alive come back to be judged when the policy has changed.
    private mutating func judgeAnew() {
        guard let map, map.epoch != flows.generation else { return }
        map.setEpoch(flows.generation)
    }

    // MARK: The end of flows

    /// Flows that are looked at before packets get their turn.
    static let ends = 32

    /// Tells of flows that have ended or were counted, some at a time. Returns whether there are more.
    mutating func tendFlows(_ now: UInt64) -> Bool {
        if flows.pausedUntil != 0, now >= flows.pausedUntil {
            flows.setPaused(until: 0)
            judgeAnew()
        }
        var count = 0
        while count < PacketPath.ends, let next = tidings.popLast() {
            if next.isOver {
                flows.finish(next.key, now: now)
                tellFlows(now, next.record)
            } else if let report = flows.count(next.key) {
                log.push(report, next.record, name: flows.reportedName)
            }
            count += 1
        }
        while count < PacketPath.ends, let idle = flows.nextIdle(now: now) {
            let record = map?.lookup(idle.key)
            if let record, now < record.lastSeen + idle.patience {
                flows.keepIdle(now: now)
            } else {
                flows.endIdle(now: now)
                tellFlows(now, record)
            }
            count += 1
        }
        flows.makeRoom(for: PacketPath.batch * 2, now: now)
        tellFlows(now)
        return count == PacketPath.ends
    }

    /// Ends what is alive: webtun stops.
    mutating func endAllFlows(_ now: UInt64) {
        flows.endAll(now: now)
        tellFlows(now)
    }

    /// Writes the log rows of what has happened to flows.
    ///
    /// - Parameter known: what the kernel knows of the flow that has ended, when it was asked already.
    private mutating func tellFlows(_ now: UInt64, _ known: FlowRecord? = nil) {
        while let report = flows.nextReport() {
            var record = known
            if report.event == .ended, let map {
                if record == nil { record = map.lookup(report.key) }
                // A newer flow under the same key has begun already, when the kernel says so.
                if let found = record, found.began > report.last + PacketPath.tick { record = nil }
                if record != nil, known == nil { map.remove(report.key) }
            }
            if report.event == .rejudged {
                // The row so far gets what the flow has carried until now.
                var earlier = report
                earlier.event = .counted
                log.push(earlier, map?.lookup(report.key), name: flows.reportedName)
            }
            log.push(report, record, name: flows.reportedName)
        }
    }

    /// The clock of the kernel's records is this coarse, nanoseconds.
    private static let tick: UInt64 = 10_000_000
}
