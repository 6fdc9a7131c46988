import Kernel
import Wire

/// A TCP connection of an application to a resolver, as the redirection sees it pass.
struct StreamFlow: Sendable {
    var client = IPAddress(v4: 0)
    var resolver = IPAddress(v4: 0)
    var clientPort: UInt16 = 0
    var resolverPort: UInt16 = 0
    /// The client has sent FIN; `clientEnd` is the sequence number behind it.
    var clientFinished = false
    var clientEnd: UInt32 = 0
    /// The listener has sent FIN.
    var listenerFinished = false
    /// The listener closed first or at the same time: the kernel keeps its end in TIME-WAIT.
    var listenerWaits = false
}

/// The redirected connections: a fixed number of slots, found by the client's 4-tuple (open addressing, linear probing,
/// a seeded hash) or by slot.
///
/// One thread. Nothing allocates after `init`.
struct StreamFlows: Sendable {
    /// The states of a slot, as queues with a timeout each.
    enum Phase: Int, CaseIterable, Sendable {
        case free, opening, established, closing, timeWait

        /// Nanoseconds without a segment after which the slot is free.
        var timeout: UInt64 {
            switch self {
            case .free: .max
            case .opening: 30_000_000_000
            case .established: 300_000_000_000
            // The last acknowledgment may still be on its way. A full table does not wait for it.
            case .closing: 2_000_000_000
            // Linux keeps TIME-WAIT for 60 s (TCP_TIMEWAIT_LEN); a second more, for the clock ticks.
            case .timeWait: 61_000_000_000
            }
        }
    }

    private var flows: [StreamFlow]
    /// Slot + 1 of the flow that hashes here or before; 0: empty. At most half full.
    private var table: [UInt16]
    private var queues: IdleQueues
    private let seed: (UInt64, UInt64)
    private(set) var live = 0

    /// - Parameter capacity: 1 to 32,768 flows.
    init(capacity: Int, seed: (UInt64, UInt64)) {
        precondition((1...32_768).contains(capacity))
        flows = Array(repeating: StreamFlow(), count: capacity)
        var size = 4
        while size < capacity * 2 { size *= 2 }
        table = Array(repeating: 0, count: size)
        queues = IdleQueues(count: capacity, queues: Phase.allCases.count)
        self.seed = seed
    }

    /// The flow in a slot; `nil` when the slot is free or there is none.
    func flow(_ slot: Int) -> StreamFlow? {
        flows.indices.contains(slot) && queues.queue(of: slot) != Phase.free.rawValue ? flows[slot] : nil
    }

    /// The slot of the flow a client's packet belongs to, or `nil`.
    func find(_ packet: Packet) -> Int? {
        var at = home(packet.source, packet.sourcePort, packet.destination, packet.destinationPort)
        while table[at] != 0 {
            let slot = Int(table[at]) - 1
            let isSame =
                flows[slot].clientPort == packet.sourcePort && flows[slot].client == packet.source
                && flows[slot].resolverPort == packet.destinationPort && flows[slot].resolver == packet.destination
            if isSame { return slot }
            at = (at + 1) & (table.count - 1)
        }
        return nil
    }

    /// Takes the slot that has been free the longest for a client's packet; when none is free, that of the flow that was
    /// closed the longest time ago. `nil`: there is none.
    mutating func insert(_ packet: Packet, now: UInt64) -> Int? {
        if queues.oldest(of: Phase.free.rawValue) == nil { expire(now: now) }
        if queues.oldest(of: Phase.free.rawValue) == nil, let closed = queues.oldest(of: Phase.closing.rawValue) {
            remove(closed, now: now)
        }
        guard let slot = queues.oldest(of: Phase.free.rawValue) else { return nil }
        flows[slot] = StreamFlow(
            client: packet.source, resolver: packet.destination, clientPort: packet.sourcePort,
            resolverPort: packet.destinationPort)
        queues.move(slot, to: Phase.opening.rawValue, at: now)
        live += 1
        var at = home(slot)
        while table[at] != 0 { at = (at + 1) & (table.count - 1) }
        table[at] = UInt16(slot + 1)
        return slot
    }

    /// Follows the connection's state with a segment of the client or of the listener.
    mutating func note(_ slot: Int, _ segment: Segment, fromClient: Bool, now: UInt64) {
        var phase = Phase(rawValue: queues.queue(of: slot)) ?? .established
        if segment.isRST {
            phase = .closing
        } else if segment.isSYN {
            // The client may use its port again; the kernel judges the sequence numbers (RFC 6191).
            if fromClient, phase == .closing || phase == .timeWait {
                flows[slot].clientFinished = false
                flows[slot].listenerFinished = false
                phase = .opening
            }
        } else if phase == .opening {
            phase = .established
        }
        if segment.isFIN, fromClient {
            flows[slot].clientFinished = true
            flows[slot].clientEnd = segment.sequenceEnd
        } else if segment.isFIN, !flows[slot].listenerFinished {
            flows[slot].listenerFinished = true
            flows[slot].listenerWaits =
                !(flows[slot].clientFinished && segment.acknowledgment == flows[slot].clientEnd)
        }
        if phase == .established, flows[slot].clientFinished, flows[slot].listenerFinished {
            phase = flows[slot].listenerWaits ? .timeWait : .closing
        }
        queues.move(slot, to: phase.rawValue, at: now)
    }

    /// Frees the slots whose time is over.
    mutating func expire(now: UInt64) {
        for phase in [Phase.opening, .established, .closing, .timeWait] {
            while let slot = queues.oldest(of: phase.rawValue),
                Clock.elapsed(from: queues.time(of: slot), to: now) >= phase.timeout
            {
                remove(slot, now: now)
            }
        }
    }

    private mutating func remove(_ slot: Int, now: UInt64) {
        let mask = table.count - 1
        var hole = home(slot)
        while Int(table[hole]) != slot + 1 { hole = (hole + 1) & mask }
        var at = (hole + 1) & mask
        while table[at] != 0 {
            // An entry may move up to the hole unless that is before its home.
            if (at &- home(Int(table[at]) - 1)) & mask >= (at &- hole) & mask {
                table[hole] = table[at]
                hole = at
            }
            at = (at + 1) & mask
        }
        table[hole] = 0
        queues.move(slot, to: Phase.free.rawValue, at: now)
        live -= 1
    }

    private func home(_ slot: Int) -> Int {
        home(flows[slot].client, flows[slot].clientPort, flows[slot].resolver, flows[slot].resolverPort)
    }

    private func home(_ client: IPAddress, _ clientPort: UInt16, _ resolver: IPAddress, _ resolverPort: UInt16) -> Int {
        var hash = mix(client.high ^ seed.0, client.low ^ seed.1)
        hash = mix(hash ^ resolver.high, resolver.low ^ seed.0)
        hash = mix(hash ^ seed.1, UInt64(clientPort) << 16 | UInt64(resolverPort) | 1 << 32)
        return Int(truncatingIfNeeded: hash) & (table.count - 1)
    }

    private func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
