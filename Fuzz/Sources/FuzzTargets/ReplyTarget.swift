import CLDNS
import DNSProxy
import Kernel
import Wire

/// A DNS message as the reply to the question it carries.
enum ReplyTarget {
    static func run(_ input: [UInt8]) {
        var name = Name()
        guard input.count >= 12 else { return }
        let message = input.span.bytes
        let end = name.parse(message, at: 12)
        guard end > 0, end + 4 <= input.count else { return }
        _ = AnswerDigest(message: message)
        admit(message, name, end)
        answer(message, [7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + input[12..<end + 4])
        if name == Name(FuzzPolicy.alias) { splice(message, Array(input[end..<end + 2])) }
    }

    /// Behind the CNAMEs of local records: ldns can read the answer.
    private static func splice(_ message: RawSpan, _ qtype: [UInt8]) {
        var engine = Engine(
            settings: EngineSettings(cacheBytes: 1 << 17, waiting: 4), policy: FuzzPolicy.snapshot, slots: 2)
        var output = [UInt8](repeating: 0, count: 65_535)
        var span = output.mutableSpan
        var room = span.mutableBytes
        let query: [UInt8] =
            [7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 5, 97, 108, 105, 97, 115, 3, 108, 97, 110, 0] + qtype + [0, 1]
        let now: UInt64 = 5_000_000_000
        guard case .ask = engine.handle(query.span.bytes, isStream: true, now: now, into: &room) else { return }
        promise(engine.asked == Name(FuzzPolicy.alias), "the target is asked for")
        let origin = Origin(
            client: IPAddress(v4: 1), clientPort: 4000, resolver: IPAddress(v4: 2), resolverPort: 53, stream: 1,
            arrived: now)
        promise(engine.park(1, query.span.bytes, origin), "room for one query")
        engine.complete(1, reply: message, upstream: .none, now: now)
        guard let (_, answer) = engine.nextAnswer(into: &room) else { fatalError("a query without an answer") }
        let written = Array(output[..<answer.byteCount])
        var packet: UnsafeMutablePointer<ldns_pkt>?
        let status = ldns_wire2pkt(&packet, written, written.count)
        promise(status == LDNS_STATUS_OK, "ldns cannot read what was spliced")
        ldns_pkt_free(packet)
    }

    /// Through ldns: what is admitted can be read again.
    private static func admit(_ message: RawSpan, _ name: Name, _ end: Int) {
        var output = [UInt8](repeating: 0, count: 65_535)
        var admission = Admission()
        var span = output.mutableSpan
        var room = span.mutableBytes
        let reply = admission.admit(
            message, name: name, qtype: message.u16(end), qclass: message.u16(end + 2), into: &room)
        guard let reply else { return }
        promise((12...65_535).contains(reply.byteCount), "size")
        promise(reply.addressCount <= 4 && reply.chain.count <= Admission.chainLimit, "facts")
        promise(reply.ttl <= 86_400, "ttl")
        let written = Array(output[..<reply.byteCount])
        promise(written[0...1] == [0, 0] && written[2] & 0x80 != 0, "header")
        var packet: UnsafeMutablePointer<ldns_pkt>?
        let status = ldns_wire2pkt(&packet, written, written.count)
        promise(status == LDNS_STATUS_OK, "ldns cannot read what was admitted")
        ldns_pkt_free(packet)
        _ = AnswerDigest(message: written.span.bytes)
    }

    /// As the engine takes it: the query that waits gets one answer, and so do those that come after.
    private static func answer(_ message: RawSpan, _ query: [UInt8]) {
        var engine = Engine(
            settings: EngineSettings(cacheBytes: 1 << 17, waiting: 4), policy: FuzzPolicy.snapshot, slots: 2)
        var output = [UInt8](repeating: 0, count: 65_535)
        var span = output.mutableSpan
        var room = span.mutableBytes
        let now: UInt64 = 5_000_000_000
        let question = query.span.bytes
        guard case .ask = engine.handle(question, isStream: false, now: now, into: &room) else { return }
        let origin = Origin(
            client: IPAddress(v4: 1), clientPort: 4000, resolver: IPAddress(v4: 2), resolverPort: 53, stream: 0,
            arrived: now)
        promise(engine.park(1, question, origin), "room for one query")
        engine.complete(1, reply: message, upstream: .none, now: now)
        guard let (_, answer) = engine.nextAnswer(into: &room) else { fatalError("a query without an answer") }
        promise((12...512).contains(answer.byteCount), "an answer of \(answer.byteCount) bytes without EDNS")
        promise(room.get16(0) == 0x0708 && room.get8(2) & 0x80 != 0, "header")
        promise(engine.nextAnswer(into: &room) == nil, "a second answer")
        for isStream in [false, true] {
            if case .answer(let next) = engine.handle(question, isStream: isStream, now: now + 1, into: &room) {
                promise((12...65_535).contains(next.byteCount), "size of a cached answer")
            }
        }
    }

    static var seeds: [[UInt8]] {
        let question: [UInt8] = [1, 97, 1, 98, 0, 0, 1, 0, 1]
        let address: [UInt8] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]
        let alias: [UInt8] = [0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 4, 1, 99, 0xc0, 14]
        let target: [UInt8] = [0xc0, 33, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]
        let soa: [UInt8] =
            [0xc0, 14, 0, 6, 0, 1, 0, 0, 1, 44, 0, 24, 0xc0, 14, 0xc0, 14] + [UInt8](repeating: 1, count: 20)
        let opt: [UInt8] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 22]
        let header = { (rcode: UInt8, answers: UInt8, authority: UInt8, additional: UInt8) -> [UInt8] in
            [1, 2, 0x81, 0x80 | rcode, 0, 1, 0, answers, 0, authority, 0, additional]
        }
        return [
            header(0, 1, 0, 0) + question + address, header(0, 2, 0, 1) + question + alias + target + opt,
            header(3, 0, 1, 0) + question + soa, header(2, 0, 0, 1) + question + opt,
        ]
    }
}
