import Blocklist
import DNSProxy
import Foundation
import Kernel
import Wire

/// upstream reply → cache and answer: any bytes as the reply to a question. What must hold: no trap, every parked query
/// gets one answer with its own ID, and a second ask, from the cache or not, does not trap either.
func fuzzReply(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    Fixture.shared.take(UnsafeRawBufferPointer(start: data, count: count).bytes)
    return 0
}

private final class Fixture {
    // libFuzzer calls from one thread only.
    nonisolated(unsafe) static let shared = Fixture()
    private var engine: Engine
    private let out = UnsafeMutableRawBufferPointer.allocate(byteCount: 65535, alignment: 64)
    private var now: UInt64 = 1_000_000_000_000
    private let queries: [[UInt8]]
    private var turn = 0

    init() {
        engine = Engine(settings: EngineSettings(cacheBytes: 65536), policy: FuzzPolicy.make(), slots: 16)
        // www.example.com A without and with EDNS, AAAA.
        let name: [UInt8] = [3, 119, 119, 119, 7, 101, 120, 97, 109, 112, 108, 101, 3, 99, 111, 109, 0]
        let head: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0]
        let opt: [UInt8] = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]
        queries = [
            head + [0] + name + [0, 1, 0, 1], head + [1] + name + [0, 1, 0, 1] + opt,
            head + [0] + name + [0, 28, 0, 1],
        ]
    }

    func take(_ reply: RawSpan) {
        turn += 1
        // Long enough that what was kept before has expired: every input stands for itself.
        now += 200_000_000_000_000
        let query = queries[turn % queries.count]
        let message = query.span.bytes
        let origin = Origin(
            client: IPAddress(v4: 1), clientPort: 4000, resolver: IPAddress(v4: 2), resolverPort: 53, stream: 0,
            arrived: now)
        var room = out.mutableBytes
        guard case .ask = engine.handle(message, isStream: false, now: now, into: &room) else { return }
        guard engine.park(5, message, origin) else { fatalError("no room for one query") }
        engine.complete(5, reply: reply, upstream: .none, now: now)
        guard let (_, answer) = engine.nextAnswer(into: &room) else { fatalError("a parked query got no answer") }
        precondition(answer.byteCount >= 12 && answer.byteCount <= 1232, "an answer of \(answer.byteCount) bytes")
        precondition(out[0] == 0x12 && out[1] == 0x34 && out[2] & 0x80 != 0)
        precondition(engine.nextAnswer(into: &room) == nil)
        for isStream in [false, true] { _ = engine.handle(message, isStream: isStream, now: now, into: &room) }
    }
}

private enum FuzzPolicy {
    static func make() -> PolicySnapshot {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-fuzz-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            let store = try BlocklistStore(state: path)
            _ = try store.setRules([BlocklistStore.RuleRequest(.deny, .suffix, "blocked.example.com")])
            return try store.snapshot()
        } catch {
            fatalError("no policy: \(error)")
        }
    }
}
