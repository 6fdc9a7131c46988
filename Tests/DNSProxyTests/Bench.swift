import Blocklist
import CAllocations
import CLDNS
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// An engine with a buffer, a clock that stands still, and rules; answers are read by ldns.
final class Bench {
    var engine: Engine
    var now: UInt64 = 1_000_000_000_000
    let out = UnsafeMutableRawBufferPointer.allocate(byteCount: 65535, alignment: 16)

    convenience init(deny: [String], _ settings: EngineSettings = EngineSettings()) {
        self.init(deny: deny, SettingsBook(settings))
    }

    convenience init(deny: [String], _ settings: SettingsBook) {
        self.init(TestPolicy.make(deny: deny), settings)
    }

    init(_ policy: PolicySnapshot, _ settings: SettingsBook = SettingsBook(EngineSettings())) {
        engine = Engine(settings: settings, policy: policy, slots: 64)
    }

    deinit {
        out.deallocate()
    }

    enum Kind: Equatable {
        case answer, ask, drop
    }

    func handle(_ message: [UInt8], isStream: Bool = false, owner: Owner = .unknown) -> Action {
        var room = out.mutableBytes
        return engine.handle(message.span.bytes, isStream: isStream, owner: owner, now: now, into: &room)
    }

    func action(_ message: [UInt8], owner: Owner = .unknown) -> Kind {
        switch handle(message, owner: owner) {
        case .answer: .answer
        case .ask: .ask
        case .drop: .drop
        }
    }

    func answer(_ message: [UInt8], isStream: Bool = false) throws -> Answer {
        guard case .answer(let answer) = handle(message, isStream: isStream) else { throw NoAnswer() }
        return answer
    }

    func expectAsk(_ message: [UInt8], slot: Int, owner: Owner = .unknown) {
        #expect(action(message, owner: owner) == .ask)
        var origin = Origin(
            client: IPAddress(v4: 1), clientPort: 4000, resolver: IPAddress(v4: 2), resolverPort: 53, stream: 0,
            arrived: now)
        origin.owner = owner
        let isParked = engine.park(slot, message.span.bytes, origin)
        #expect(isParked)
    }

    func complete(slot: Int, _ reply: [UInt8], upstream: SocketAddress = .none) {
        engine.complete(slot, reply: reply.span.bytes, upstream: upstream, now: now)
    }

    func nextAnswer() throws -> Answer {
        var room = out.mutableBytes
        guard let (_, answer) = engine.nextAnswer(into: &room) else { throw NoAnswer() }
        return answer
    }

    func hasNoMoreAnswers() -> Bool {
        var room = out.mutableBytes
        return engine.nextAnswer(into: &room) == nil
    }

    /// Allocations of this thread while the same message is handled again and again.
    func allocations(_ message: [UInt8], times: Int) -> Int {
        var room = out.mutableBytes
        let bytes = message.span.bytes
        let before = allocations_of_this_thread()
        for _ in 0..<times { _ = engine.handle(bytes, isStream: false, now: now, into: &room) }
        return Int(allocations_of_this_thread() - before)
    }

    func bytes(_ answer: Answer) -> [UInt8] {
        Array(out[..<answer.byteCount])
    }

    /// What ldns prints of the answer; a message that ldns cannot read fails the test.
    func text(_ answer: Answer) -> String {
        Message.text(bytes(answer))
    }

    struct NoAnswer: Error {}
}

/// DNS messages for tests, composed the long way.
enum Message {
    enum Record {
        case a(ttl: UInt32, UInt32)
        case cname(ttl: UInt32, String)
        case soa(ttl: UInt32, minimum: UInt32)
    }

    static func query(_ name: String, _ type: RecordType, edns: UInt16? = nil, dnssecOK: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, edns == nil ? 0 : 1]
        bytes += wire(name) + big(type.code) + [0, 1]
        if let edns { bytes += [0, 0, 41] + big(edns) + [0, 0, dnssecOK ? 0x80 : 0, 0, 0, 0] }
        return bytes
    }

    /// A reply whose address records belong to the last CNAME's target.
    static func reply(
        _ name: String, _ type: RecordType, rcode: UInt8 = 0, records: [Record] = [], authority: [Record] = []
    ) -> [UInt8] {
        var bytes: [UInt8] = [0, 0, 0x81, 0x80 | rcode, 0, 1]
        bytes += big(UInt16(records.count)) + big(UInt16(authority.count)) + [0, 0]
        bytes += wire(name) + big(type.code) + [0, 1]
        var owner: [UInt8] = [0xc0, 12]
        for record in records + authority {
            switch record {
            case .a(let ttl, let address): bytes += owner + [0, 1, 0, 1] + big(ttl) + [0, 4] + big(address)
            case .cname(let ttl, let target):
                bytes += owner + [0, 5, 0, 1] + big(ttl) + big(UInt16(wire(target).count)) + wire(target)
                owner = wire(target)
            case .soa(let ttl, let minimum):
                let data = wire("ns.example") + wire("root.example") + [1, 2, 3, 4, 5].flatMap { big(UInt32($0)) }
                bytes += wire("example") + [0, 6, 0, 1] + big(ttl) + big(UInt16(data.count))
                bytes += data.dropLast(4) + big(minimum)
            }
        }
        return bytes
    }

    static func wire(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func big<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    static func text(_ bytes: [UInt8]) -> String {
        var packet: OpaquePointer?
        var parsed: UnsafeMutablePointer<ldns_pkt>?
        _ = packet
        packet = nil
        let status = bytes.withUnsafeBufferPointer { ldns_wire2pkt(&parsed, $0.baseAddress, $0.count) }
        guard status == LDNS_STATUS_OK, let parsed else {
            Issue.record("ldns cannot read the message: status \(status.rawValue), \(bytes)")
            return ""
        }
        defer { ldns_pkt_free(parsed) }
        guard let text = ldns_pkt2str(parsed) else { return "" }
        defer { free(text) }
        return String(cString: text)
    }
}
