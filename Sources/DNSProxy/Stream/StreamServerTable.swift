import Kernel
import Wire

/// The connections of a server: which there are, what each waits for and since when. Reads and writes nothing.
///
/// No allocation after `init` but for a connection's buffers; every operation takes constant time.
struct StreamTable: ~Copyable {
    private enum Place: Int, CaseIterable {
        /// No connection.
        case free
        /// Waits for its client's next query.
        case idle
        /// Waits for replies, or for its client to read them.
        case busy
    }

    private var connections: Slots<StreamConnection>
    private var places: IdleQueues
    private let idleTime: UInt64
    /// Without any progress, nanoseconds.
    private let stallTime: UInt64 = 60_000_000_000
    /// Connections open now.
    private(set) var live = 0
    var counters = StreamServer.Counters()

    /// - Parameter idleTime: how long a connection may stay without a query, nanoseconds.
    init(count: Int, idleTime: UInt64) {
        connections = Slots(count: count) { _ in StreamConnection() }
        places = IdleQueues(count: count, queues: Place.allCases.count)
        self.idleTime = idleTime
    }

    /// Slots, open or not.
    var count: Int { connections.count }

    subscript(slot: Int) -> StreamConnection {
        unsafeAddress { unsafe connections.address(slot) }
        unsafeMutableAddress { unsafe connections.mutableAddress(slot) }
    }

    /// The slot of a connection that is still the one the token was given for.
    func slot(_ token: StreamToken) -> Int? {
        let slot = Int(token.slot)
        guard slot < count, connections[slot].isOpen, connections[slot].generation == token.generation else {
            return nil
        }
        return slot
    }

    func token(_ slot: Int) -> StreamToken {
        StreamToken(slot: UInt32(slot), generation: connections[slot].generation)
    }

    // MARK: Opening and closing

    /// A slot for a new connection, if need be that of the one that has been idle the longest; `nil`: all are busy.
    mutating func makeRoom(_ now: UInt64) -> Int? {
        if places.oldest(of: Place.free.rawValue) == nil { _ = evict(now) }
        return places.oldest(of: Place.free.rawValue)
    }

    mutating func open(_ slot: Int, _ accepted: consuming Descriptor, peer: SocketAddress, now: UInt64) {
        connections[slot].open(accepted, peer: peer)
        places.move(slot, to: Place.idle.rawValue, at: now)
        live += 1
        counters.accepted += 1
    }

    mutating func close(_ slot: Int, _ now: UInt64) {
        connections[slot].close()
        places.move(slot, to: Place.free.rawValue, at: now)
        live -= 1
    }

    /// Closes the connection that has been idle the longest. `false`: none is idle.
    mutating func evict(_ now: UInt64) -> Bool {
        guard let slot = places.oldest(of: Place.idle.rawValue) else { return false }
        counters.evicted += 1
        close(slot, now)
        return true
    }

    // MARK: Time

    /// Progress: the connection's time begins anew, by what it waits for now.
    mutating func touch(_ slot: Int, _ now: UInt64) {
        places.move(slot, to: (connections[slot].isAnswered ? Place.idle : .busy).rawValue, at: now)
    }

    /// When there was progress last.
    func time(of slot: Int) -> UInt64 { places.time(of: slot) }

    /// Closes the connections whose time is over.
    mutating func expire(now: UInt64) {
        closeOld(.idle, idleTime, now)
        closeOld(.busy, stallTime, now)
    }

    /// When `expire` has something to do; `.max`: never, as things stand.
    var nextDeadline: UInt64 {
        min(firstDeadline(.idle, idleTime), firstDeadline(.busy, stallTime))
    }

    private mutating func closeOld(_ place: Place, _ limit: UInt64, _ now: UInt64) {
        while let slot = places.oldest(of: place.rawValue),
            Clock.elapsed(from: places.time(of: slot), to: now) >= limit
        {
            counters.timedOut += 1
            close(slot, now)
        }
    }

    private func firstDeadline(_ place: Place, _ limit: UInt64) -> UInt64 {
        guard let slot = places.oldest(of: place.rawValue) else { return .max }
        return places.time(of: slot) + limit
    }
}

/// The connections that may have a query, in the order in which they are asked for it; each at most once. A ring.
struct StreamLine {
    private var ring: [UInt32]
    private var head = 0
    private var count = 0

    /// - Parameter capacity: slots there are.
    init(capacity: Int) {
        ring = Array(repeating: 0, count: capacity)
    }

    /// Puts a slot that is not in the line at its end.
    mutating func append(_ slot: Int) {
        ring[(head + count) % ring.count] = UInt32(slot)
        count += 1
    }

    /// Takes the first one.
    mutating func next() -> Int? {
        guard count > 0 else { return nil }
        let slot = Int(ring[head])
        head = (head + 1) % ring.count
        count -= 1
        return slot
    }
}
