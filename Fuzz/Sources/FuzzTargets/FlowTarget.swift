import ContentFilter
import Kernel
import Wire

/// A packet that belongs to a flow of an engine that judges.
enum FlowTarget {
    static func judge(_ bytes: [UInt8], _ now: UInt64, _ flows: inout FlowEngine) {
        let packet = Packet.parse(bytes.span.bytes)
        guard packet.destinationPort != 53 else { return }
        var changed = bytes
        var span = changed.mutableSpan
        var room = span.mutableBytes
        switch flows.decide(&room, packet, .init(now: now, client: packet.source, owner: .unknown)) {
        case .forward, .allow: promise(changed == bytes && packet.kind != .malformed, "changed on its way")
        case .reply: promise(Packet.parse(changed.span.bytes).destination == packet.source, "reply to")
        case .reject, .cut: reject(bytes, packet)
        case .drop: promise(changed == bytes, "drop")
        case .identify: promise(false, "the owner is known")
        }
        flows.makeRoom(for: 2, now: now)
        while let idle = flows.nextIdle(now: now) {
            promise(idle.began <= now, "time")
            flows.endIdle(now: now)
        }
        while let report = flows.nextReport() {
            promise(report.number > 0 && flows.reportedName.byteCount <= Name.capacity, "report")
        }
        promise(flows.liveFlows <= 4, "too many flows")
    }

    /// Whoever sent the packet hears of it in a sound one.
    private static func reject(_ bytes: [UInt8], _ packet: Packet) {
        var answer = [UInt8](repeating: 0, count: 1300)
        var count = 0
        var span = answer.mutableSpan
        var out = span.mutableBytes
        if packet.kind == .tcp {
            count = Segment.composeAbort(into: &out, after: bytes.span.bytes, packet)
        } else {
            count = Unreachable.compose(into: &out, answering: bytes.span.bytes, packet)
        }
        guard count > 0 else { return }
        let sent = Array(answer[..<count])
        let layout = Packet.parse(sent.span.bytes)
        promise(layout.end == count && PacketTarget.isSound(sent, layout), "answer of \(count) bytes")
        promise(layout.source == (packet.kind == .tcp ? packet.source : packet.destination), "answer from")
    }
}
