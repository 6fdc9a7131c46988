import Glibc
import Kernel
import Wire

/// What comes back, and what of it is believed.
extension UpstreamExchange {
    /// Reads one datagram of a socket that is readable. `nil`: it ended no question.
    mutating func receiveDatagram(_ socket: Int, now: UInt64, poller: borrowing Poller) -> Completion? {
        let count = sockets.receive(socket, into: &buffer)
        if count >= 0 { return judge(count, via: socket, isStream: false, now: now, poller: poller) }
        sockets.clearReadable()
        if count != -Int(EAGAIN) { socketFailed(socket, code: CInt(-count), now: now, poller: poller) }
        return nil
    }

    /// Reads one message of a connection that is readable. `nil`: it ended no question.
    mutating func receiveMessage(_ stream: Int, now: UInt64, poller: borrowing Poller) -> Completion? {
        let count = streams.receive(stream, into: &buffer)
        if count >= 0 { return judge(count, via: stream, isStream: true, now: now, poller: poller) }
        streams.clearReadable(stream)
        if count != -Int(EAGAIN) { streamFailed(stream, code: CInt(-count), now: now, poller: poller) }
        return nil
    }

    /// Judges a message of `count` bytes in `buffer`. `nil`: it ends no question.
    private mutating func judge(
        _ count: Int, via: Int, isStream: Bool, now: UInt64, poller: borrowing Poller
    ) -> Completion? {
        counters.received += 1
        guard count >= 12 else { return reject(via, isStream: isStream) }
        let id = message(count).u16(0)
        let flags = message(count).u16(2)
        let slot = ids.slot(id)
        guard flags & 0xf800 == Flags.qr, slot >= 0, let index = attempt(of: slot, id: id, via: via, isStream: isStream)
        else {
            if !isStream, noteProbe(id: id, socket: via, now: now) { return nil }
            return reject(via, isStream: isStream)
        }
        let attempt = table.slots[slot].attempts[index]
        let rcode = RCode(flags & 0xf)
        switch table.slots[slot].question.echo(in: message(count)) {
        case .exact:
            if attempt.randomCase, attempt.server >= 0 { servers[attempt.server].noteCase(matched: true, now: now) }
        case .otherCase:
            if attempt.randomCase {
                if attempt.server >= 0 { servers[attempt.server].noteCase(matched: false, now: now) }
                return mismatch(slot, attempt, toStream: true, now: now, poller: poller)
            }
        case .absent:
            guard rcode != .noError, rcode != .nameError else { return reject(via, isStream: isStream) }
        case .different:
            return mismatch(slot, attempt, toStream: table.slots[slot].mismatches >= 2, now: now, poller: poller)
        }
        if attempt.server >= 0 {
            servers[attempt.server].noteReply(
                now: now, roundTrip: isStream ? nil : Clock.elapsed(from: attempt.sentAt, to: now))
        }
        return accept(count, slot, index, flags: flags, now: now, poller: poller)
    }

    /// A reply to what was asked: final, or a reason to ask otherwise or elsewhere.
    private mutating func accept(
        _ count: Int, _ slot: Int, _ index: Int, flags: UInt16, now: UInt64, poller: borrowing Poller
    ) -> Completion? {
        let attempt = table.slots[slot].attempts[index]
        let rcode = RCode(flags & 0xf)
        if flags & Flags.tc != 0, !attempt.isStream {
            again(slot, index, isStream: true, edns: attempt.edns, now: now, poller: poller)
            return nil
        }
        if attempt.edns, rcode == .formatError || rcode == .notImplemented, attempt.server >= 0 {
            table.slots[slot].plainServer = attempt.server
            again(slot, index, isStream: attempt.isStream, edns: false, now: now, poller: poller)
            return nil
        }
        if !attempt.edns, attempt.server >= 0, table.slots[slot].plainServer == attempt.server,
            rcode == .noError || rcode == .nameError
        {
            servers[attempt.server].noteNoEDNS(now: now)
        }
        let isError =
            rcode == .serverFailure || rcode == .refused || rcode == .notImplemented || rcode == .formatError
        if isError {
            if attempt.server >= 0 { table.slots[slot].spent |= 1 << UInt64(attempt.server) }
            let hasQuestion = message(count).u16(4) == 1
            if isAnyBetter(slot, than: index) || !hasQuestion {
                attemptFailed(slot, index, .serverFailure, now: now, poller: poller)
                return nil
            }
        }
        let server =
            attempt.isStream ? streams.entries[attempt.via].address : sockets.entries[attempt.via].address
        finish(slot, now: now)
        return Completion(
            slot: slot, outcome: .reply(byteCount: count), server: server, isStream: attempt.isStream,
            latency: Clock.elapsed(from: attempt.sentAt, to: now))
    }

    /// Whether a server that is up has still to answer, or to be asked.
    private func isAnyBetter(_ slot: Int, than index: Int) -> Bool {
        let next = candidate(slot)
        if next >= 0, !servers[next].isDown { return true }
        for other in 0..<UpstreamSlot.attempts where other != index {
            let attempt = table.slots[slot].attempts[other]
            if attempt.isLive, attempt.server < 0 || !servers[attempt.server].isDown { return true }
        }
        return false
    }

    private func attempt(of slot: Int, id: UInt16, via: Int, isStream: Bool) -> Int? {
        for index in 0..<UpstreamSlot.attempts {
            let attempt = table.slots[slot].attempts[index]
            if attempt.via == via, attempt.id == id, attempt.isStream == isStream { return index }
        }
        return nil
    }

    private mutating func reject(_ via: Int, isStream: Bool) -> Completion? {
        counters.rejected += 1
        if !isStream { sockets.noteStray(via) }
        return nil
    }

    /// The right ID with another question or case: the true reply is waited for, and asked for over TCP, where nobody can
    /// forge it who does not see the connection.
    private mutating func mismatch(
        _ slot: Int, _ attempt: UpstreamAttempt, toStream: Bool, now: UInt64, poller: borrowing Poller
    ) -> Completion? {
        counters.rejected += 1
        if table.slots[slot].mismatches < .max { table.slots[slot].mismatches += 1 }
        guard toStream, attempt.server >= 0, table.slots[slot].spent >> UInt64(attempt.server) & 1 == 0 else {
            return nil
        }
        for index in 0..<UpstreamSlot.attempts {
            let other = table.slots[slot].attempts[index]
            if other.isLive, other.isStream, other.server == attempt.server { return nil }
        }
        counters.retries += 1
        if !send(slot, server: attempt.server, isStream: true, edns: attempt.edns, now: now, poller: poller) {
            askNext(slot, now: now, poller: poller)
        }
        return nil
    }

    /// The late reply of a server that was down, to a probe whose question is done.
    private mutating func noteProbe(id: UInt16, socket: Int, now: UInt64) -> Bool {
        for index in servers.indices
        where servers[index].probeSocket == socket && servers[index].probeID == id
            && sockets.entries[socket].server == index
        {
            servers[index].probeSocket = -1
            servers[index].noteReply(now: now, roundTrip: nil)
            return true
        }
        return false
    }
}
