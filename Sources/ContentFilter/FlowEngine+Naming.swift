import Blocklist
import Kernel
public import Wire

/// How a flow gets its name: from the client's DNS answers, then from its own first bytes.
extension FlowEngine {
    /// Learns from an answer that a client is given, which names its addresses stand for.
    ///
    /// - Parameters:
    ///   - client: who asked; `FlowEngine.machine` for this machine, whatever its address.
    ///   - message: the DNS message with its question.
    public mutating func learn(client: IPAddress, _ message: RawSpan, now: UInt64) {
        names.learn(client: client, message, now: now)
    }

    /// Stands for all addresses of this machine.
    public static var machine: IPAddress { IPAddress(v4: 0) }

    /// A packet of a flow without verdict. Returns what became of it.
    mutating func peek(
        _ slot: Int, _ bytes: RawSpan, _ packet: Packet, _ arrival: Arrival
    ) -> FlowTable.Phase {
        let now = arrival.now
        if table[slot].packets == 0 {
            open(slot, arrival)
            if table.phase(slot) != .peeking { return table.phase(slot) }
        } else if isPaused(slot, now) {
            decideFinally(slot, now, .paused)
            return table.phase(slot)
        }
        switch feed(slot, bytes, packet, arrival) {
        case .more:
            return .peeking
        case .name(let source):
            table[slot].nameSource = source
            table.setName(slot, peeker.name.bytes)
            decideFinally(slot, now, .none)
        case .none(let why):
            decideFinally(slot, now, why == .crowded ? .overload : .unnamed)
        }
        return table.phase(slot)
    }

    /// The first packet: what the address, the port and the name that DNS told say. Stays `peeking` when the name that the flow
    /// tells itself would matter.
    private mutating func open(_ slot: Int, _ arrival: Arrival) {
        let now = arrival.now
        if isPaused(slot, now) { return decideFinally(slot, now, .paused) }
        let key = table[slot].key
        if names.find(client: arrival.client, key.destination, into: &dnsName, now: now)
            || names.find(client: FlowEngine.machine, key.destination, into: &dnsName, now: now)
        {
            table.setName(slot, dnsName.bytes)
            table[slot].nameSource = .dns
        }
        roomUsed = table.copyName(slot, into: &room)
        // What is forbidden under this name need not be tried; but many names share an address of the web, and there the
        // flow tells which one it means.
        if roomUsed > 0, key.destinationPort != 443, key.destinationPort != 80 {
            let verdict = verdict(slot, isNameFinal: true)
            if verdict.action == .drop { return settle(slot, verdict, .none, now) }
        }
        let ticket = PeekTicket(proto: key.proto)
        let verdict = verdict(slot, isNameFinal: ticket == nil)
        if verdict.action == .peek {
            table[slot].ticket = ticket
        } else {
            settle(slot, verdict, .none, now)
        }
    }

    private mutating func feed(
        _ slot: Int, _ bytes: RawSpan, _ packet: Packet, _ arrival: Arrival
    ) -> PeekOutcome {
        guard packet.kind != .fragment, table[slot].ticket != nil else { return .more }
        return peeker.feed(
            &table[slot].ticket!, bytes, packet, segmentSize: arrival.segmentSize, now: arrival.now)
    }

    mutating func closePeek(_ slot: Int) {
        guard table[slot].ticket != nil else { return }
        peeker.close(&table[slot].ticket!)
        table[slot].ticket = nil
    }
}
