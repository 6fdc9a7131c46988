public import Kernel
public import Wire

/// DNS over TCP on the engine's thread (RFC 1035 section 4.2.2, RFC 7766): accepts, cuts the streams into messages, and
/// sends replies in whatever order they come.
///
/// Pull style, level-triggered: after `ready` and after `reply`, ask `nextQuery` until it gives `nil`. A connection with
/// too many unanswered queries or with unsent replies is not read until they are gone, so a client that floods or does not
/// read fills its own window and nothing here.
///
/// One thread. A query allocates nothing; a connection's first use and a message over 2 KiB may.
public struct StreamServer: ~Copyable {
    /// What has happened since `init`, in connections.
    public struct Counters: Equatable, Sendable {
        public var accepted: UInt64 = 0
        /// Closed at once: from elsewhere, or all others were busy, or no descriptor was left.
        public var refused: UInt64 = 0
        /// Closed while idle, to make room.
        public var evicted: UInt64 = 0
        /// Closed for want of a query, or of progress.
        public var timedOut: UInt64 = 0
        /// Closed for a message without a whole header.
        public var malformed: UInt64 = 0

        public init() {}
    }

    private var acceptor: StreamAcceptor
    private var table: StreamTable
    private var line: StreamLine
    private let outstandingLimit: Int

    /// Opens the listeners and watches them.
    ///
    /// - Parameters:
    ///   - device: only connections that arrive on this device are taken; see `StreamListener`.
    ///   - peers: only connections from these addresses are kept, since a program on this machine reaches the listener
    ///     whatever its device is. Empty: from anywhere.
    ///   - owner: the upper 32 bits of this server's poller tags; the lower go to `ready`.
    ///   - connections: how many there can be at a time; further ones take the place of the oldest idle one.
    ///   - idleSeconds: how long a connection may stay without a query (RFC 7766 section 6.2.3).
    ///   - outstanding: how many queries of one connection may wait for their reply.
    public init(
        listeners addresses: [SocketAddress], device: String?, peers: [IPAddress] = [], poller: borrowing Poller,
        owner: UInt32, connections: Int = 1024, idleSeconds: Int = 30, outstanding: Int = 64
    ) throws(StreamServerError) {
        acceptor = try StreamAcceptor(addresses, device: device, peers: peers, poller: poller, owner: owner)
        table = StreamTable(count: connections, idleTime: UInt64(idleSeconds) * 1_000_000_000)
        line = StreamLine(capacity: connections)
        outstandingLimit = outstanding
    }

    /// Connections open now.
    public var live: Int { table.live }

    public var counters: Counters { table.counters }

    // MARK: Reading

    /// Handles one event of the poller.
    ///
    /// - Parameters:
    ///   - index: the lower 32 bits of the event's tag.
    ///   - now: `Clock.monotonic`, nanoseconds.
    public mutating func ready(index: UInt32, _ ready: Poller.Interest, now: UInt64, poller: borrowing Poller) {
        if index < acceptor.count {
            acceptor.accept(Int(index), into: &table, now, poller)
            return
        }
        let slot = Int(index) - acceptor.count
        // An event may be older than the connection in its slot: what the socket says counts.
        guard slot < table.count, table[slot].isOpen else { return }
        if ready.contains(.failure), table[slot].isBroken { return table.close(slot, now) }
        if ready.contains(.write), !table[slot].output.isEmpty {
            let unsent = table[slot].output.count
            guard table[slot].flush() else { return table.close(slot, now) }
            if table[slot].output.count < unsent { table.touch(slot, now) }
        }
        if ready.contains(.read), mayRead(slot) {
            guard table[slot].receive() else { return table.close(slot, now) }
            if case .message = table[slot].front { table.touch(slot, now) }
        }
        settle(slot, now, poller)
    }

    /// The next query that has arrived whole, one connection after the other; `nil` when there is none for now.
    public mutating func nextQuery() -> StreamQuery? {
        while let slot = line.next() {
            table[slot].isInLine = false
            guard table[slot].isOpen, mayTake(slot) else { continue }
            switch table[slot].front {
            case .incomplete: continue
            case .malformed:
                table.counters.malformed += 1
                table.close(slot, table.time(of: slot))
            case .message(let byteCount):
                let offset = table[slot].take(byteCount)
                table[slot].outstanding += 1
                table.touch(slot, table.time(of: slot))
                queue(slot)
                return StreamQuery(
                    token: table.token(slot), peer: table[slot].peer, offset: offset, byteCount: byteCount)
            }
        }
        return nil
    }

    /// The query's bytes, without the length; good until the next `ready`. Empty when its connection is gone.
    @_lifetime(borrow self)
    public func message(_ query: StreamQuery) -> RawSpan {
        guard let slot = table.slot(query.token) else { return RawSpan() }
        let bytes = table[slot].input.part(query.offset, query.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    // MARK: Writing

    /// Sends the reply to one query. A connection that is gone, or does not take what waits for it, is no error.
    ///
    /// - Parameter message: at most 65,535 bytes, without the length.
    public mutating func reply(
        _ token: StreamToken, _ message: RawSpan, poller: borrowing Poller, now: UInt64 = Clock.monotonic()
    ) {
        guard let slot = table.slot(token) else { return }
        guard table[slot].send(message) else { return table.close(slot, now) }
        finish(slot, now, poller)
    }

    /// Gives up one query without a reply: it deserved none.
    public mutating func discard(
        _ token: StreamToken, poller: borrowing Poller, now: UInt64 = Clock.monotonic()
    ) {
        guard let slot = table.slot(token) else { return }
        finish(slot, now, poller)
    }

    private mutating func finish(_ slot: Int, _ now: UInt64, _ poller: borrowing Poller) {
        table[slot].outstanding = max(0, table[slot].outstanding - 1)
        table.touch(slot, now)
        settle(slot, now, poller)
    }

    // MARK: What a change of a connection leads to

    /// Hands out, watches, or closes.
    private mutating func settle(_ slot: Int, _ now: UInt64, _ poller: borrowing Poller) {
        if case .incomplete = table[slot].front {
            if table[slot].isEnded, table[slot].isAnswered { return table.close(slot, now) }
        } else if mayTake(slot) {
            queue(slot)
        }
        var interest: Poller.Interest = mayRead(slot) ? .read : []
        if !table[slot].output.isEmpty { interest.insert(.write) }
        guard interest != table[slot].interest else { return }
        table[slot].interest = interest
        do {
            try poller.modify(table[slot].descriptor.number, tag: acceptor.tag(slot), interest)
        } catch {
            table.close(slot, now)
        }
    }

    /// Whether another query of the connection may be handed out.
    private func mayTake(_ slot: Int) -> Bool {
        table[slot].outstanding < outstandingLimit && table[slot].output.isEmpty
    }

    /// A full buffer with a whole query in front has room after the next `nextQuery`.
    private func mayRead(_ slot: Int) -> Bool {
        guard !table[slot].isEnded, mayTake(slot) else { return false }
        if case .message = table[slot].front { return true }
        return table[slot].hasRoom
    }

    private mutating func queue(_ slot: Int) {
        guard !table[slot].isInLine else { return }
        table[slot].isInLine = true
        line.append(slot)
    }

    // MARK: Time

    /// Closes the connections whose time is over; call it at `nextDeadline`, or about once a second.
    public mutating func expire(now: UInt64, poller: borrowing Poller) {
        table.expire(now: now)
        acceptor.resume(now: now, poller)
    }

    /// When `expire` has something to do, in nanoseconds of `Clock.monotonic`; `nil`: never, as things stand.
    public var nextDeadline: UInt64? {
        let first = min(acceptor.resumeAt ?? .max, table.nextDeadline)
        return first == .max ? nil : first
    }
}
