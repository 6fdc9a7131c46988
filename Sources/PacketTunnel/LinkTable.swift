import CTunnel
import Glibc
import Kernel
import Wire

/// The machine's links and their addresses at one moment.
struct LinkTable: Equatable {
    struct Link: Equatable {
        var name: String
        var ifindex: UInt32
        /// `ARPHRD_*`.
        var type: UInt16
        var isUp: Bool
        /// A port of a bridge, bond or team: what it sends, the master has sent. (A VRF is no such master.)
        var isPort: Bool
        /// A TUN or TAP device; `isHeld`: a process has it open.
        var isTun: Bool
        var isHeld: Bool
        /// In bytes.
        var mtu: UInt32
        var addresses: [Address] = []

        /// Whether packets have an Ethernet header.
        var hasEther: Bool { type == UInt16(CTUNNEL_ETHER) }
        var isLoopback: Bool { type == UInt16(CTUNNEL_LOOPBACK) }
        /// Up, with an address of more than link scope.
        var isActive: Bool { isUp && addresses.contains { !$0.address.isLinkLocal && !$0.address.isLoopback } }
    }

    struct Address: Equatable {
        var address: IPAddress
        /// Of the prefix that is on the link.
        var length: Int
    }

    /// By ifindex, ascending.
    var links: [Link] = []

    init() {}

    /// Asks the kernel.
    init(_ netlink: inout NetlinkSocket) throws(KernelError) {
        var found: [Link] = []
        try netlink.dump(
            NetlinkMessage(RTM_GETLINK, flags: NLM_F_DUMP, header: ifinfomsg()), "list the links"
        ) { reply in
            if reply.type == RTM_NEWLINK, let link = Link(reply) { found.append(link) }
        }
        var at: [UInt32: Int] = [:]
        for (index, link) in found.enumerated() { at[link.ifindex] = index }
        try netlink.dump(
            NetlinkMessage(RTM_GETADDR, flags: NLM_F_DUMP, header: ifaddrmsg()), "list the addresses"
        ) { reply in
            guard reply.type == RTM_NEWADDR, let index = at[reply.header(4, UInt32.self)] else { return }
            let attributes = reply.attributes(after: MemoryLayout<ifaddrmsg>.size)
            guard let address = attributes.address(IFA_LOCAL) ?? attributes.address(IFA_ADDRESS) else { return }
            found[index].addresses.append(Address(address: address, length: Int(reply.header(1, UInt8.self))))
        }
        links = found.sorted { $0.ifindex < $1.ifindex }
    }

    /// The networks that links of this kind are on, but for link-local ones.
    func localNetworks(where wanted: (Link) -> Bool) -> [Prefix] {
        let all = links.filter(wanted).flatMap(\.addresses).filter { !$0.address.isLinkLocal }
        return Set(all.map { Prefix($0.address, length: $0.length) }).sorted { $0.description < $1.description }
    }

    /// Gives a link the smallest MTU of links of this kind, at least that of IPv6 (RFC 8200 section 5).
    func giveMTU(
        to ifindex: UInt32, where wanted: (Link) -> Bool, _ netlink: inout NetlinkSocket
    ) throws(KernelError) {
        let wanted = links.filter { wanted($0) && $0.ifindex != ifindex && $0.isActive }.map(\.mtu).min()
        guard let mtu = wanted.map({ min(max($0, 1280), 65_535) }),
            let link = links.first(where: { $0.ifindex == ifindex }), link.mtu != mtu
        else { return }
        var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK, header: ifinfomsg(index: ifindex))
        message.put(IFLA_MTU, mtu)
        try netlink.request(message, "set the MTU of \(link.name) to \(mtu)")
    }

    /// The table for the log: addresses of all links, prefixes of the served ones.
    func addressTable(served: (Link) -> Bool) -> AddressTable {
        var table = AddressTable()
        for link in links where !link.isLoopback {
            let isServed = served(link)
            for address in link.addresses {
                let whole = address.address.byteCount * 8
                table.add(address.address, length: whole, ifindex: link.ifindex)
                if isServed { table.add(address.address, length: address.length, ifindex: link.ifindex) }
            }
        }
        return table
    }
}

extension LinkTable.Link {
    /// Reads an `RTM_NEWLINK`.
    init?(_ reply: NetlinkReply) {
        let attributes = reply.attributes(after: MemoryLayout<ifinfomsg>.size)
        guard let name = attributes.text(IFLA_IFNAME) else { return nil }
        self.name = name
        type = reply.header(2, UInt16.self)
        ifindex = reply.header(4, UInt32.self)
        isUp = reply.header(8, UInt32.self) & UInt32(IFF_UP) != 0
        let master = attributes.integer(IFLA_MASTER, UInt32.self) ?? 0
        isTun = attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND) == "tun"
        isHeld = isTun && attributes.integer(IFLA_CARRIER, UInt8.self) != 0
        mtu = attributes.integer(IFLA_MTU, UInt32.self) ?? 0
        isPort = master != 0 && attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_SLAVE_KIND) != "vrf"
    }
}

/// Which links a request means.
struct LinkSelection: Sendable {
    var links: [String]
    var serve: [String]
    let tun: String

    init(_ request: CaptureRequest) {
        links = request.links
        serve = request.serve
        tun = request.tun
    }

    /// Clients behind this link are served.
    func serves(_ link: LinkTable.Link) -> Bool {
        !link.isLoopback && link.name != tun && serve.contains { matches($0, link.name) }
    }

    /// What this machine sends by this link is captured.
    func captures(_ link: LinkTable.Link) -> Bool {
        guard !link.isLoopback, link.name != tun, !serves(link) else { return false }
        return links.isEmpty ? !link.isPort : links.contains { matches($0, link.name) }
    }

    /// Names and patterns asked for that mean no link of the table.
    func missing(in table: LinkTable) -> [String] {
        (links + serve).filter { pattern in !table.links.contains { matches(pattern, $0.name) } }
    }

    private func matches(_ pattern: String, _ name: String) -> Bool {
        unsafe fnmatch(pattern, name, 0) == 0
    }
}
