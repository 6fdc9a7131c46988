import CTunnel
import Glibc
import Kernel

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
    static let priorities: ClosedRange<UInt32> = 770...774

    /// The rules that send DNS to a table, in the order of their making: the ones that divert come last. Marked packets, and
    /// those that come out of the TUN, skip them and follow the machine's own rules.
    static func divertDNS(isIPv6: Bool, mark: UInt32, tun: String, table: UInt32) -> [Rule] {
        let first = priorities.lowerBound
        let last = priorities.upperBound
        return [
            Rule(isIPv6: isIPv6, priority: last, selector: .all, action: .nop),
            Rule(isIPv6: isIPv6, priority: first, selector: .mark(mark), action: .goto(last)),
            Rule(isIPv6: isIPv6, priority: first + 1, selector: .incoming(tun), action: .goto(last)),
            Rule(isIPv6: isIPv6, priority: first + 2, selector: .dns(17), action: .lookup(table)),
            Rule(isIPv6: isIPv6, priority: first + 3, selector: .dns(6), action: .lookup(table)),
        ]
    }

    /// `ip [-6] rule add …` or `del`.
    func command(_ verb: String) -> String {
        var words = ["ip \(isIPv6 ? "-6 " : "")rule \(verb) priority \(priority)"]
        switch selector {
        case .mark(let mark): words.append("fwmark 0x\(String(mark, radix: 16))")
        case .incoming(let name): words.append("iif \(name)")
        case .dns(let number): words.append("ipproto \(number == 17 ? "udp" : "tcp") dport 53")
        case .all: break
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
        case .all:
            break
        }
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
