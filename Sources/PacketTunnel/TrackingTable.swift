import CTunnel
import Glibc
import Kernel
import Wire

/// netfilter's part of the route back end's fast path: a table of nftables that lets packets of allowed flows go on without
/// the TUN.
///
/// A flow is allowed when the mark of its entry in the kernel's connection tracking says so. A packet of such a flow gets
/// the packet mark of webtun's own packets, so that the kernel routes it anew, as the machine's own rules want it. That
/// the table speaks of connection tracking also switches it on.
///
/// The table belongs to the socket that made it and goes with it (`NFT_TABLE_F_OWNER`, Linux 5.12); `nft flush ruleset`
/// leaves it alone. On older kernels it stays after a webtun that was killed, harmless, until `cleanup`.
///
/// Source: `<linux/netfilter/nf_tables.h>`, `<linux/netfilter/nfnetlink.h>`; numbers are in network byte order.
struct TrackingTable: Codable, Equatable, Sendable {
    /// The packet mark of packets that are let pass.
    var mark: UInt32
    var tun: String

    static let name = "webtun_flows"

    init(_ request: CaptureRequest) {
        mark = request.mark
        tun = request.tun
    }

    /// As a person would type it.
    var command: String {
        """
        nft 'table inet \(TrackingTable.name) { flags owner; \
        chain pass { type route hook output priority mangle + 1; \
        ct mark & \(TrackMark.text(TrackMark.mask)) == \(TrackMark.text(TrackMark(epoch: 1).value)) \
        meta mark set 0x\(String(mark, radix: 16)); }; \
        chain whole { type filter hook output priority -450; ip frag-off & 0x3fff != 0 notrack; exthdr frag exists notrack; }; \
        chain once { type filter hook prerouting priority -450; iifname "\(tun)" fib saddr type local fib daddr type != local notrack; }; }'
        """
    }

    static let undo = "nft delete table inet \(name)"

    /// Makes the table, whose flows of this epoch are let pass. Returns the socket that it belongs to.
    func make(epoch: UInt32) throws(KernelError) -> NetlinkSocket {
        var netlink = try NetlinkSocket(netfilter: 0)
        do {
            try netlink.transact(messages(epoch, isOwned: true), "make the table \(TrackingTable.name)")
        } catch {
            try netlink.transact(messages(epoch, isOwned: false), "make the table \(TrackingTable.name)")
        }
        return netlink
    }

    /// Lets flows of another epoch pass, and no others, from one packet to the next.
    func setEpoch(_ epoch: UInt32, _ netlink: inout NetlinkSocket) throws(KernelError) {
        let messages = [TrackingTable.begin, TrackingTable.flush("pass"), pass(epoch), TrackingTable.end]
        try netlink.transact(messages, "change the table \(TrackingTable.name)")
    }

    /// Removes the table. Returns whether there was one.
    @discardableResult
    static func remove() throws(KernelError) -> Bool {
        do {
            var netlink = try NetlinkSocket(netfilter: 0)
            var message = NetlinkMessage(type(2), flags: NLM_F_ACK, header: header)  // NFT_MSG_DELTABLE
            message.put(1, name)
            try netlink.transact([begin, message, end], undo)
            return true
        } catch  where [ENOENT, EPROTONOSUPPORT, EOPNOTSUPP, EINVAL, EAFNOSUPPORT].contains(error.errno.code) {
            return false
        }
    }

    // MARK: Messages

    private func messages(_ epoch: UInt32, isOwned: Bool) -> [NetlinkMessage] {
        var table = NetlinkMessage(TrackingTable.type(0), flags: NLM_F_CREATE | NLM_F_ACK, header: TrackingTable.header)
        table.put(1, TrackingTable.name)
        table.put(netfilter: 2, isOwned ? 2 : 0)
        let first = [
            TrackingTable.begin, table, TrackingTable.chain("pass", "route", hook: 3, priority: -149),
            TrackingTable.chain("whole", "filter", hook: 3, priority: -450),
            TrackingTable.chain("once", "filter", hook: 0, priority: -450),
        ]
        return first + ["pass", "whole", "once"].map(TrackingTable.flush) + [pass(epoch)] + others + [TrackingTable.end]
    }

    /// The packets of allowed flows get the mark.
    private func pass(_ epoch: UInt32) -> NetlinkMessage {
        TrackingTable.rule(
            "pass",
            [
                .connectionMark, .mask(NetlinkMessage.bytes(of: TrackMark.mask)),
                .isEqual(NetlinkMessage.bytes(of: TrackMark(epoch: epoch).value)),
                .load(NetlinkMessage.bytes(of: mark)), .setMark,
            ])
    }

    private var others: [NetlinkMessage] {
        var name = Array(tun.utf8)
        name += [UInt8](repeating: 0, count: 16 - name.count)
        let fromTUN: [NftExpression] = [.meta(6), .isEqual(name)]
        let local = NetlinkMessage.bytes(of: UInt32(2))  // RTN_LOCAL
        return [
            // Fragments that an application made stay what they are: tracking would put them together.
            TrackingTable.rule(
                "whole",
                [
                    .meta(15), .isEqual([2]), .payload(offset: 6, count: 2), .mask([0x3f, 0xff]), .isDifferent([0, 0]),
                    .notrack,
                ]),
            TrackingTable.rule("whole", [.meta(15), .isEqual([10]), .hasFragmentHeader, .isEqual([1]), .notrack]),
            // This machine's packets that come back from the TUN on their way out were counted when they were sent. What webtun
            // answers to others stays part of their connections, as firewalls want it.
            TrackingTable.rule(
                "once", fromTUN + [.sourceType, .isEqual(local), .destinationType, .isDifferent(local), .notrack]),
        ]
    }

    /// `nfgenmsg` of `NFPROTO_INET`.
    private static let header = Generic(family: 1)
    /// `NFNL_MSG_BATCH_BEGIN` and `_END`, for `NFNL_SUBSYS_NFTABLES`.
    private static let begin = NetlinkMessage(0x10, flags: 0, header: Generic(family: 0, resource: 10))
    private static let end = NetlinkMessage(0x11, flags: 0, header: Generic(family: 0, resource: 10))

    private static func type(_ number: Int) -> Int { 10 << 8 | number }

    /// `NFT_MSG_NEWCHAIN`.
    private static func chain(_ chain: String, _ kind: String, hook: UInt32, priority: Int32) -> NetlinkMessage {
        var message = NetlinkMessage(type(3), flags: NLM_F_CREATE | NLM_F_ACK, header: header)
        message.put(1, name)
        message.put(3, chain)
        message.nest(4 | NetlinkMessage.nested) {
            $0.put(netfilter: 1, hook)
            $0.put(netfilter: 2, UInt32(bitPattern: priority))
        }
        message.put(7, kind)
        return message
    }

    /// `NFT_MSG_DELRULE` of all rules of a chain.
    private static func flush(_ chain: String) -> NetlinkMessage {
        var message = NetlinkMessage(type(8), flags: NLM_F_ACK, header: header)
        message.put(1, name)
        message.put(2, chain)
        return message
    }

    /// `NFT_MSG_NEWRULE`, at the end of a chain.
    private static func rule(_ chain: String, _ expressions: [NftExpression]) -> NetlinkMessage {
        var message = NetlinkMessage(type(6), flags: NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, header: header)
        message.put(1, name)
        message.put(2, chain)
        message.nest(4 | NetlinkMessage.nested) { list in
            for expression in expressions { expression.put(into: &list) }
        }
        return message
    }
}

/// `nfgenmsg` (`<linux/netfilter/nfnetlink.h>`).
struct Generic {
    var family: UInt8
    var version: UInt8 = 0
    var resource: UInt16

    init(family: UInt8, resource: UInt16 = 0) {
        self.family = family
        self.resource = resource.bigEndian
    }
}
