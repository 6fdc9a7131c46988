import Glibc
import Kernel
import Wire

/// The listeners of a server, and how their connections enter its table: also when neither it nor the process has room.
struct StreamAcceptor: ~Copyable {
    private var listeners: Slots<StreamListener>
    /// Spent to accept and close a connection when the process has no descriptor left.
    private var reserve: Descriptor
    /// When the listeners are watched again.
    private(set) var resumeAt: UInt64?
    private let owner: UInt32
    private let peers: [IPAddress]

    init(
        _ addresses: [SocketAddress], device: String?, peers: [IPAddress], poller: borrowing Poller, owner: UInt32
    ) throws(StreamServerError) {
        listeners = try Slots(count: addresses.count) { (index) throws(StreamServerError) in
            let listener = try StreamListener(addresses[index], device: device)
            do throws(KernelError) {
                try poller.add(listener.descriptor.number, tag: UInt64(owner) << 32 | UInt64(index), .read)
            } catch {
                throw .kernel(addresses[index], error)
            }
            return listener
        }
        reserve = StreamAcceptor.openReserve()
        self.owner = owner
        self.peers = peers
    }

    /// The lower halves of the poller's tags: listeners come first, then the table's slots.
    var count: Int { listeners.count }

    /// The poller's tag for a connection in a slot of the table.
    func tag(_ slot: Int) -> UInt64 {
        UInt64(owner) << 32 | UInt64(listeners.count + slot)
    }

    /// Takes what waits at a listener into the table, 64 connections at most.
    mutating func accept(_ index: Int, into table: inout StreamTable, _ now: UInt64, _ poller: borrowing Poller) {
        for _ in 0..<64 {
            var peer = SocketAddress(IPAddress(v4: 0), port: 0)
            var number = listeners[index].descriptor.accept(peer: &peer)
            if number >= 0 {
                add(Descriptor(owning: number), peer, to: &table, now, poller)
            } else if number == -EMFILE || number == -ENFILE {
                // The kernel looks for a descriptor before it looks for a connection: there may be none.
                number = relieve(index, &table, now, poller)
            }
            switch -number {
            case ..<1, EINTR, ECONNABORTED, EPROTO, EPERM: continue
            case EAGAIN: return
            default: return pause(now, poller)
            }
        }
    }

    private func add(
        _ accepted: consuming Descriptor, _ peer: SocketAddress, to table: inout StreamTable, _ now: UInt64,
        _ poller: borrowing Poller
    ) {
        guard peers.isEmpty || peers.contains(peer.address), let slot = table.makeRoom(now) else {
            table.counters.refused += 1
            return
        }
        do {
            try poller.add(accepted.number, tag: tag(slot), .read)
        } catch {
            table.counters.refused += 1
            return
        }
        table.open(slot, accepted, peer: peer, now: now)
    }

    // MARK: Without descriptors

    private static func openReserve() -> Descriptor {
        Descriptor(owning: unsafe open("/dev/null", O_RDONLY | O_CLOEXEC))
    }

    /// With no descriptor left but the one kept for this: accepts a connection in the place of an idle one, or closes it
    /// at once, so that its client learns of it.
    private mutating func relieve(
        _ index: Int, _ table: inout StreamTable, _ now: UInt64, _ poller: borrowing Poller
    ) -> CInt {
        reserve = Descriptor(owning: -1)
        var peer = SocketAddress(IPAddress(v4: 0), port: 0)
        let number = listeners[index].descriptor.accept(peer: &peer)
        if number >= 0 {
            if table.evict(now) {
                add(Descriptor(owning: number), peer, to: &table, now, poller)
            } else {
                table.counters.refused += 1
                _ = Glibc.close(number)
            }
        }
        reserve = StreamAcceptor.openReserve()
        return number
    }

    /// Leaves the listeners alone for 100 ms.
    private mutating func pause(_ now: UInt64, _ poller: borrowing Poller) {
        watch([], poller)
        resumeAt = now + 100_000_000
    }

    /// Goes on after a pause whose time is over.
    mutating func resume(now: UInt64, _ poller: borrowing Poller) {
        guard let resumeAt, now >= resumeAt else { return }
        self.resumeAt = nil
        watch(.read, poller)
        if reserve.number < 0 { reserve = StreamAcceptor.openReserve() }
    }

    private func watch(_ interest: Poller.Interest, _ poller: borrowing Poller) {
        for index in 0..<listeners.count {
            try? poller.modify(
                listeners[index].descriptor.number, tag: UInt64(owner) << 32 | UInt64(index), interest)
        }
    }
}
