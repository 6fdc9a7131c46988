import CTunnel
import Glibc
import Kernel
import Synchronization
public import Wire

/// The kernel's connection tracking as the table of flows of the `route` back end: it counts, and its marks keep the packets of
/// allowed flows away from the TUN (`TrackingTable`).
///
/// Any thread. `lookup`, `allow` and `remove` are one order to the kernel each, allocate nothing, and do nothing while the
/// capture is not attached or the kernel cannot do it.
public final class TrackedFlows: Sendable {
    private let table: TrackingTable
    private let addresses: AddressBook

    /// What is there while the capture is attached.
    fileprivate struct Sockets: ~Copyable {
        var table: NetlinkSocket
        var orders: TrackingSocket
        /// Entries that end.
        var ends: NetlinkSocket
        var timeouts: TrackingTimeouts
        /// Nanoseconds from the monotonic clock to the wall clock.
        var offset: UInt64
    }

    private let sockets = Mutex<Sockets?>(nil)
    private let current = Atomic<UInt32>(1)

    init(_ request: CaptureRequest, _ addresses: AddressBook) {
        table = TrackingTable(request)
        self.addresses = addresses
    }

    // MARK: The capture's side

    /// Makes the table of nftables. No flow is allowed yet, whatever an earlier webtun has left.
    func open() throws(KernelError) {
        try sockets.withLock { sockets throws(KernelError) in
            // First the table: what it needs is loaded with it.
            let made = try table.make(epoch: epoch)
            try forget()
            sockets = Sockets(
                table: made, orders: try TrackingSocket(), ends: try NetlinkSocket(netfilter: 3),
                timeouts: TrackingTimeouts(), offset: TrackedFlows.offset())
        }
    }

    /// Removes the table; the flows come to the TUN again.
    ///
    /// - Parameter forgets: the connections' marks are taken back too.
    func close(forgets: Bool = true) {
        sockets.withLock { $0 = nil }
        if forgets { try? forget() }
    }

    /// Whether flows can be allowed now.
    var isOpen: Bool { sockets.withLock { $0 != nil } }

    /// Takes all of webtun's marks back.
    private func forget() throws(KernelError) {
        var keys: [FlowKey] = []
        try TrackedFlows.dump { entry in
            if let key = entry.reply?.reversed { keys.append(key) }
        }
        guard !keys.isEmpty else { return }
        var orders = try TrackingSocket()
        for key in keys { _ = orders.mark(key, .none) }
    }

    // MARK: Flows

    /// What is known of a flow; `nil` when the kernel has no entry for it.
    ///
    /// - Parameter key: in the direction of the first packet that webtun read.
    public func lookup(_ key: FlowKey) -> FlowRecord? {
        let epoch = epoch
        return sockets.withLock { sockets in
            guard let entry = sockets?.orders.lookup(key), let view = sockets?.view() else { return nil }
            return view.record(entry, isReversed: entry.reply != key.reversed, epoch)
        }
    }

    /// Lets the flow's packets pass in the kernel until the epoch changes.
    ///
    /// - Returns: false when connection tracking has no entry for it: its next packet comes to user space again.
    @discardableResult
    public func allow(_ key: FlowKey) -> Bool {
        let mark = TrackMark(epoch: epoch)
        return sockets.withLock { $0?.orders.mark(key, mark) } ?? false
    }

    /// Forgets that the flow is webtun's: its next packet comes to user space. The entry of connection tracking stays.
    public func remove(_ key: FlowKey) {
        _ = sockets.withLock { $0?.orders.mark(key, .none) }
    }

    /// The epoch of the verdicts that hold.
    public var epoch: UInt32 { current.load(ordering: .acquiring) }

    /// Begins another epoch: the next packet of every flow comes to user space, to be judged anew. What was counted stays.
    public func setEpoch(_ epoch: UInt32) {
        current.store(epoch, ordering: .releasing)
        sockets.withLock { sockets in
            guard sockets != nil else { return }
            do { try sockets!.setEpoch(table, epoch) } catch {
                // Nothing may pass by a verdict of the past. Without the table everything comes to user space.
                sockets = nil
            }
        }
    }

    /// Goes through all flows that were allowed, and through those that connection tracking has forgotten since the last time.
    /// Allocates.
    public func sweep(_ body: (FlowKey, FlowRecord) -> Void) {
        let epoch = epoch
        let own = addresses.table
        guard let (view, ended) = sockets.withLock({ $0?.ended() }) else { return }
        var over: [FlowKey: FlowRecord] = [:]
        for entry in ended {
            guard let (key, isReversed) = entry.flow(own) else { continue }
            over[key] = view.record(entry, isReversed: isReversed, epoch)
        }
        var stale: [FlowKey] = []
        try? TrackedFlows.dump { entry in
            guard let (key, isReversed) = entry.flow(own) else { return }
            over[key] = nil
            if entry.mark != TrackMark(epoch: epoch), entry.mark != .stale { stale.append(key) }
            body(key, view.record(entry, isReversed: isReversed, epoch))
        }
        for (key, record) in over { body(key, record) }
        // Before their number comes again.
        for key in stale { _ = sockets.withLock { $0?.orders.mark(key, .stale) } }
    }

    /// All entries with a mark of webtun.
    private static func dump(_ body: (TrackedEntry) -> Void) throws(KernelError) {
        var netlink = try NetlinkSocket(netfilter: 0)
        // IPCTNL_MSG_CT_GET of both families, with CTA_MARK and CTA_MARK_MASK.
        var message = NetlinkMessage(1 << 8 | 1, flags: NLM_F_DUMP, header: Generic(family: 0))
        message.put(netfilter: 8, TrackMark.known)
        message.put(netfilter: 21, TrackMark.known)
        try netlink.dump(message, "list tracked connections") { reply in
            let entry = TrackedEntry(reply.body)
            if reply.type == 1 << 8, entry.mark.value & TrackMark.known != 0 { body(entry) }
        }
    }

    fileprivate static func offset() -> UInt64 {
        let before = Clock.monotonic()
        let wall = UInt64(Clock.unixMicroseconds()) * 1000
        return wall - (before + Clock.monotonic()) / 2
    }
}

extension TrackedFlows.Sockets {
    mutating func setEpoch(_ table: TrackingTable, _ epoch: UInt32) throws(KernelError) {
        try table.setEpoch(epoch, &self.table)
    }

    /// How to read entries now.
    func view() -> TrackedView { TrackedView(now: Clock.monotonic(), offset: offset, timeouts: timeouts) }

    /// Entries of flows that are no connections and were forgotten since the last time. A TCP connection's entry stays a while
    /// after its end, so that it is found there.
    mutating func ended() -> (TrackedView, [TrackedEntry]) {
        // Follows steps of the wall clock, and nothing smaller: a flow is known by its beginning.
        let fresh = TrackedFlows.offset()
        if max(fresh, offset) - min(fresh, offset) > 5_000_000 { offset = fresh }
        var found: [TrackedEntry] = []
        ends.events { reply in
            guard reply.type == 1 << 8 | 2 else { return }
            let entry = TrackedEntry(reply.body)
            if entry.mark.value & TrackMark.known != 0, entry.original?.proto != Packet.Number.tcp {
                found.append(entry)
            }
        }
        return (view(), found)
    }
}
