import ContentFilter
import DNSProxy
import Kernel
import PacketTunnel
import Wire

/// A sequence of packets, each behind a byte of options and two bytes of length, on the path of the packet loop.
enum PacketTarget {
    static func run(_ input: [UInt8]) {
        let peers = (IPAddress(v4: 0x0a01_0002), IPAddress(high: 0xfd77_6562_7475_6e00, low: 2))
        var redirect = StreamRedirect(
            listener4: SocketAddress(IPAddress(v4: 0x0a01_0001), port: 53535), peer4: peers.0,
            listener6: SocketAddress(IPAddress(high: 0xfd77_6562_7475_6e00, low: 1), port: 53535), peer6: peers.1,
            capacity: 4)
        var flows = FlowEngine(peer4: peers.0, peer6: peers.1)
        var settings = FlowSettings(mode: .judge, peer4: peers.0, peer6: peers.1)
        settings.capacity = 4
        settings.names = 8
        var judge = FlowEngine(settings: settings, policy: FuzzPolicy.snapshot)
        var now: UInt64 = 1
        var at = 0
        while at + 3 <= input.count {
            let options = input[at]
            let count = min(Int(input[at + 1]) << 8 | Int(input[at + 2]), input.count - at - 3)
            var packet = Array(input[at + 3..<at + 3 + count])
            at += 3 + count
            now += UInt64(options >> 1) * 1_000_000_000
            if options & 1 != 0 { FlowTarget.judge(packet, now, &judge) }
            pass(&packet, options & 1 != 0, now, &redirect, &flows)
            redirect.expire(now: now)
        }
    }

    private static func pass(
        _ bytes: inout [UInt8], _ partial: Bool, _ now: UInt64, _ redirect: inout StreamRedirect,
        _ flows: inout FlowEngine
    ) {
        let packet = Packet.parse(bytes.span.bytes)
        let before = bytes
        let wasSound = isSound(before, packet)
        if packet.kind == .udp, packet.destinationPort == 53 {
            answer(Array(bytes[packet.payload..<packet.end]), packet)
            return
        }
        var span = bytes.mutableSpan
        var room = span.mutableBytes
        if packet.kind == .tcp, packet.destinationPort == 53 || redirect.isFromListener(packet) {
            let outcome =
                packet.destinationPort == 53
                ? redirect.toListener(&room, packet, partialChecksum: partial, now: now)
                : redirect.fromListener(&room, packet, partialChecksum: partial, now: now)
            let after = Packet.parse(bytes.span.bytes)
            switch outcome {
            case .rewritten:
                promise(after.kind == .tcp && after.end == packet.end && after.payload == packet.payload, "layout")
                promise(bytes[packet.payload...] == before[packet.payload...], "payload")
                promise(partial || !wasSound || isSound(bytes, after), "checksum")
            case .reset(let byteCount):
                let reset = Array(bytes[..<byteCount])
                promise(after.kind == .tcp && after.end == byteCount && isSound(reset, after), "reset")
                promise(after.destination == packet.source && after.sourcePort == packet.destinationPort, "reset to")
            case .drop:
                promise(Segment(before.span.bytes, packet).isRST, "silence")
            }
            return
        }
        switch flows.decide(&room, packet, .init(now: now, client: packet.source)) {
        case .forward: promise(bytes == before && packet.kind != .malformed && packet.kind != .fragment, "forward")
        case .reply(let byteCount):
            let after = Packet.parse(bytes.span.bytes)
            promise(byteCount <= bytes.count && after.kind != .malformed, "reply")
            promise(after.destination == packet.source && after.source == packet.destination, "reply to")
            promise(!wasSound || isSound(bytes, after), "checksum of reply")
        case .drop: promise(bytes == before, "drop")
        case .allow, .reject, .cut, .identify: promise(false, "a verdict without policy")
        }
    }

    /// Whether all checksums of a packet of a known kind are right.
    static func isSound(_ bytes: [UInt8], _ packet: Packet) -> Bool {
        guard packet.kind == .tcp || packet.kind == .udp || packet.kind == .icmp else { return false }
        let span = bytes.span.bytes
        if !packet.isIPv6, Checksum.fold(Checksum.sum(span.part(0, packet.transport))) != 0xffff { return false }
        let length = packet.end - packet.transport
        let hasPseudo = packet.kind != .icmp || packet.isIPv6
        let pseudo =
            hasPseudo
            ? Checksum.pseudoHeader(packet.source, packet.destination, packet.proto, length: length) : 0
        return Checksum.fold(Checksum.sum(span.part(packet.transport, length), pseudo)) == 0xffff
    }

    // MARK: DNS

    private static func answer(_ message: [UInt8], _ packet: Packet) {
        var engine = Engine(
            settings: EngineSettings(cacheBytes: 1 << 16, waiting: 4), policy: FuzzPolicy.snapshot, slots: 2)
        var out = [UInt8](repeating: 0, count: 65_536 + 48)
        var span = out.mutableSpan
        var whole = span.mutableBytes
        var action = Action.drop
        let header = UDPDatagram.headerByteCount(isIPv6: packet.isIPv6)
        do {
            var room = whole._mutatingExtracting(header..<whole.byteCount)
            action = engine.handle(message.span.bytes, isStream: false, now: 5_000_000_000, into: &room)
            if case .ask = action {
                let origin = Origin(
                    client: packet.source, clientPort: packet.sourcePort, resolver: packet.destination,
                    resolverPort: packet.destinationPort, stream: 0, arrived: 5_000_000_000)
                promise(engine.park(1, message.span.bytes, origin), "room for one query")
                engine.complete(1, failure: .noReachableAuthority)
                guard let (_, answer) = engine.nextAnswer(into: &room) else { fatalError("a query without an answer") }
                action = .answer(answer)
            }
        }
        guard case .answer(let answer) = action else {
            promise(message.count < 12 || message[2] & 0x80 != 0, "a query without an answer")
            return
        }
        let byteCount = UDPDatagram.compose(
            &whole, from: packet.destination, port: 53, to: packet.source, port: packet.sourcePort,
            payloadByteCount: answer.byteCount)
        let reply = Array(out[header..<header + answer.byteCount])
        promise(reply.count >= 12 && reply[0...1] == message[0...1] && reply[2] & 0x80 != 0, "header")
        promise(reply.count <= 1232, "size")
        let composed = Array(out[..<byteCount])
        promise(isSound(composed, Packet.parse(composed.span.bytes)), "datagram")
    }

    // MARK: Seeds

    static var seeds: [[UInt8]] {
        let query: [UInt8] = [
            0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 97, 1, 98, 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0,
        ]
        let datagram = [156, 64, 0, 53, 0, UInt8(query.count + 8), 0, 0] + query
        let segment = { (to: UInt8, flags: UInt8) -> [UInt8] in
            [156, 64, 0, to, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 250, 240, 0, 0, 0, 0]
        }
        let packets = [
            ip4(17, datagram), ip6(17, datagram), ip4(6, segment(53, 2)), ip4(6, segment(53, 16)),
            ip6(6, segment(53, 2)),
            ip6(6, segment(53, 17)), ip4(1, [8, 0, 0, 0, 0, 0, 0, 0]), ip6(58, [128, 0, 0, 0, 0, 0, 0, 0]),
            ip4(6, segment(80, 2), [10, 1, 0, 2]), ip4(47, [0]),
        ]
        return packets.map(entry) + [packets.flatMap(entry)]
    }

    private static func entry(_ packet: [UInt8]) -> [UInt8] {
        [0, UInt8(packet.count >> 8), UInt8(packet.count & 255)] + packet
    }

    private static func ip4(_ proto: UInt8, _ payload: [UInt8], _ to: [UInt8] = [198, 51, 100, 53]) -> [UInt8] {
        [0x45, 0, 0, UInt8(20 + payload.count), 0, 0, 0, 0, 64, proto, 0, 0, 192, 0, 2, 7] + to + payload
    }

    private static func ip6(_ proto: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let prefix: [UInt8] = [0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11)
        return [0x60, 0, 0, 0, 0, UInt8(payload.count), proto, 64] + prefix + [7] + prefix + [53] + payload
    }
}
