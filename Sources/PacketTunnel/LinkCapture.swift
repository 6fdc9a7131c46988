import CTunnel
import Kernel
import Synchronization
public import Wire

/// The `link` back end: BPF programs on the TCX hooks of the links take packets to the TUN, one on the TUN's ingress brings
/// them back, as answers or on their way. Nothing else of the system is changed; when the process ends, however, the kernel takes the programs off.
///
/// Any thread. The links are those of the network namespace of the thread that calls `attach`.
public final class LinkCapture: Capture {
    private let tun: (name: String, ifindex: UInt32)
    private let programs: LinkPrograms
    private let mode: CaptureRequest.Mode
    /// The MTU follows the links.
    private let followsMTU: Bool
    public let addresses = AddressBook()
    public var flowSockets: FlowSockets? { programs.sockets }
    public let flows: KernelFlows?
    private let prefixes: PrefixMaps?

    private struct Attached {
        var hasEther: Bool
        var served: Bool
        /// On the hook of packets that are taken; in full mode also on that of the other direction.
        var attachment: LinkPrograms.Attachment?
        var counting: LinkPrograms.Attachment?
        var problem: String?
    }

    private struct State {
        var back: LinkPrograms.Attachment?
        var table = LinkTable()
        var links: [UInt32: Attached] = [:]
        var follower: LinkFollower?
        /// Why the links could not be looked at.
        var problem: String?
        var selection: LinkSelection
    }

    private let current: Mutex<State>

    /// Undoes what an earlier webtun left, and loads the programs; captures nothing yet.
    public init(_ request: CaptureRequest, tun: borrowing TunDevice) throws(CaptureError) {
        guard LinkCapture.isSupported else { throw .noTCX }
        try CaptureError.unified {
            var netlink = try NetlinkSocket()
            try Journal(state: request.state).undo(&netlink)
        }
        self.tun = (tun.name, tun.ifindex)
        current = Mutex(State(selection: LinkSelection(request)))
        mode = request.mode
        followsMTU = request.mtu == nil
        programs = try LinkPrograms(request, tun: tun.ifindex)
        flows = mode == .full ? .map(try FlowMap(programs, fastPath: request.fastPath)) : nil
        prefixes = mode == .full ? try PrefixMaps(programs, request) : nil
    }

    /// Whether the kernel has TCX (Linux 6.6).
    public static var isSupported: Bool { ctunnel_tcx() == 0 || ctunnel_tcx() == -1 }

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
        state.back = try programs.attach(
            mode == .full ? .fullTunIngress : .tunIngress, to: tun.ifindex, egress: false, "attach to \(tun.name)")
        // Events first, then the state they change.
        state.follower = try LinkFollower(groups: LinkCapture.events) { [weak self] in self?.refresh() }
        try reconcile(&state)
    }

    private static let events = UInt32(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)

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
            state.links = [:]
            state.back = nil
            state.table = LinkTable()
        }
    }

    public func select(links: [String], serve: [String]) {
        current.withLock {
            $0.selection.links = links
            $0.selection.serve = serve
        }
        refresh()
    }

    /// Looks at the links anew.
    private func refresh() {
        current.withLock { state in
            guard state.follower != nil else { return }
            do {
                try reconcile(&state)
                state.problem = nil
            } catch {
                state.problem = "\(error)"
            }
        }
    }

    /// Makes the attachments what the links of this moment want.
    private func reconcile(_ state: inout State) throws {
        var netlink = try NetlinkSocket()
        let table = try LinkTable(&netlink)
        let selection = state.selection
        // Before any link is captured: what is excluded must not come.
        try prefixes?.follow(table.localNetworks(where: { selection.serves($0) || selection.captures($0) }))
        var links: [UInt32: Attached] = [:]
        for link in table.links {
            let served = selection.serves(link)
            guard served || selection.captures(link) else { continue }
            if let known = state.links[link.ifindex], known.served == served, known.hasEther == link.hasEther,
                known.attachment?.ifindex == link.ifindex
            {
                links[link.ifindex] = known
            } else {
                links[link.ifindex] = take(link, served: served)
            }
        }
        state.links = links
        state.table = table
        if followsMTU { try table.giveMTU(to: tun.ifindex, where: { links[$0.ifindex] != nil }, &netlink) }
        addresses.publish(table.addressTable(served: selection.serves))
    }

    private func take(_ link: LinkTable.Link, served: Bool) -> Attached {
        var attached = Attached(hasEther: link.hasEther, served: served)
        guard link.type != UInt16(CTUNNEL_INFINIBAND) else {
            attached.problem = "InfiniBand links cannot be captured by `link`"
            return attached
        }
        let action = "attach to \(link.name)"
        do {
            if mode == .full {
                attached.counting = try programs.attach(
                    .counting(hasEther: link.hasEther), to: link.ifindex, egress: served, action)
            }
            attached.attachment = try programs.attach(
                .taking(mode, served: served, hasEther: link.hasEther), to: link.ifindex, egress: !served, action)
        } catch {
            attached.problem = "\(error)"
        }
        return attached
    }

    public var state: CaptureState {
        current.withLock { state in
            let links = state.table.links.compactMap { link -> CaptureState.Link? in
                guard let attached = state.links[link.ifindex] else { return nil }
                return CaptureState.Link(
                    name: link.name, ifindex: link.ifindex, served: attached.served,
                    captured: attached.attachment?.ifindex == link.ifindex, active: link.isActive,
                    problem: attached.problem)
            }
            var problem = state.problem
            if state.back?.ifindex != tun.ifindex { problem = "the capture is not attached to \(tun.name)" }
            return CaptureState(
                backEnd: .link, links: links, missing: state.selection.missing(in: state.table), problem: problem)
        }
    }

    public var counters: CaptureCounters { programs.counters }
    public var lowersLifetime: Bool { false }

    public func setPrefixes(include: [Prefix], exclude: [Prefix]) throws(CaptureError) {
        try prefixes?.set(include: include, exclude: exclude)
    }
}
