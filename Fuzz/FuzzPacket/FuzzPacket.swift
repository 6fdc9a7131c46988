import Blocklist
import DNSProxy
import Foundation
import Kernel
import Wire

/// packet → action: an IP packet as it is read from the TUN, decided over as the path does, its answer composed and read
/// back. What must hold: no trap, every answer is a whole packet with the query's ID and addresses swapped.
func fuzzPacket(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: count).bytes
    Fixture.shared.take(bytes)
    return 0
}

private final class Fixture {
    // libFuzzer calls from one thread only.
    nonisolated(unsafe) static let shared = Fixture()
    private var engine: Engine
    private let out = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536 + 64, alignment: 64)
    private var now: UInt64 = 1_000_000_000_000

    init() {
        engine = Engine(settings: EngineSettings(), policy: FuzzPolicy.make(), slots: 16)
    }

    func take(_ bytes: RawSpan) {
        now += 1_000_000
        let packet = Packet.parse(bytes)
        switch packet.kind {
        case .udp: decide(bytes.extracting(packet.payload..<packet.end), packet)
        case .tcp:
            let segment = Segment(bytes, packet)
            _ = segment
            decide(bytes.extracting(packet.payload..<packet.end), packet)
        default: decide(bytes, packet)
        }
    }

    private func decide(_ message: RawSpan, _ packet: Packet) {
        let head = UDPDatagram.headerByteCount(isIPv6: packet.isIPv6)
        var length = 0
        do {
            var room = UnsafeMutableRawBufferPointer(rebasing: out[head..<head + 65535 - 48]).mutableBytes
            switch engine.handle(message, isStream: packet.kind == .tcp, now: now, into: &room) {
            case .drop: return
            case .answer(let answer): length = answer.byteCount
            case .ask:
                let origin = Origin(
                    client: packet.source, clientPort: packet.sourcePort, resolver: packet.destination,
                    resolverPort: packet.destinationPort, stream: 0, arrived: now)
                guard engine.park(3, message, origin) else {
                    length = engine.fail(message, .overload, into: &room).byteCount
                    break
                }
                engine.complete(3, failure: .noReachableAuthority)
                guard let (_, answer) = engine.nextAnswer(into: &room) else {
                    fatalError("a parked query got no answer")
                }
                length = answer.byteCount
            }
        }
        precondition(length >= 12 && length <= 65535 - 48, "an answer of \(length) bytes")
        precondition(out[head] == message.unsafeLoad(fromByteOffset: 0, as: UInt8.self), "another ID")
        precondition(out[head + 2] & 0x80 != 0, "an answer without QR")
        var whole = UnsafeMutableRawBufferPointer(rebasing: out[..<(head + length)]).mutableBytes
        let total = UDPDatagram.compose(
            &whole, from: packet.destination, port: packet.destinationPort, to: packet.source, port: packet.sourcePort,
            payloadByteCount: length)
        if packet.kind == .udp && packet.source.isIPv6 == packet.isIPv6 {
            let back = Packet.parse(UnsafeRawBufferPointer(rebasing: out[..<total]).bytes)
            precondition(back.kind == .udp && back.end == total, "the answer is no whole packet")
            precondition(back.sourcePort == packet.destinationPort && back.destination == packet.source)
        }
    }
}

private enum FuzzPolicy {
    static func make() -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-fuzz-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules([
                BlocklistStore.RuleRequest(.deny, .suffix, "a"), BlocklistStore.RuleRequest(.allow, .exact, "b.a"),
                BlocklistStore.RuleRequest(.deny, .suffix, "example.com"),
            ])
            return try store.snapshot()
        } catch {
            fatalError("no policy: \(error)")
        }
    }
}
