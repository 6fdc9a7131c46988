import Glibc
import Kernel
import Wire

/// What becomes of a question's attempts: the next server, a timeout, a failure.
extension UpstreamExchange {
    /// Takes an attempt into the slot, in place of the oldest when there are too many, and sets the slot's time.
    mutating func add(_ attempt: UpstreamAttempt, to slot: Int, isProbe: Bool, now: UInt64) {
        var place = 0
        for index in 0..<UpstreamSlot.attempts {
            if !table.slots[slot].attempts[index].isLive {
                place = index
                break
            }
            if table.slots[slot].attempts[index].sentAt < table.slots[slot].attempts[place].sentAt { place = index }
        }
        drop(slot, place, now: now)
        table.slots[slot].attempts[place] = attempt
        ids.take(attempt.id, for: slot)
        if attempt.isStream { streams.hold(attempt.via) } else { sockets.hold(attempt.via) }
        if isProbe { return }
        table.slots[slot].latest = place
        var wait = servers[attempt.server].timeout << UInt64(min(table.slots[slot].round, 3))
        if attempt.isStream { wait = max(wait, UpstreamExchange.streamTime) }
        deadlines.set(slot, min(now + wait, table.slots[slot].started + UpstreamExchange.totalTime))
    }

    /// Forgets an attempt: its answer, should it come, is not believed any more.
    mutating func drop(_ slot: Int, _ index: Int, now: UInt64) {
        let attempt = table.slots[slot].attempts[index]
        guard attempt.isLive else { return }
        table.slots[slot].attempts[index].via = -1
        ids.release(attempt.id)
        if attempt.isStream { streams.drop(attempt.via, now: now) } else { sockets.drop(attempt.via) }
    }

    /// Sends to the best server that was not asked in this round and has not given all it can; without one and without
    /// anything awaited the question has failed. Returns whether it was sent.
    @discardableResult
    mutating func askNext(_ slot: Int, now: UInt64, poller: borrowing Poller) -> Bool {
        while true {
            let server = candidate(slot)
            guard server >= 0 else { break }
            table.slots[slot].asked |= 1 << UInt64(server)
            let edns = servers[server].usesEDNS(at: now)
            if send(slot, server: server, edns: edns, now: now, poller: poller) { return true }
        }
        if table.slots[slot].allowed == 0 { table.slots[slot].failure = .noServers }
        if table.slots[slot].liveAttempts == 0 { fail(slot, now: now) }
        return false
    }

    /// The first server for a question that is up, else the first that is down; -1 when all were asked.
    func candidate(_ slot: Int) -> Int {
        var down = -1
        let open = table.slots[slot].allowed & ~(table.slots[slot].asked | table.slots[slot].spent)
        let zone = Int(table.slots[slot].zone)
        let group = zone < 0 ? usual : zoneServers[zone]
        var place = 0
        while place < group.count {
            let index = Int(group.order[place])
            place += 1
            guard open >> UInt64(index) & 1 != 0 else { continue }
            if !servers[index].isDown { return index }
            if down < 0 { down = index }
        }
        return down
    }

    /// Asks a server that was down for a while as well, so that its recovery is seen without anyone waiting for it.
    mutating func probe(_ slot: Int, now: UInt64, poller: borrowing Poller) {
        let open = table.slots[slot].allowed & ~table.slots[slot].asked
        for index in servers.indices where open >> UInt64(index) & 1 != 0 {
            guard servers[index].takeProbe(now: now) else { continue }
            table.slots[slot].asked |= 1 << UInt64(index)
            let edns = servers[index].usesEDNS(at: now)
            guard send(slot, server: index, edns: edns, isProbe: true, now: now, poller: poller) else { return }
            for place in 0..<UpstreamSlot.attempts {
                let attempt = table.slots[slot].attempts[place]
                guard attempt.isLive, attempt.server == index else { continue }
                servers[index].probeID = attempt.id
                servers[index].probeSocket = attempt.via
            }
            return
        }
    }

    /// The time of the latest attempt is over.
    mutating func timeOut(_ slot: Int, now: UInt64, poller: borrowing Poller) {
        let latest = table.slots[slot].attempts[table.slots[slot].latest]
        if latest.isLive, latest.server >= 0 {
            if latest.isStream {
                noteNoStream(slot, server: latest.server, now: now)
            } else {
                servers[latest.server].noteTimeout(now: now, sentAt: latest.sentAt)
            }
        }
        let end = table.slots[slot].started + UpstreamExchange.totalTime
        if now >= end {
            table.slots[slot].failure = .timeout
            return fail(slot, now: now)
        }
        if candidate(slot) < 0 {
            // An error from one server and silence from the others, twice: it will not get better.
            if table.slots[slot].failure == .serverFailure, table.slots[slot].round > 0 { return fail(slot, now: now) }
            table.slots[slot].asked = 0
            table.slots[slot].round += 1
        }
        counters.retries += 1
        let isSent = askNext(slot, now: now, poller: poller)
        // Nobody is left to be asked, but an answer may still come.
        if !isSent, table.slots[slot].isInFlight { deadlines.set(slot, end) }
    }

    /// One attempt has ended without a usable reply; its server is not asked again for this question.
    mutating func attemptFailed(_ slot: Int, _ index: Int, _ failure: Failure, now: UInt64, poller: borrowing Poller) {
        let attempt = table.slots[slot].attempts[index]
        drop(slot, index, now: now)
        table.slots[slot].failure = failure
        if attempt.server >= 0 {
            table.slots[slot].spent |= 1 << UInt64(attempt.server)
            if attempt.isStream { noteNoStream(slot, server: attempt.server, now: now) }
        }
        counters.retries += 1
        askNext(slot, now: now, poller: poller)
    }

    /// A server that changed the case of the question gives no answer over TCP either: it is asked in small letters, again
    /// for this question.
    private mutating func noteNoStream(_ slot: Int, server: Int, now: UInt64) {
        guard table.slots[slot].mismatches > 0, servers[server].usesRandomCase(at: now) else { return }
        servers[server].noteNoCase(now: now)
        table.slots[slot].asked &= ~(1 << UInt64(server))
        table.slots[slot].spent &= ~(1 << UInt64(server))
    }

    /// The question is done: nothing more is believed for it.
    mutating func finish(_ slot: Int, now: UInt64) {
        for index in 0..<UpstreamSlot.attempts { drop(slot, index, now: now) }
        deadlines.remove(slot)
        table.remove(slot)
    }

    private mutating func fail(_ slot: Int, now: UInt64) {
        finish(slot, now: now)
        failed.append(Int32(slot))
    }

    /// The kernel reports an error of a UDP socket: its server's host, or the way there, refuses.
    mutating func socketFailed(_ socket: Int, code: CInt, now: UInt64, poller: borrowing Poller) {
        let server = sockets.entries[socket].server
        if server >= 0 { servers[server].noteUnreachable(now: now) }
        endAttempts(via: socket, isStream: false, code: code, now: now, poller: poller)
        sockets.retire(socket)
    }

    /// A connection ended, by either side.
    mutating func streamFailed(_ stream: Int, code: CInt, now: UInt64, poller: borrowing Poller) {
        streams.shut(stream)
        endAttempts(via: stream, isStream: true, code: code, now: now, poller: poller)
        streams.closeEntry(stream)
    }

    private mutating func endAttempts(
        via: Int, isStream: Bool, code: CInt, now: UInt64, poller: borrowing Poller
    ) {
        let failure: Failure = code == ECONNREFUSED || code == ECONNRESET ? .refused : .unreachable
        for slot in table.slots.indices {
            for index in 0..<UpstreamSlot.attempts where table.slots[slot].isInFlight {
                let attempt = table.slots[slot].attempts[index]
                guard attempt.via == via, attempt.isStream == isStream else { continue }
                if attempt.isReused {
                    again(slot, index, isStream: true, edns: attempt.edns, now: now, poller: poller)
                } else {
                    attemptFailed(slot, index, failure, now: now, poller: poller)
                }
            }
        }
    }

    /// Asks the same server again, in another way, in place of an attempt.
    mutating func again(
        _ slot: Int, _ index: Int, isStream: Bool, edns: Bool, now: UInt64, poller: borrowing Poller
    ) {
        let server = table.slots[slot].attempts[index].server
        guard server >= 0 else { return attemptFailed(slot, index, .serverFailure, now: now, poller: poller) }
        drop(slot, index, now: now)
        counters.retries += 1
        if !send(slot, server: server, isStream: isStream, edns: edns, now: now, poller: poller) {
            askNext(slot, now: now, poller: poller)
        }
    }
}
