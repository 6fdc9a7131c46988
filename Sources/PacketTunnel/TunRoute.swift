import CTunnel
import Glibc
import Kernel
import Wire

/// A route through the TUN, in the table of the route back end.
struct TunRoute: Codable, Equatable, Sendable {
    var isIPv6: Bool
    var table: UInt32
    var tun: String
    /// The address applications get, of text; `nil`: the TUN's.
    var source: String?
    /// Of two default routes, the lower one is used.
    var metric: UInt32
    /// A prefix of text; `nil`: the default route.
    var destination: String?

    /// The route with the address an application would have without webtun, and one below it: the kernel removes the first one
    /// with its address, and then nothing may escape to the main table.
    static func pair(isIPv6: Bool, table: UInt32, tun: String, source: IPAddress?) -> [TunRoute] {
        let below = TunRoute(isIPv6: isIPv6, table: table, tun: tun, source: nil, metric: 2000)
        guard let source else { return [below] }
        return [below, TunRoute(isIPv6: isIPv6, table: table, tun: tun, source: source.description, metric: 1000)]
    }

    /// `ip [-6] route add …` or `del`.
    func command(_ verb: String) -> String {
        "ip \(isIPv6 ? "-6 " : "")route \(verb) \(destination ?? "default") dev \(tun) table \(table)"
            + (source.map { " src \($0)" } ?? "") + " metric \(metric) protocol \(Rule.protocolNumber)"
    }

    func apply(_ netlink: inout NetlinkSocket) throws(KernelError) {
        try netlink.request(try message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, source), command("replace"))
    }

    func revert(_ netlink: inout NetlinkSocket) throws(KernelError) {
        // Without the source: it may have followed a change of address.
        try netlink.request(try message(RTM_DELROUTE, 0, nil), command("del"))
    }

    private func message(_ type: Int, _ flags: Int32, _ source: String?) throws(KernelError) -> NetlinkMessage {
        let ifindex = unsafe if_nametoindex(tun)
        guard ifindex != 0 else { throw KernelError(command("add")) }
        var header = rtmsg()
        header.rtm_family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
        header.rtm_protocol = Rule.protocolNumber
        // Not of link scope: when somebody adds a route, the kernel looks its gateway up among those (`fib_check_nh_v4_gw`
        // of net/ipv4/fib_semantics.c), and a gateway must not be found behind the TUN.
        header.rtm_scope = UInt8(RT_SCOPE_UNIVERSE.rawValue)
        header.rtm_type = UInt8(RTN_UNICAST)
        let prefix = destination.flatMap(Prefix.init)
        header.rtm_dst_len = UInt8(prefix?.length ?? 0)
        var message = NetlinkMessage(type, flags: flags | NLM_F_ACK, header: header)
        message.put(Int(RTA_TABLE.rawValue), table)
        message.put(Int(RTA_OIF.rawValue), ifindex)
        message.put(Int(RTA_PRIORITY.rawValue), metric)
        if let prefix { message.put(Int(RTA_DST.rawValue), prefix.address) }
        if let source, let address = IPAddress(source) { message.put(Int(RTA_PREFSRC.rawValue), address) }
        return message
    }

    /// The address with which the machine reaches the world, `nil` when it has no route there. Asks the kernel about a
    /// root name server.
    static func usualSource(isIPv6: Bool, mark: UInt32, _ netlink: inout NetlinkSocket) -> IPAddress? {
        let world =
            isIPv6 ? IPAddress(high: 0x2001_0503_ba3e_0000, low: 0x0000_0000_0002_0030) : IPAddress(v4: 0xc629_0004)
        return source(to: world, mark: mark, &netlink)
    }

    /// The address that a packet gets which is not diverted, `nil` when there is no route. Sends nothing.
    private static func source(
        to address: IPAddress, mark: UInt32, _ netlink: inout NetlinkSocket
    ) -> IPAddress? {
        var header = rtmsg()
        header.rtm_family = UInt8(address.isIPv6 ? AF_INET6 : AF_INET)
        header.rtm_dst_len = UInt8(address.byteCount * 8)
        var message = NetlinkMessage(RTM_GETROUTE, flags: NLM_F_ACK, header: header)
        message.put(Int(RTA_DST.rawValue), address)
        message.put(Int(RTA_MARK.rawValue), mark)
        var source: IPAddress?
        try? netlink.dump(message, "find the route to \(address)") { reply in
            if reply.type == RTM_NEWROUTE {
                source = reply.attributes(after: MemoryLayout<rtmsg>.size).address(Int(RTA_PREFSRC.rawValue))
            }
        }
        return source
    }

    /// Routes of the main table looked at by `mirrored`.
    private static let mirrorLimit = 1024

    /// In full mode, a route for each of the main table's that gives packets another address than the default route does: a
    /// VPN's network, for instance, must be spoken to with the VPN's address.
    static func mirrored(
        _ request: CaptureRequest, isIPv6: Bool, usual: IPAddress?, _ netlink: inout NetlinkSocket
    ) -> [TunRoute] {
        guard request.mode == .full else { return [] }
        var prefixes: Set<Prefix> = []
        let tun = unsafe if_nametoindex(request.tun)
        var header = rtmsg()
        header.rtm_family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
        var message = NetlinkMessage(RTM_GETROUTE, flags: NLM_F_DUMP, header: header)
        message.put(Int(RTA_TABLE.rawValue), UInt32(RT_TABLE_MAIN.rawValue))
        try? netlink.dump(message, "list the routes of the main table") { reply in
            let attributes = reply.attributes(after: MemoryLayout<rtmsg>.size)
            guard reply.type == RTM_NEWROUTE, reply.header(7, UInt8.self) == UInt8(RTN_UNICAST),
                let address = attributes.address(Int(RTA_DST.rawValue)), prefixes.count < mirrorLimit,
                attributes.integer(Int(RTA_OIF.rawValue), UInt32.self) != tun, !address.isLinkLocal,
                !address.isMulticastOrBroadcast
            else { return }
            prefixes.insert(Prefix(address, length: Int(reply.header(1, UInt8.self))))
        }
        return prefixes.sorted { $0.description < $1.description }.compactMap { prefix in
            guard let source = source(to: prefix.address, mark: request.mark, &netlink), source != usual else {
                return nil
            }
            return TunRoute(
                isIPv6: isIPv6, table: request.table, tun: request.tun, source: source.description, metric: 1000,
                destination: prefix.description)
        }
    }

    /// What is in a table: the outgoing link and the originator of each route.
    static func routes(
        in table: UInt32, _ netlink: inout NetlinkSocket
    ) throws(KernelError) -> [(isIPv6: Bool, ifindex: UInt32, isOurs: Bool)] {
        var found: [(isIPv6: Bool, ifindex: UInt32, isOurs: Bool)] = []
        for family in [AF_INET, AF_INET6] {
            var header = rtmsg()
            header.rtm_family = UInt8(family)
            var message = NetlinkMessage(RTM_GETROUTE, flags: NLM_F_DUMP, header: header)
            message.put(Int(RTA_TABLE.rawValue), table)
            do {
                try netlink.dump(message, "list the routes of table \(table)") { reply in
                    let attributes = reply.attributes(after: MemoryLayout<rtmsg>.size)
                    guard reply.type == RTM_NEWROUTE,
                        attributes.integer(Int(RTA_TABLE.rawValue), UInt32.self) == table
                    else { return }
                    found.append(
                        (
                            family == AF_INET6, attributes.integer(Int(RTA_OIF.rawValue), UInt32.self) ?? 0,
                            reply.header(5, UInt8.self) == Rule.protocolNumber
                        ))
                }
            } catch  where error.errno.code == ENOENT {
                continue  // no such table yet
            }
        }
        return found
    }
}
