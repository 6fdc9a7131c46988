import Blocklist
import ContentFilter
import Kernel
import PacketTunnel
import QueryLog
import Synchronization

/// The thread that owns the TUN and everything on a packet's path, seen from outside: orders go in through a mailbox,
/// counters come out. What happens on the thread is `PacketPath`'s.
final class PacketLoop: Sendable {
    /// Orders to the thread; each is the newest of its kind.
    struct Mail: Sendable {
        var policy: PolicySnapshot?
        var servers: [SocketAddress]?
        /// Nanoseconds, monotonic; 0 ends a pause.
        var pausedUntil: UInt64?
        var flowDefaults: FlowDefaults?
        /// What the kernel tells of flows; it adds up until it is taken.
        var tidings: [FlowTidings] = []
        /// Looks into the cache; they add up until they are taken.
        var peeks: [CachePeek] = []
        var isStopping = false
    }

    private let mailbox = Mutex(Mail())
    private let wakeup: Wakeup
    private let published = PublishedCounters()
    private let path: Mutex<PacketPath?>
    private let thread = Mutex<Task<Void, Never>?>(nil)

    /// Opens the sockets and the listener; nothing runs yet.
    ///
    /// - Throws: `KernelError`, or the rooms' errors, for instance when the listener's port is in use.
    init(
        tunnel: consuming TunDevice, capture: any Capture, settings: LoopSettings, policy: PolicySnapshot,
        ring: QueryRing?, owners: OwnerLookup?
    ) throws {
        wakeup = try Wakeup()
        path = Mutex(
            try PacketPath(
                tunnel: tunnel, capture: capture, settings: settings, policy: policy, ring: ring,
                owners: owners, wakeup: wakeup.number))
    }

    /// Starts the thread.
    func start() {
        thread.withLock { thread in
            thread = Task { [self] in await OwnThread.run("packet path") { self.run() } }
        }
    }

    private func run() {
        guard var path = path.withLock({ $0.take() }) else { return }
        path.run(wakeup: wakeup, published: published, takeMail: takeMail)
    }

    private func takeMail() -> Mail {
        mailbox.withLock { mail in
            let taken = mail
            mail = Mail(isStopping: taken.isStopping)
            return taken
        }
    }

    // MARK: Orders, from any thread

    /// The thread decides by `policy` from its next query on.
    func adopt(_ policy: PolicySnapshot) {
        post { $0.policy = policy }
    }

    func adopt(servers: [SocketAddress]) {
        post { $0.servers = servers }
    }

    /// Filters nothing until then: nanoseconds on the monotonic clock, 0 to filter again.
    func setPaused(until: UInt64) {
        post { $0.pausedUntil = until }
    }

    /// What is done with flows that the policy does not speak of, from the next packet on.
    func adopt(_ defaults: FlowDefaults) {
        post { $0.flowDefaults = defaults }
    }

    /// What the kernel tells of flows.
    func hear(_ tidings: [FlowTidings]) {
        if !tidings.isEmpty { post { $0.tidings += tidings } }
    }

    /// Has the thread look into its cache.
    func ask(_ peek: CachePeek) {
        post { $0.peeks.append(peek) }
    }

    /// Ends the thread when the queries that wait are answered, or after a second. The TUN is gone then.
    func stop() async {
        post { $0.isStopping = true }
        await thread.withLock { $0 }?.value
    }

    var counters: LoopCounters { published.value }

    /// Has the thread do a round now, so that a heartbeat that does not come means something.
    func poke() {
        wakeup.signal()
    }

    private func post(_ order: (inout Mail) -> Void) {
        mailbox.withLock { order(&$0) }
        wakeup.signal()
    }
}
