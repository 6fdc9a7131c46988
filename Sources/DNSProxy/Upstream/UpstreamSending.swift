import Glibc
import Kernel
import Wire

/// How a question leaves: one message to one server, by a socket or a connection.
extension UpstreamExchange {
    /// Sends a question to a server. A probe leaves the slot's time as it is. Returns whether an answer may come.
    mutating func send(
        _ slot: Int, server: Int, isStream: Bool = false, edns: Bool, isProbe: Bool = false, now: UInt64,
        poller: borrowing Poller
    ) -> Bool {
        let address = servers[server].address
        let via =
            isStream
            ? streams.take(server: server, address: address, now: now, poller: poller)
            : sockets.take(server: server, address: address, now: now, random: &random, poller: poller)
        guard via >= 0 else { return noteUnsent(slot, server, isStream, code: CInt(-via), now: now) }
        var attempt = UpstreamAttempt(via: via, server: server, isStream: isStream, edns: edns, sentAt: now)
        attempt.id = ids.fresh(&random)
        attempt.randomCase = !isStream && servers[server].usesRandomCase(at: now)
        attempt.isReused = isStream && streams.entries[via].isConnected
        let result = write(attempt, slot, now: now, poller: poller)
        // What the kernel has no room for now is lost like any datagram.
        if result < 0, result != -Int(EAGAIN), result != -Int(ENOBUFS) {
            if isStream {
                streamFailed(via, code: CInt(-result), now: now, poller: poller)
            } else {
                sockets.retire(via)
            }
            return noteUnsent(slot, server, isStream, code: CInt(-result), now: now)
        }
        counters.sent += 1
        if isStream { counters.tcp += 1 }
        add(attempt, to: slot, isProbe: isProbe, now: now)
        return true
    }

    /// Composes the attempt's message and gives it to the kernel. Returns at least 0, or `-errno`.
    private mutating func write(_ attempt: UpstreamAttempt, _ slot: Int, now: UInt64, poller: borrowing Poller) -> Int {
        var room = InlineArray<282, UInt8>(repeating: 0)
        var span = room.mutableSpan
        var message = unsafe span.mutableBytes
        let count = table.slots[slot].question.compose(
            into: &message, id: attempt.id, edns: attempt.edns, randomCase: attempt.randomCase)
        let bytes = unsafe room.span.bytes.extracting(first: count)
        return attempt.isStream
            ? streams.send(attempt.via, bytes, now: now, poller: poller) : sockets.send(attempt.via, bytes)
    }

    private mutating func noteUnsent(_ slot: Int, _ server: Int, _ isStream: Bool, code: CInt, now: UInt64) -> Bool {
        table.slots[slot].failure = code == ECONNREFUSED ? .refused : .unreachable
        table.slots[slot].spent |= 1 << UInt64(server)
        if !isStream { servers[server].noteUnreachable(now: now) }
        return false
    }
}

/// The message IDs in flight and whose they are. A free one is found by chance, so that nobody can guess the next
/// (RFC 5452 section 9.2); it is found soon, as 4096 questions with all their attempts take a quarter of the IDs.
///
/// No allocation after `init`.
struct UpstreamIDs {
    private static let none = UInt16.max
    private var slots = [UInt16](repeating: UpstreamIDs.none, count: 65536)

    /// An ID that nobody has.
    func fresh(_ random: inout UpstreamRandom) -> UInt16 {
        while true {
            let id = UInt16(truncatingIfNeeded: random.next())
            if slots[Int(id)] == UpstreamIDs.none { return id }
        }
    }

    /// The slot that an ID belongs to; -1: to none.
    func slot(_ id: UInt16) -> Int {
        slots[Int(id)] == UpstreamIDs.none ? -1 : Int(slots[Int(id)])
    }

    mutating func take(_ id: UInt16, for slot: Int) {
        slots[Int(id)] = UInt16(slot)
    }

    mutating func release(_ id: UInt16) {
        slots[Int(id)] = UpstreamIDs.none
    }

    /// IDs taken, counted one by one.
    var count: Int { slots.count { $0 != UpstreamIDs.none } }
}
