import Glibc
public import Kernel
public import Wire

/// Names a connection of the server; one that is gone is recognised.
public struct StreamToken: Hashable, Sendable {
    let slot: UInt32
    let generation: UInt32

    init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    /// The token that has a `value`.
    public init(_ value: UInt64) {
        slot = UInt32(truncatingIfNeeded: value >> 32) &- 1
        generation = UInt32(truncatingIfNeeded: value)
    }

    /// The token as one integer, never 0.
    public var value: UInt64 { (UInt64(slot) + 1) << 32 | UInt64(generation) }
}

/// A query that came over TCP. Each wants one `reply` or `discard`.
public struct StreamQuery: Sendable {
    public let token: StreamToken
    /// The other end as the listener sees it: the tunnel's peer, with the port that names the flow.
    public let peer: SocketAddress
    let offset: Int
    let byteCount: Int
}

/// DNS over TCP on the engine's thread (RFC 1035 section 4.2.2, RFC 7766): accepts, cuts the streams into messages, and
/// sends replies in whatever order they come.
///
/// Pull style, level-triggered: after `ready` and after `reply`, ask `nextQuery` until it gives `nil`. A connection with
/// too many unanswered queries or with unsent replies is not read until they are gone, so a client that floods or does not
/// read fills its own window and nothing here.
///
/// One thread. A query allocates nothing; a connection's first use and a message over 2 KiB may.
public struct StreamServer: ~Copyable {
    private enum Place: Int {
        case free, idle, busy
    }

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

    private var listeners: Slots<StreamListener>
    private var connections: Slots<StreamConnection>
    private var places: IdleQueues
    /// A ring of slots that may have a query; each at most once.
    private var line: [UInt32]
    private var lineHead = 0
    private var lineCount = 0
    /// Spent to accept and close a connection when the process has no descriptor left.
    private var reserve: Descriptor
    private var resumeAt: UInt64?
    private let owner: UInt32
    private let peers: [IPAddress]
    private let idleTime: UInt64
    private let stallTime: UInt64 = 60_000_000_000
    private let outstandingLimit: Int
    public private(set) var counters = Counters()

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
        listeners = try Slots(count: addresses.count) { (index) throws(StreamServerError) in
            let listener = try StreamListener(addresses[index], device: device)
            do throws(KernelError) {
                try poller.add(listener.descriptor.number, tag: StreamServer.tag(owner, index), .read)
            } catch {
                throw .kernel(addresses[index], error)
            }
            return listener
        }
        self.connections = Slots(count: connections) { _ in StreamConnection() }
        places = IdleQueues(count: connections, queues: 3)
        line = Array(repeating: 0, count: connections)
        reserve = StreamServer.openReserve()
        self.owner = owner
        self.peers = peers
        idleTime = UInt64(idleSeconds) * 1_000_000_000
        outstandingLimit = outstanding
    }

    /// Connections open now.
    public private(set) var live = 0

    /// Handles one event of the poller.
    ///
    /// - Parameters:
    ///   - index: the lower 32 bits of the event's tag.
    ///   - now: `Clock.monotonic`, nanoseconds.
    public mutating func ready(index: UInt32, _ ready: Poller.Interest, now: UInt64, poller: borrowing Poller) {
        if index < listeners.count {
            accept(Int(index), now, poller)
            return
        }
        let slot = Int(index) - listeners.count
        // An event may be older than the connection in its slot: what the socket says counts.
        guard slot < connections.count, connections[slot].isOpen else { return }
        if ready.contains(.failure), connections[slot].isBroken {
            close(slot, now)
            return
        }
        if ready.contains(.write), !connections[slot].output.isEmpty {
            let unsent = connections[slot].output.count
            guard connections[slot].flush() else { return close(slot, now) }
            if connections[slot].output.count < unsent { touch(slot, now) }
        }
        if ready.contains(.read), mayRead(slot) {
            guard connections[slot].receive() else { return close(slot, now) }
            if case .message = connections[slot].front { touch(slot, now) }
        }
        settle(slot, now, poller)
    }

    /// The next query that has arrived whole, one connection after the other; `nil` when there is none for now.
    public mutating func nextQuery() -> StreamQuery? {
        while lineCount > 0 {
            let slot = Int(line[lineHead])
            lineHead = (lineHead + 1) % line.count
            lineCount -= 1
            connections[slot].isInLine = false
            guard connections[slot].isOpen, mayTake(slot) else { continue }
            switch connections[slot].front {
            case .incomplete: continue
            case .malformed:
                counters.malformed += 1
                close(slot, places.time(of: slot))
            case .message(let byteCount):
                let offset = connections[slot].take(byteCount)
                connections[slot].outstanding += 1
                places.move(slot, to: Place.busy.rawValue, at: places.time(of: slot))
                queue(slot)
                return StreamQuery(
                    token: StreamToken(slot: UInt32(slot), generation: connections[slot].generation),
                    peer: connections[slot].peer, offset: offset, byteCount: byteCount)
            }
        }
        return nil
    }

    /// The query's bytes, without the length; good until the next `ready`. Empty when its connection is gone.
    @_lifetime(borrow self)
    public func message(_ query: StreamQuery) -> RawSpan {
        guard let slot = slot(query.token) else { return RawSpan() }
        let bytes = connections[slot].input.part(query.offset, query.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Sends the reply to one query. A connection that is gone, or does not take what waits for it, is no error.
    ///
    /// - Parameter message: at most 65,535 bytes, without the length.
    public mutating func reply(
        _ token: StreamToken, _ message: RawSpan, poller: borrowing Poller, now: UInt64 = Clock.monotonic()
    ) {
        guard let slot = slot(token) else { return }
        guard connections[slot].send(message) else { return close(slot, now) }
        finish(slot, now, poller)
    }

    /// Gives up one query without a reply: it deserved none.
    public mutating func discard(
        _ token: StreamToken, poller: borrowing Poller, now: UInt64 = Clock.monotonic()
    ) {
        guard let slot = slot(token) else { return }
        finish(slot, now, poller)
    }

    /// Closes the connections whose time is over; call it at `nextDeadline`, or about once a second.
    public mutating func expire(now: UInt64, poller: borrowing Poller) {
        closeOld(.idle, idleTime, now)
        closeOld(.busy, stallTime, now)
        if let resumeAt, now >= resumeAt { resume(poller) }
    }

    private mutating func closeOld(_ place: Place, _ limit: UInt64, _ now: UInt64) {
        while let slot = places.oldest(of: place.rawValue),
            Clock.elapsed(from: places.time(of: slot), to: now) >= limit
        {
            counters.timedOut += 1
            close(slot, now)
        }
    }

    /// When `expire` has something to do, in nanoseconds of `Clock.monotonic`; `nil`: never, as things stand.
    public var nextDeadline: UInt64? {
        let first = min(
            resumeAt ?? .max, min(firstDeadline(.idle, idleTime), firstDeadline(.busy, stallTime)))
        return first == .max ? nil : first
    }

    private func firstDeadline(_ place: Place, _ limit: UInt64) -> UInt64 {
        guard let slot = places.oldest(of: place.rawValue) else { return .max }
        return places.time(of: slot) + limit
    }
}

// MARK: - Connections

extension StreamServer {
    private static func tag(_ owner: UInt32, _ index: Int) -> UInt64 {
        UInt64(owner) << 32 | UInt64(index)
    }

    private func slot(_ token: StreamToken) -> Int? {
        let slot = Int(token.slot)
        guard slot < connections.count, connections[slot].isOpen, connections[slot].generation == token.generation
        else {
            return nil
        }
        return slot
    }

    /// Whether another query of the connection may be handed out.
    private func mayTake(_ slot: Int) -> Bool {
        connections[slot].outstanding < outstandingLimit && connections[slot].output.isEmpty
    }

    /// A full buffer with a whole query in front has room after the next `nextQuery`.
    private func mayRead(_ slot: Int) -> Bool {
        guard !connections[slot].isEnded, mayTake(slot) else { return false }
        if case .message = connections[slot].front { return true }
        return connections[slot].hasRoom
    }

    private mutating func queue(_ slot: Int) {
        guard !connections[slot].isInLine else { return }
        connections[slot].isInLine = true
        line[(lineHead + lineCount) % line.count] = UInt32(slot)
        lineCount += 1
    }

    private mutating func touch(_ slot: Int, _ now: UInt64) {
        let isIdle = connections[slot].outstanding == 0 && connections[slot].output.isEmpty
        places.move(slot, to: (isIdle ? Place.idle : .busy).rawValue, at: now)
    }

    private mutating func finish(_ slot: Int, _ now: UInt64, _ poller: borrowing Poller) {
        connections[slot].outstanding = max(0, connections[slot].outstanding - 1)
        touch(slot, now)
        settle(slot, now, poller)
    }

    /// Draws the consequences of a change: hands out, watches, or closes.
    private mutating func settle(_ slot: Int, _ now: UInt64, _ poller: borrowing Poller) {
        if case .incomplete = connections[slot].front {
            let isDone = connections[slot].outstanding == 0 && connections[slot].output.isEmpty
            if connections[slot].isEnded, isDone { return close(slot, now) }
        } else if mayTake(slot) {
            queue(slot)
        }
        var interest: Poller.Interest = mayRead(slot) ? .read : []
        if !connections[slot].output.isEmpty { interest.insert(.write) }
        guard interest != connections[slot].interest else { return }
        connections[slot].interest = interest
        do {
            try poller.modify(
                connections[slot].descriptor.number, tag: StreamServer.tag(owner, listeners.count + slot), interest)
        } catch {
            close(slot, now)
        }
    }

    private mutating func close(_ slot: Int, _ now: UInt64) {
        connections[slot].close()
        places.move(slot, to: Place.free.rawValue, at: now)
        live -= 1
    }
}

// MARK: - Accepting

extension StreamServer {
    private static func openReserve() -> Descriptor {
        Descriptor(owning: unsafe open("/dev/null", O_RDONLY | O_CLOEXEC))
    }

    private mutating func accept(_ index: Int, _ now: UInt64, _ poller: borrowing Poller) {
        for _ in 0..<64 {
            var peer = SocketAddress(IPAddress(v4: 0), port: 0)
            var number = listeners[index].descriptor.accept(peer: &peer)
            if number >= 0 {
                add(Descriptor(owning: number), peer, now, poller)
            } else if number == -EMFILE || number == -ENFILE {
                // The kernel looks for a descriptor before it looks for a connection: there may be none.
                number = relieve(index, now, poller)
            }
            switch -number {
            case ..<1, EINTR, ECONNABORTED, EPROTO, EPERM: continue
            case EAGAIN: return
            default: return pause(now, poller)
            }
        }
    }

    private mutating func add(
        _ accepted: consuming Descriptor, _ peer: SocketAddress, _ now: UInt64, _ poller: borrowing Poller
    ) {
        guard peers.isEmpty || peers.contains(peer.address) else {
            counters.refused += 1
            return
        }
        if places.oldest(of: Place.free.rawValue) == nil { _ = evict(now) }
        guard let slot = places.oldest(of: Place.free.rawValue) else {
            counters.refused += 1
            return
        }
        do {
            try poller.add(accepted.number, tag: StreamServer.tag(owner, listeners.count + slot), .read)
        } catch {
            counters.refused += 1
            return
        }
        connections[slot].open(accepted, peer: peer)
        places.move(slot, to: Place.idle.rawValue, at: now)
        live += 1
        counters.accepted += 1
    }

    private mutating func evict(_ now: UInt64) -> Bool {
        guard let slot = places.oldest(of: Place.idle.rawValue) else { return false }
        counters.evicted += 1
        close(slot, now)
        return true
    }

    /// With no descriptor left but the one kept for this: accepts a connection in the place of an idle one, or closes it
    /// at once, so that its client learns of it.
    private mutating func relieve(_ index: Int, _ now: UInt64, _ poller: borrowing Poller) -> CInt {
        reserve = Descriptor(owning: -1)
        var peer = SocketAddress(IPAddress(v4: 0), port: 0)
        let number = listeners[index].descriptor.accept(peer: &peer)
        if number >= 0 {
            if evict(now) {
                add(Descriptor(owning: number), peer, now, poller)
            } else {
                counters.refused += 1
                _ = Glibc.close(number)
            }
        }
        reserve = StreamServer.openReserve()
        return number
    }

    /// Leaves the listeners alone for 100 ms.
    private mutating func pause(_ now: UInt64, _ poller: borrowing Poller) {
        for index in 0..<listeners.count {
            try? poller.modify(listeners[index].descriptor.number, tag: StreamServer.tag(owner, index), [])
        }
        resumeAt = now + 100_000_000
    }

    private mutating func resume(_ poller: borrowing Poller) {
        resumeAt = nil
        for index in 0..<listeners.count {
            try? poller.modify(listeners[index].descriptor.number, tag: StreamServer.tag(owner, index), .read)
        }
        if reserve.number < 0 { reserve = StreamServer.openReserve() }
    }
}
