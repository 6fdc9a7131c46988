import CTunnel
import Kernel
import Synchronization
public import Wire

/// The `route` back end, for kernels without TCX: rules send DNS, or in full mode everything, to a table whose default route
/// is the TUN.
///
/// It captures what the machine sends by any link, and the DNS that it forwards; a socket bound to a device (`SO_BINDTODEVICE`,
/// `IP_UNICAST_IF`) escapes. When the process dies the table is empty and the rules are harmless; `cleanup` removes them.
///
/// Any thread. Works in the network namespace of the thread that calls `attach`.
public final class RouteCapture: Capture {
    private let request: CaptureRequest
    private let ifindex: UInt32
    /// IPv4, and IPv6 where it is not switched off.
    private let families: [Bool]
    private let journal: Journal
    public let addresses = AddressBook()
    /// In full mode, unless all packets are to pass the TUN.
    private let tracked: TrackedFlows?

    private struct State {
        var applied: [Change] = []
        var sources: [IPAddress?] = []
        var table = LinkTable()
        var include: [Prefix]
        var exclude: [Prefix]
        var follower: LinkFollower?
        var problem: String?
        /// Why packets of allowed flows keep passing the TUN.
        var detour: String?
        var selection: LinkSelection

        init(_ request: CaptureRequest, _ selection: LinkSelection) {
            include = request.include
            exclude = request.exclude
            self.selection = selection
        }
    }

    private let current: Mutex<State>

    /// Undoes what an earlier webtun left, and looks whether the table and the places of the rules are free.
    public init(_ request: CaptureRequest, tun: borrowing TunDevice) throws(CaptureError) {
        self.request = request
        current = Mutex(State(request, LinkSelection(request)))
        ifindex = tun.ifindex
        families = tun.hasIPv6 ? [false, true] : [false]
        journal = Journal(state: request.state)
        tracked = request.mode == .full && request.fastPath ? TrackedFlows(request, addresses) : nil
        try CaptureError.unified {
            var netlink = try NetlinkSocket()
            try journal.undo(&netlink)
            try RouteCapture.checkFree(request.table, &netlink)
        }
    }

    private static func checkFree(_ table: UInt32, _ netlink: inout NetlinkSocket) throws {
        for rule in try FoundRule.all(&netlink)
        where rule.table == table || Rule.priorities.contains(rule.priority) {
            throw CaptureError.tableInUse(
                table, what: "ip\(rule.isIPv6 ? " -6" : "") rule show priority \(rule.priority)")
        }
        if try !TunRoute.routes(in: table, &netlink).isEmpty {
            throw CaptureError.tableInUse(table, what: "ip route show table \(table)")
        }
    }

    public func attach() throws(CaptureError) {
        do {
            try current.withLock { state throws(CaptureError) in
                try CaptureError.unified { try attach(&state) }
            }
        } catch {
            detach()
            throw error
        }
    }

    private func attach(_ state: inout State) throws {
        guard state.follower == nil else { return }
        state.follower = try LinkFollower(groups: RouteCapture.events) { [weak self] in self?.refresh() }
        var netlink = try NetlinkSocket()
        let links = try LinkTable(&netlink)
        track(&state, &netlink)
        for change in request.routeChanges(families, links, &netlink) { try make(change, &state, &netlink) }
        try look(&state, &netlink)
    }

    private static let detour = "packets of allowed flows keep passing the TUN, and what comes in is not counted"

    /// Has the kernel keep what is allowed, and count. It works without: then all packets pass the TUN.
    private func track(_ state: inout State, _ netlink: inout NetlinkSocket) {
        guard let tracked else { return }
        state.detour = nil
        do {
            for change in request.trackingChanges {
                try make(change, &state, &netlink)
                if case .tracking = change { try tracked.open() }
            }
        } catch {
            state.detour = "\(RouteCapture.detour): \(error)"
            tracked.close()
            for change in state.applied.reversed() { try? takeBack(change, &state, &netlink) }
        }
    }

    /// The journal comes first: better one change too many in it.
    private func make(_ change: Change, _ state: inout State, _ netlink: inout NetlinkSocket) throws {
        state.applied.append(change)
        try journal.write(state.applied)
        try change.apply(&netlink)
    }

    private func takeBack(_ change: Change, _ state: inout State, _ netlink: inout NetlinkSocket) throws {
        try change.revert(&netlink)
        state.applied.removeAll { $0 == change }
        try journal.write(state.applied)
    }

    private static let events = UInt32(
        RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)

    public func follow() async throws {
        try await current.withLock { $0.follower }?.untilCancelled()
    }

    public func detach() {
        let follower = current.withLock { state in
            defer { state.follower = nil }
            return state.follower
        }
        follower?.stop()
        current.withLock { state in
            guard !state.applied.isEmpty, var netlink = try? NetlinkSocket() else { return }
            var left: [Change] = []
            for change in state.applied.reversed() {
                if case .tracking = change { tracked?.close() }
                do { try change.revert(&netlink) } catch { left.insert(change, at: 0) }
            }
            state.applied = left
            if left.isEmpty { journal.remove() } else { try? journal.write(left) }
        }
    }

    /// The rules take what the machine sends and forwards by any link: the selection only tells what `state` calls served.
    public func select(links: [String], serve: [String]) {
        current.withLock {
            $0.selection.links = links
            $0.selection.serve = serve
        }
        refresh()
    }

    /// Forgets the changes without undoing them, as a process that dies does.
    func abandon() {
        let follower = current.withLock { state in
            defer { state = State(request, state.selection) }
            return state.follower
        }
        follower?.stop()
        tracked?.close(forgets: false)
    }

    /// Follows addresses: the route's source is one that the machine has now.
    private func refresh() {
        current.withLock { state in
            guard state.follower != nil else { return }
            do {
                var netlink = try NetlinkSocket()
                let sources = families.map { TunRoute.usualSource(isIPv6: $0, mark: request.mark, &netlink) }
                if sources != state.sources {
                    for (isIPv6, source) in zip(families, sources) {
                        let pair = TunRoute.pair(
                            isIPv6: isIPv6, table: request.table, tun: request.tun, source: source)
                        for route in pair { try route.apply(&netlink) }
                    }
                }
                try look(&state, &netlink)
                for change in ReversePath.changes(state.table.links, except: request.tun) {
                    try make(change, &state, &netlink)
                }
                try followRoutes(&state, &netlink)
                try followPrefixes(&state, &netlink)
                state.problem = nil
            } catch {
                state.problem = "\(error)"
            }
        }
    }

    /// Makes the rules of full mode what the prefixes and networks of this moment want, additions first.
    private func followPrefixes(_ state: inout State, _ netlink: inout NetlinkSocket) throws {
        let wanted = request.fullRules(families, state.table, include: state.include, exclude: state.exclude)
            .map(Change.rule)
        let fixed = families.flatMap { Rule.divertDNS(request, isIPv6: $0) }.map(Change.rule)
        let present = state.applied.filter { if case .rule = $0 { !fixed.contains($0) } else { false } }
        for change in wanted where !present.contains(change) { try make(change, &state, &netlink) }
        for change in present where !wanted.contains(change) { try takeBack(change, &state, &netlink) }
    }

    /// Gives each network that is reached with an address of its own the route that says so.
    private func followRoutes(_ state: inout State, _ netlink: inout NetlinkSocket) throws {
        var wanted: [Change] = []
        for (isIPv6, source) in zip(families, state.sources) {
            wanted += TunRoute.mirrored(request, isIPv6: isIPv6, usual: source, &netlink).map(Change.route)
        }
        let present = state.applied.filter {
            if case .route(let route) = $0 { route.destination != nil } else { false }
        }
        for change in present where !wanted.contains(change) { try takeBack(change, &state, &netlink) }
        for change in wanted where !present.contains(change) { try make(change, &state, &netlink) }
    }

    private func look(_ state: inout State, _ netlink: inout NetlinkSocket) throws {
        state.sources = families.map { TunRoute.usualSource(isIPv6: $0, mark: request.mark, &netlink) }
        state.table = try LinkTable(&netlink)
        if request.mtu == nil { try state.table.giveMTU(to: ifindex, where: { !$0.isLoopback }, &netlink) }
        addresses.publish(state.table.addressTable(served: state.selection.serves))
    }

    public var state: CaptureState {
        current.withLock { state in
            let problem = state.problem ?? problem(state)
            let links = state.table.links.filter { !$0.isLoopback && $0.ifindex != ifindex && !$0.isPort }.map {
                CaptureState.Link(
                    name: $0.name, ifindex: $0.ifindex, served: state.selection.serves($0), captured: problem == nil,
                    active: $0.isActive, problem: nil)
            }
            var detour = state.detour
            if let tracked, state.follower != nil, detour == nil, !tracked.isOpen {
                detour = "\(RouteCapture.detour): the table \(TrackingTable.name) cannot be changed"
            }
            return CaptureState(
                backEnd: .route, links: links, missing: state.selection.missing(in: state.table), problem: problem,
                detour: detour)
        }
    }

    /// Asks the kernel whether the rules and routes are in place.
    private func problem(_ state: State) -> String? {
        guard state.follower != nil else { return "nothing is captured yet" }
        do {
            var netlink = try NetlinkSocket()
            let rules = try FoundRule.all(&netlink)
            for case .rule(let rule) in state.applied
            where !rules.contains(where: { $0.isOurs && $0.isIPv6 == rule.isIPv6 && $0.priority == rule.priority }) {
                return "a rule is gone: \(rule.command("add"))"
            }
            let routes = try TunRoute.routes(in: request.table, &netlink)
            for isIPv6 in families where !routes.contains(where: { $0.isIPv6 == isIPv6 && $0.ifindex == ifindex }) {
                return "the \(isIPv6 ? "IPv6" : "IPv4") route of table \(request.table) to \(request.tun) is gone"
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// The route back end counts nothing in the kernel.
    public var counters: CaptureCounters { CaptureCounters() }
    public var flows: KernelFlows? { tracked.map(KernelFlows.tracked) }
    public var lowersLifetime: Bool { true }

    public func setPrefixes(include: [Prefix], exclude: [Prefix]) throws(CaptureError) {
        try current.withLock { state throws(CaptureError) in
            state.include = include
            state.exclude = exclude
            guard state.follower != nil else { return }
            try CaptureError.unified {
                var netlink = try NetlinkSocket()
                try followPrefixes(&state, &netlink)
            }
        }
    }
}
