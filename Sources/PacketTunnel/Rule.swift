import CTunnel
import Glibc
import Kernel
import Wire

/// A rule of the routing policy database as the route back end makes it (`ip-rule(8)`, `<linux/fib_rules.h>`).
///
/// All rules carry `Rule.protocolNumber`, by which they are known again.
struct Rule: Codable, Equatable, Sendable {
    enum Selector: Codable, Equatable, Sendable {
        case mark(UInt32)
        case incoming(String)
        /// UDP (17) or TCP (6) to port 53.
        case dns(UInt8)
        case all
        /// To a prefix, in text.
        case to(String)
        /// What this machine itself sends to a prefix, in text.
        case sent(String)
    }

    enum Action: Codable, Equatable, Sendable {
        case goto(UInt32)
        case lookup(UInt32)
        case nop
    }

    var isIPv6: Bool
    var priority: UInt32
    var selector: Selector
    var action: Action

    /// The originator of rules and routes, a number that no known program uses (`FRA_PROTOCOL`, `rtm_protocol`).
    static let protocolNumber: UInt8 = 119
    /// The places in the database: after the local table, before anything else that is usual (VRF has 1000,
    /// Tailscale 5210, wg-quick less than 32766).
    static let priorities: ClosedRange<UInt32> = 770...776
    /// Of full mode: what is left alone, and after that what is diverted.
    private static let excluding = priorities.lowerBound + 4
    private static let including = priorities.lowerBound + 5

    /// The place behind all others, where what is not diverted goes on.
    private static func last(_ mode: CaptureRequest.Mode) -> UInt32 {
        mode == .dns ? priorities.lowerBound + 4 : priorities.upperBound
    }

    /// The rules that send DNS to a table, in the order of their making: the ones that divert come last. Marked packets, and
    /// those that come out of the TUN, skip them and follow the machine's own rules.
    static func divertDNS(_ request: CaptureRequest, isIPv6: Bool) -> [Rule] {
        let (mark, tun, table) = (request.mark, request.tun, request.table)
        let first = priorities.lowerBound
        let last = last(request.mode)
        return [
            Rule(isIPv6: isIPv6, priority: last, selector: .all, action: .nop),
            Rule(isIPv6: isIPv6, priority: first, selector: .mark(mark), action: .goto(last)),
            Rule(isIPv6: isIPv6, priority: first + 1, selector: .incoming(tun), action: .goto(last)),
            Rule(isIPv6: isIPv6, priority: first + 2, selector: .dns(17), action: .lookup(table)),
            Rule(isIPv6: isIPv6, priority: first + 3, selector: .dns(6), action: .lookup(table)),
        ]
    }

    /// The rules of full mode, in the order of their making: everything that this machine sends goes to the table, but for
    /// what is excluded. Packets of others are left alone: a flow that is masqueraded here would leave without it, as the
    /// kernel's connection tracking has seen its packets before.
    static func divertAll(
        _ request: CaptureRequest, isIPv6: Bool, include: [Prefix], exclude: [Prefix]
    ) -> [Rule] {
        guard request.mode == .full else { return [] }
        // A rule without a prefix would count as the same as any rule of its place with one (`fib4_rule_compare`).
        let all = isIPv6 ? ["::/1", "8000::/1"] : ["0.0.0.0/1", "128.0.0.0/1"]
        let family = { (prefix: Prefix) in prefix.address.isIPv6 == isIPv6 }
        let linkScope = (isIPv6 ? ["fe80::/10", "ff00::/8"] : ["169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"])
        let excluded = Set(exclude.filter(family).map(\.description)).sorted()
        let isAll = include.isEmpty || include.contains { family($0) && $0.length == 0 }
        let included = isAll ? all : Set(include.filter(family).map(\.description)).sorted()
        return (linkScope + excluded).map {
            Rule(isIPv6: isIPv6, priority: excluding, selector: .to($0), action: .goto(last(.full)))
        }
            + included.map {
                Rule(isIPv6: isIPv6, priority: including, selector: .sent($0), action: .lookup(request.table))
            }
    }

    /// `ip [-6] rule add …` or `del`.
    func command(_ verb: String) -> String {
        var words = ["ip \(isIPv6 ? "-6 " : "")rule \(verb) priority \(priority)"]
        switch selector {
        case .mark(let mark): words.append("fwmark 0x\(String(mark, radix: 16))")
        case .incoming(let name): words.append("iif \(name)")
        case .dns(let number): words.append("ipproto \(number == 17 ? "udp" : "tcp") dport 53")
        case .all: break
        case .to(let prefix): words.append("to \(prefix)")
        case .sent(let prefix): words.append("iif lo to \(prefix)")
        }
        switch action {
        case .goto(let priority): words.append("goto \(priority)")
        case .lookup(let table): words.append("lookup \(table)")
        case .nop: words.append("nop")
        }
        words.append("protocol \(Rule.protocolNumber)")
        return words.joined(separator: " ")
    }

    func apply(_ netlink: inout NetlinkSocket) throws(KernelError) {
        try netlink.request(message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL), command("add"))
    }

    func revert(_ netlink: inout NetlinkSocket) throws(KernelError) {
        try netlink.request(message(RTM_DELRULE, 0), command("del"))
    }

    private func message(_ type: Int, _ flags: Int32) -> NetlinkMessage {
        var header = fib_rule_hdr()
        header.family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
        switch action {
        case .goto: header.action = UInt8(FR_ACT_GOTO)
        case .lookup: header.action = UInt8(FR_ACT_TO_TBL)
        case .nop: header.action = UInt8(FR_ACT_NOP)
        }
        var destination: Prefix?
        switch selector {
        case .to(let text), .sent(let text): destination = Prefix(text)
        case .mark, .incoming, .dns, .all: break
        }
        header.dst_len = UInt8(destination?.length ?? 0)
        var message = NetlinkMessage(type, flags: flags | NLM_F_ACK, header: header)
        message.put(FRA_PRIORITY, priority)
        message.put(FRA_PROTOCOL, Rule.protocolNumber)
        switch selector {
        case .mark(let mark):
            message.put(FRA_FWMARK, mark)
        case .incoming(let name):
            message.put(FRA_IIFNAME, name)
        case .dns(let number):
            message.put(FRA_IP_PROTO, number)
            message.put(FRA_DPORT_RANGE, NetlinkMessage.bytes(of: UInt16(53)) + NetlinkMessage.bytes(of: UInt16(53)))
        case .all, .to:
            break
        case .sent:
            message.put(FRA_IIFNAME, "lo")
        }
        if let destination, destination.length > 0 { message.put(FRA_DST, destination.address) }
        switch action {
        case .goto(let priority): message.put(FRA_GOTO, priority)
        case .lookup(let table): message.put(FRA_TABLE, table)
        case .nop: break
        }
        return message
    }
}

/// What a dump tells of a rule.
struct FoundRule: Equatable {
    var isIPv6: Bool
    var priority: UInt32
    var table: UInt32
    var protocolNumber: UInt8

    var isOurs: Bool { protocolNumber == Rule.protocolNumber && Rule.priorities.contains(priority) }

    static func all(_ netlink: inout NetlinkSocket) throws(KernelError) -> [FoundRule] {
        var found: [FoundRule] = []
        for family in [AF_INET, AF_INET6] {
            var header = fib_rule_hdr()
            header.family = UInt8(family)
            try netlink.dump(NetlinkMessage(RTM_GETRULE, flags: NLM_F_DUMP, header: header), "list the rules") {
                reply in
                guard reply.type == RTM_NEWRULE else { return }
                let attributes = reply.attributes(after: MemoryLayout<fib_rule_hdr>.size)
                let table = attributes.integer(FRA_TABLE, UInt32.self) ?? UInt32(reply.header(4, UInt8.self))
                found.append(
                    FoundRule(
                        isIPv6: family == AF_INET6, priority: attributes.integer(FRA_PRIORITY, UInt32.self) ?? 0,
                        table: table, protocolNumber: attributes.integer(FRA_PROTOCOL, UInt8.self) ?? 0))
            }
        }
        return found
    }

    /// Removes the rule, whatever it selects.
    func delete(_ netlink: inout NetlinkSocket) throws(KernelError) {
        var header = fib_rule_hdr()
        header.family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
        var message = NetlinkMessage(RTM_DELRULE, flags: NLM_F_ACK, header: header)
        message.put(FRA_PRIORITY, priority)
        message.put(FRA_PROTOCOL, protocolNumber)
        try netlink.request(message, command)
    }

    /// `ip rule del …` for it.
    var command: String {
        "ip \(isIPv6 ? "-6 " : "")rule del priority \(priority) protocol \(protocolNumber)"
    }
}
