public import Blocklist
public import Kernel
import Wire

/// Which servers a question may go to: those of the forward zone that holds its name, else those of the list. There is no
/// other way: a name of a zone never reaches a server of the list, whatever fails.
extension UpstreamExchange {
    /// Uses another list of servers from now on. What is known of a server that stays is kept; questions in flight are
    /// asked again, and a reply from a server of the old list is still believed.
    public mutating func setServers(_ list: [SocketAddress], now: UInt64, poller: borrowing Poller) {
        let list = Array(list.prefix(UpstreamExchange.maximumServers))
        if list == self.list { return }
        self.list = list
        arrangeAgain(now: now, poller: poller)
    }

    /// Uses other forward zones from now on; the same as `setServers` happens to questions in flight.
    public mutating func setForwards(_ forwards: ForwardTable, now: UInt64, poller: borrowing Poller) {
        let isSame = forwards.zones == self.forwards.zones
        self.forwards = forwards
        if !isSame { arrangeAgain(now: now, poller: poller) }
    }

    /// The servers that may be asked for a name: a bit each.
    func allowed(for name: borrowing Name) -> UInt64 {
        let zone = forwards.zone(of: name.bytes)
        return zone < 0 ? listMask : zoneMasks[zone]
    }

    /// Makes the servers from the list and the zones.
    mutating func arrangeServers() {
        let known = servers
        servers = []
        func place(of address: SocketAddress) -> Int? {
            if let place = servers.firstIndex(where: { $0.address == address }) { return place }
            guard servers.count < UpstreamExchange.serverCapacity else { return nil }
            var server = known.first { $0.address == address } ?? UpstreamServer(address)
            server.probeSocket = -1
            servers.append(server)
            return servers.count - 1
        }
        listMask = list.reduce(0) { mask, address in place(of: address).map { mask | 1 << UInt64($0) } ?? mask }
        zoneMasks = forwards.zones.map { zone in
            guard zone.isForwarded else { return 0 }
            return zone.servers.reduce(0) { mask, address in place(of: address).map { mask | 1 << UInt64($0) } ?? mask }
        }
    }

    private mutating func arrangeAgain(now: UInt64, poller: borrowing Poller) {
        arrangeServers()
        sockets.retireAll()
        streams.orphanAll()
        for slot in table.slots.indices where table.slots[slot].isInFlight {
            for index in 0..<UpstreamSlot.attempts { table.slots[slot].attempts[index].server = -1 }
            table.slots[slot].asked = 0
            table.slots[slot].spent = 0
            table.slots[slot].plainServer = -1
            table.slots[slot].allowed = allowed(for: table.slots[slot].question.name)
            askNext(slot, now: now, poller: poller)
        }
    }
}
