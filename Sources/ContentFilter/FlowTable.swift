import Blocklist
import Kernel
import Wire

/// What webtun knows of one flow. Plain integers.
struct Flow {
    var key: FlowKey
    var number: UInt64
    /// When its first packet was read, nanoseconds on the monotonic clock.
    var began: UInt64
    /// When the kernel was last told to let it pass; 0: never since it was judged.
    var handed: UInt64 = 0
    /// Packets and their bytes that passed the TUN.
    var packets: UInt64 = 0
    var bytes: UInt64 = 0
    var owner = Owner.unknown
    /// The policy that judged it; 0: none yet.
    var generation: UInt32 = 0
    /// Of a TCP connection, the sequence number of its first segment.
    var initialSequence: UInt32 = 0
    var list: Int32 = -1
    var rule: Int32 = -1
    /// Where its name is in the pool, and how long it is; 0: it has none.
    var name: UInt32 = 0
    var nameByteCount: UInt8 = 0
    /// How much of the name matched, and how.
    var labels: UInt8 = 0
    var match = Verdict.Match.none
    var nameSource: NameSource?
    var reason = FlowReason.none
    /// Its first packet began it: no TCP segment from the middle of a connection.
    var isOpened = false
    /// A packet of it was let out.
    var isAlive = false
    var isDropped = false
    /// While its first bytes are looked at.
    var ticket: PeekTicket?
    /// The kernel was told to let it pass.
    var isInKernel = false
}

/// The flows that are alive: a fixed number of slots, found by key (open addressing, linear probing, a seeded hash) and
/// ordered by the time of their last packet.
///
/// One thread. Nothing allocates after `init`; memory is touched as it is used.
struct FlowTable: ~Copyable {
    /// What a slot is used for, as queues with a timeout each.
    enum Phase: Int, CaseIterable, Sendable {
        case free
        /// It is over and still to be told of; found by nobody.
        case ended
        /// Waits for its name.
        case peeking
        /// Its packets are refused; `cut`: it was alive before, and its far end may still send.
        case dropped, cut
        /// It has ended; a few packets may be on their way.
        case closing
        /// Allowed, by protocol.
        case tcp, udp, icmp, other

        /// Nanoseconds without a packet after which the slot is free. Those of allowed flows are the times that Linux's
        /// connection tracking gives established ones, but for TCP: two hours, the interval of keep-alives (RFC 9293
        /// section 3.8.4), and a little.
        var timeout: UInt64 {
            switch self {
            case .free, .ended: .max
            case .peeking: 30_000_000_000
            case .dropped, .closing: 10_000_000_000
            case .cut: 120_000_000_000
            case .tcp: 7_500_000_000_000
            case .udp: 120_000_000_000
            case .icmp: 30_000_000_000
            case .other: 600_000_000_000
            }
        }

        /// Of an allowed flow.
        init(allowed proto: UInt8) {
            switch proto {
            case Packet.Number.tcp: self = .tcp
            case Packet.Number.udp: self = .udp
            case Packet.Number.icmp, Packet.Number.icmpv6: self = .icmp
            default: self = .other
            }
        }
    }

    /// Slots that a place of the table can name.
    static let capacityLimit = 1 << 20

    private var flows: ZeroedArray<Flow>
    /// 0: empty; else slot + 1 in the lower 20 bits and bits of the hash above, which spare most looks at the wrong flow.
    /// At most half full.
    private var places: ZeroedArray<UInt32>
    private var queues: IdleQueues
    private var pool: NamePool
    private let seed: (UInt64, UInt64)
    /// Flows that are found, and flows that are still to be told of.
    private(set) var live = 0
    private(set) var ended = 0

    /// - Parameters:
    ///   - capacity: 1 to `capacityLimit - 1` flows.
    ///   - nameBytes: memory for names; flows that find none have no name.
    init(capacity: Int, nameBytes: Int, seed: (UInt64, UInt64)) {
        precondition((1..<FlowTable.capacityLimit).contains(capacity))
        flows = ZeroedArray(of: Flow.self, count: capacity)
        var size = 4
        while size < capacity * 2 { size *= 2 }
        places = ZeroedArray(of: UInt32.self, count: size)
        queues = IdleQueues(count: capacity, queues: Phase.allCases.count)
        pool = NamePool(capacity: max(1, nameBytes / 32))
        self.seed = seed
    }

    var capacity: Int { flows.count }

    subscript(slot: Int) -> Flow {
        @inline(__always) get { flows[slot] }
        @inline(__always) _modify { yield &flows[slot] }
    }

    func phase(_ slot: Int) -> Phase { Phase(rawValue: queues.queue(of: slot)) ?? .free }

    /// When the slot's flow last had a packet, as far as `touch` was told.
    func seen(_ slot: Int) -> UInt64 { queues.time(of: slot) }

    /// The slot of a flow, or `nil`.
    func find(_ key: FlowKey) -> Int? {
        let hash = key.hash(seed: seed)
        let tag = FlowTable.tag(hash)
        var at = home(hash)
        while places[at] != 0 {
            let place = places[at]
            let slot = Int(place & 0xf_ffff) - 1
            if place & ~0xf_ffff == tag, flows[slot].key == key { return slot }
            at = (at + 1) & (places.count - 1)
        }
        return nil
    }

    /// Slots that are free.
    var free: Int { capacity - live - ended }

    /// Takes a free slot for a flow that is not in the table. `nil` when none is free.
    mutating func insert(_ key: FlowKey, phase: Phase, now: UInt64) -> Int? {
        guard let slot = queues.oldest(of: Phase.free.rawValue) else { return nil }
        flows[slot] = Flow(key: key, number: 0, began: now)
        queues.move(slot, to: phase.rawValue, at: now)
        live += 1
        let hash = key.hash(seed: seed)
        var at = home(hash)
        while places[at] != 0 { at = (at + 1) & (places.count - 1) }
        places[at] = UInt32(slot + 1) | FlowTable.tag(hash)
        return slot
    }

    /// Notes a packet of the flow, and what its slot is used for from now on.
    mutating func touch(_ slot: Int, phase: Phase, now: UInt64) {
        queues.move(slot, to: phase.rawValue, at: now)
    }

    /// Which flow has to go when the table is full: the one of those least missed that was silent the longest.
    var victim: Int? {
        for phase in [Phase.closing, .dropped, .cut, .icmp, .udp, .peeking, .other, .tcp] {
            if let slot = queues.oldest(of: phase.rawValue) { return slot }
        }
        return nil
    }

    /// A flow of this phase that was silent for longer than the phase's timeout, or `nil`.
    func expired(_ phase: Phase, now: UInt64) -> Int? {
        guard let slot = queues.oldest(of: phase.rawValue),
            Clock.elapsed(from: queues.time(of: slot), to: now) >= phase.timeout
        else { return nil }
        return slot
    }

    /// The flow of this phase that was silent the longest, or `nil`.
    func oldest(_ phase: Phase) -> Int? { queues.oldest(of: phase.rawValue) }

    /// Takes the flow out of the table; its slot stays as it is until `release`.
    mutating func end(_ slot: Int, now: UInt64) {
        let mask = places.count - 1
        var hole = home(flows[slot].key.hash(seed: seed))
        while Int(places[hole] & 0xf_ffff) != slot + 1 { hole = (hole + 1) & mask }
        var at = (hole + 1) & mask
        while places[at] != 0 {
            // An entry may move up to the hole unless that is before its home.
            let home = home(flows[Int(places[at] & 0xf_ffff) - 1].key.hash(seed: seed))
            if (at &- home) & mask >= (at &- hole) & mask {
                places[hole] = places[at]
                hole = at
            }
            at = (at + 1) & mask
        }
        places[hole] = 0
        live -= 1
        ended += 1
        // When its last packet came is still wanted: the end of the queue is found by order, not by time.
        queues.move(slot, to: Phase.ended.rawValue, at: queues.time(of: slot))
    }

    /// Frees the slot of a flow that has ended.
    mutating func release(_ slot: Int) {
        pool.remove(flows[slot].name)
        flows[slot].name = 0
        ended -= 1
        queues.move(slot, to: Phase.free.rawValue, at: 0)
    }

    // MARK: Names

    /// Gives the flow a name, in wire form, instead of the one it has.
    mutating func setName(_ slot: Int, _ name: RawSpan) {
        pool.remove(flows[slot].name)
        let count = min(name.byteCount, 255)
        flows[slot].name = pool.store(name.extracting(first: count))
        flows[slot].nameByteCount = flows[slot].name == 0 ? 0 : UInt8(count)
    }

    /// Copies the flow's name to the front of `room`. Returns its bytes, 0 when it has none.
    func copyName(_ slot: Int, into room: inout InlineArray<256, UInt8>) -> Int {
        let count = Int(flows[slot].nameByteCount)
        pool.copy(flows[slot].name, count: count, into: &room)
        return count
    }

    // MARK: Places

    private func home(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: hash) & (places.count - 1)
    }

    private static func tag(_ hash: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: hash >> 32) & ~0xf_ffff
    }
}
