public import Blocklist
public import Kernel
import Wire

/// Servers by their index, in order of preference.
struct ServerGroup {
    private(set) var order = InlineArray<16, UInt8>(repeating: 0)
    private(set) var count = 0
    /// Bit n: server n belongs to it.
    private(set) var mask: UInt64 = 0

    init() {}

    init(_ indices: [Int]) {
        for index in indices.prefix(UpstreamExchange.maximumServers) {
            order[count] = UInt8(index)
            count += 1
            mask |= 1 << UInt64(index)
        }
    }
}

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

    /// Notes which servers may be asked a slot's question.
    mutating func place(_ slot: Int) {
        let zone = forwards.zone(of: table.slots[slot].question.name.bytes)
        table.slots[slot].zone = Int32(zone)
        table.slots[slot].allowed = zone < 0 ? usual.mask : zoneServers[zone].mask
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
        usual = ServerGroup(list.compactMap(place))
        zoneServers = forwards.zones.map { ServerGroup($0.isForwarded ? $0.servers.compactMap(place) : []) }
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
            place(slot)
            askNext(slot, now: now, poller: poller)
        }
    }
}
