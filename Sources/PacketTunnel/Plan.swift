import Glibc
import Kernel
import Wire

/// One step of a plan, as commands that do the same.
public struct Step: Sendable, Equatable {
    public var command: String
    /// What takes it back.
    public var undo: String
    /// The change, when it is one that outlives the process.
    let change: Change?

    static let byItself = "by itself, when webtun ends"

    init(_ command: String, undo: String = byItself) {
        self.command = command
        self.undo = undo
        change = nil
    }

    init(_ change: Change) {
        command = change.command
        undo = change.undo
        self.change = change
    }
}

/// Everything that a capture does to the system, in order; undone in the opposite order. Printed by `--dry-run`.
public struct Plan: Sendable, Equatable, CustomStringConvertible {
    public var backEnd: CaptureRequest.BackEnd
    public var steps: [Step]

    /// Two lines a step: the command, its undo.
    public var description: String {
        steps.map { "\($0.command)\n    undo: \($0.undo)" }.joined(separator: "\n")
    }
}

extension CaptureRequest {
    /// The back end that `auto` means on this kernel.
    ///
    /// - Throws: `noTCX` when `link` was asked for and the kernel lacks it.
    public func chosenBackEnd() throws(CaptureError) -> BackEnd {
        switch backEnd {
        case .auto: return LinkCapture.isSupported ? .link : .route
        case .link:
            guard LinkCapture.isSupported else { throw .noTCX }
            return .link
        case .route: return .route
        }
    }

    /// What a capture would do now. Reads the system, changes nothing.
    public func plan() throws(CaptureError) -> Plan {
        let backEnd = try chosenBackEnd()
        return try CaptureError.unified {
            var netlink = try NetlinkSocket()
            let table = try LinkTable(&netlink)
            let more =
                backEnd == .link
                ? attachSteps(table) : (trackingChanges + routeChanges(IPv6.families, table, &netlink)).map(Step.init)
            return Plan(backEnd: backEnd, steps: tunSteps + more)
        }
    }

    /// Makes the capture of the chosen back end; captures nothing before its `attach`.
    public func capture(_ tun: borrowing TunDevice) throws(CaptureError) -> any Capture {
        switch try chosenBackEnd() {
        case .link, .auto: try LinkCapture(self, tun: tun)
        case .route: try RouteCapture(self, tun: tun)
        }
    }

    private var tunSteps: [Step] {
        [
            Step("ip tuntap add dev \(tun) mode tun multi_queue vnet_hdr"),
            Step(
                "ip link set \(tun) mtu \(mtu ?? TunDevice.usualMTU) txqueuelen \(TunDevice.queueLength) addrgenmode none"
            ),
            Step("ip address add \(addresses.near4) peer \(addresses.far4) dev \(tun)"),
            Step("ip link set \(tun) up"),
        ]
            + (IPv6.isOn ? [Step("ip address add \(addresses.near6) peer \(addresses.far6) dev \(tun) nodad")] : [])
    }

    private func attachSteps(_ table: LinkTable) -> [Step] {
        let selection = LinkSelection(self)
        let attach = { (hook: String, program: LinkPrograms.Name, name: String) in
            Step("bpftool net attach \(hook) name \(program.rawValue) dev \(name)")
        }
        return [attach("tcx_ingress", mode == .full ? .fullTunIngress : .tunIngress, tun)]
            + table.links.flatMap { link -> [Step] in
                let served = selection.serves(link)
                guard served || selection.captures(link) else { return [] }
                let (taking, counting) = served ? ("tcx_ingress", "tcx_egress") : ("tcx_egress", "tcx_ingress")
                let take = attach(taking, .taking(mode, served: served, hasEther: link.hasEther), link.name)
                guard mode == .full else { return [take] }
                return [attach(counting, .counting(hasEther: link.hasEther), link.name), take]
            }
    }

    /// What keeps the packets of allowed flows in the kernel with the route back end, and has it count them. `route` works
    /// without.
    var trackingChanges: [Change] {
        guard mode == .full, fastPath else { return [] }
        return [.tracking(TrackingTable(self))]
            + ["netfilter/nf_conntrack_acct", "netfilter/nf_conntrack_timestamp"].compactMap { path in
                // Before connection tracking is loaded there is none to read.
                let old = Change.read(Change.settings + path) ?? "0"
                return old == "1" ? nil : .switching(path: path, value: "1", old: old)
            }
    }

    /// What the route back end changes, with the addresses of this moment. `families`: `false` IPv4, `true` IPv6.
    func routeChanges(_ families: [Bool], _ links: LinkTable, _ netlink: inout NetlinkSocket) -> [Change] {
        var changes: [Change] = [
            .setting(path: "ipv4/conf/\(tun)/rp_filter", value: "2"),
            .setting(path: "ipv4/conf/\(tun)/forwarding", value: "1"),
        ]
        if mode == .full {
            // Packets of this machine come back to it as if from elsewhere.
            changes.append(.setting(path: "ipv4/conf/\(tun)/accept_local", value: "1"))
            if families.contains(true) { changes += Forwarding.changes(links.links, tun: tun) }
        }
        changes += ReversePath.changes(links.links, except: tun)
        for isIPv6 in families {
            let source = TunRoute.usualSource(isIPv6: isIPv6, mark: mark, &netlink)
            changes += TunRoute.pair(isIPv6: isIPv6, table: table, tun: tun, source: source).map(Change.route)
            changes += TunRoute.mirrored(self, isIPv6: isIPv6, usual: source, &netlink).map(Change.route)
        }
        for isIPv6 in families { changes += Rule.divertDNS(self, isIPv6: isIPv6).map(Change.rule) }
        return changes + fullRules(families, links, include: include, exclude: exclude).map(Change.rule)
    }

    /// The rules of full mode that depend on prefixes and on the networks of this moment.
    func fullRules(_ families: [Bool], _ links: LinkTable, include: [Prefix], exclude: [Prefix]) -> [Rule] {
        let local = excludesLocalNetworks ? links.localNetworks { !$0.isLoopback && $0.name != tun } : []
        return families.flatMap {
            Rule.divertAll(self, isIPv6: $0, include: include, exclude: exclude + local)
        }
    }
}

/// Whether this machine gives new links IPv6.
enum IPv6 {
    static var isOn: Bool {
        guard let file = try? Descriptor(unsafe open(setting, O_RDONLY | O_CLOEXEC), setting) else { return false }
        var byte: UInt8 = 0
        let count = unsafe withUnsafeMutableBytes(of: &byte) { unsafe file.read(into: $0) }
        return count == 1 && byte == UInt8(ascii: "0")
    }

    static var families: [Bool] { isOn ? [false, true] : [false] }

    private static let setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
}
