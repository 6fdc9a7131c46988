internal import Glibc
internal import Kernel

/// The rings that one writer empties, taken together. Only the writer's thread takes rows out; the counts are for any thread.
struct QueryRings: Sendable {
    let rings: [QueryRing]

    /// - Parameter rings: at least one; each has one producer.
    init(_ rings: [QueryRing]) {
        precondition(!rings.isEmpty)
        self.rings = rings
    }

    /// Rows that found a ring full since the start.
    var dropped: Int { rings.reduce(0) { $0 + $1.dropped } }
    /// Bytes that wait for the writer.
    var used: Int { rings.reduce(0) { $0 + $1.used } }
    var isEmpty: Bool { rings.allSatisfy { $0.used == 0 } }
    /// Whether none is a quarter full.
    var isCalm: Bool { rings.allSatisfy { $0.used < $0.capacity / 4 } }

    /// The positions behind the last rows, ring by ring. The last ring is looked at first: when rows are read up to here, what
    /// one producer told before another is taken no later.
    var ends: [Int] { Array(rings.reversed().map { $0.records.position + $0.used }.reversed()) }

    /// Whether the rows before these positions are out.
    func areEmptied(to ends: [Int]) -> Bool {
        zip(rings, ends).allSatisfy { $0.records.position >= $1 }
    }

    /// Ends the writer's sleep.
    func wake() {
        rings[0].records.signalConsumer()
    }

    /// Sleeps until then, in nanoseconds of the monotonic clock, or until a ring fills up or someone calls; a second at most.
    func sleep(until end: UInt64, wakesWhenFilling: Bool) {
        if wakesWhenFilling {
            for ring in rings { ring.records.requestWake(whenOver: ring.capacity / 4) }
        }
        let now = Clock.monotonic()
        let milliseconds = end > now ? min((end - now + 999_999) / 1_000_000, 1000) : 0
        var watched = rings.map { pollfd(fd: $0.records.wakeDescriptor, events: Int16(POLLIN), revents: 0) }
        unsafe poll(&watched, nfds_t(watched.count), Int32(milliseconds))
        for ring in rings { ring.records.clearWake() }
    }

    /// Releases all rows unread.
    ///
    /// - Returns: how many.
    func discard() -> Int64 {
        var count: Int64 = 0
        for ring in rings {
            var position = ring.records.position
            while ring.read(
                &position, query: { (_, _, _) throws(Never) in count += 1 },
                flow: { (_, _) throws(Never) in count += 1 })
            {}
            ring.records.release(to: position)
        }
        return count
    }
}
