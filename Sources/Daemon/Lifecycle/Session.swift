import Blocklist
import DNSProxy
import Export
import Kernel
import Logging
import PacketTunnel
import QueryLog
import Synchronization

/// Everything that runs between start and stop.
///
/// `run` opens it in the order in which each part needs the others, and closes it in the opposite one.
final class Session: Sendable {
    let options: Daemon.Options
    let manager: ServiceManager?
    let logger: Logger
    /// Where events go, besides standard error.
    let events: EventSocket?

    /// What the services share.
    struct State: Sendable {
        var configuration: Configuration
        var policy: PolicySnapshot?
        var engine: RunningEngine?
        var upstreams: [SocketAddress] = []
        /// Microseconds since 1970, -1 without end; nil: not paused.
        var pausedUntil: Int64?
        var owners: Owners?
        /// What is wrong now, by who found it.
        var problems: [Source: String] = [:]
        /// When it was said that it filters, nanoseconds on the monotonic clock.
        var announced: UInt64?
    }

    /// Who finds problems.
    enum Source: Int, Sendable, CaseIterable { case loop, capture, lists, upstreams, streams, log, export, manager }

    let state: Mutex<State>
    let started = Clock.monotonic()

    init(
        _ options: Daemon.Options, _ configuration: Configuration, _ manager: ServiceManager?, _ logger: Logger,
        events: EventSocket? = nil
    ) {
        self.events = events
        self.options = options
        self.manager = manager
        self.logger = logger
        state = Mutex(State(configuration: configuration))
    }

    var configuration: Configuration { state.withLock { $0.configuration } }

    /// Filters until the task is cancelled, and undoes everything.
    func run() async throws {
        let policy = try await openLists()
        state.withLock { $0.policy = policy }
        try Task.checkCancellation()
        try findUpstreams()
        try await withLog { ring, writer in
            try await self.withExporter { exporter in
                try await self.withEngine(policy, ring, writer, exporter) { engine in
                    let control = try self.control(engine)
                    try await self.withCapture(engine) {
                        try await self.serve(engine, control)
                    }
                }
            }
        }
    }

    // MARK: What is opened and closed

    private func withEngine(
        _ policy: PolicySnapshot, _ ring: QueryRing?, _ writer: QueryLogWriter?, _ exporter: Exporter?,
        _ body: (RunningEngine) async throws -> Void
    ) async throws {
        let configuration = configuration
        let request = configuration.captureRequest(state: options.state)
        let tunnel = try TunDevice(request)
        let capture = try request.capture(tunnel)
        let owners = openOwners(capture, tun: tunnel.ifindex)
        let book = SettingsBook(configuration.engineSettings)
        var settings = configuration.loopSettings(engine: book, servers: state.withLock { $0.upstreams })
        settings.printsPackets = options.printsPackets
        settings.tap = exporter?.ring
        let loop = try PacketLoop(
            tunnel: tunnel, capture: capture, settings: settings, policy: policy, ring: ring,
            owners: owners?.lookup())
        loop.start()
        let engine = RunningEngine(
            capture: capture, loop: loop, settings: book, ring: ring, writer: writer, exporter: exporter)
        restorePause(policy, engine)
        do {
            try await body(engine)
        } catch {
            await loop.stop()
            throw error
        }
        await loop.stop()
    }

    /// Without owners everything works but the rules that depend on them, and the log does not say who asked.
    private func openOwners(_ capture: any Capture, tun: UInt32) -> Owners? {
        do {
            let owners = try Owners(configuration.owners.source, capture: capture, tun: tun)
            if let problem = owners.problem {
                // What was asked for and cannot be had is worth more than a word.
                let isAsked = configuration.owners.cgroup.hasPrefix("/")
                logger.log(
                    level: isAsked ? .warning : .info,
                    "users and programs are looked up, as the kernel does not tell: \(problem)")
            }
            state.withLock { $0.owners = owners }
            return owners
        } catch {
            logger.warning("users and programs are not known: \(error)")
            return nil
        }
    }

    private func withCapture(_ engine: RunningEngine, _ body: () async throws -> Void) async throws {
        try engine.capture.attach()
        defer { engine.capture.detach() }
        try await body()
    }

    /// Keeps everything going until the task is cancelled or a part of it fails for good.
    private func serve(_ engine: RunningEngine, _ control: ControlServer) async throws {
        state.withLock { $0.engine = engine }
        tellManager("READY=1")
        announce(engine)
        defer {
            state.withLock { $0.engine = nil }
            tellManager("STOPPING=1")
        }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await control.run() }
            group.addTask { try await self.followCapture(engine) }
            group.addTask { try await self.followPolicy(engine) }
            group.addTask { try await self.followSubscriptions() }
            group.addTask { try await self.watch(engine) }
            group.addTask { try await self.followUpstreams(engine) }
            group.addTask { try await self.probeStreams(engine) }
            if let map = engine.capture.flows { group.addTask { try await self.followFlows(engine, map) } }
        }
        try Task.checkCancellation()
    }

    private func control(_ engine: RunningEngine) throws -> ControlServer {
        try ControlServer(path: ControlClient.path(state: options.state)) { [self] request in
            await answer(request, engine)
        }
    }

    func tellManager(_ assignments: String...) {
        guard let manager else { return }
        do {
            try manager.notify(assignments.joined(separator: "\n"))
            report(.manager, nil)
        } catch {
            report(.manager, "\(error)")
        }
    }

    /// Remembers what is wrong, or that nothing is, and says so when it is new.
    func report(_ source: Source, _ problem: String?) {
        let isNew = state.withLock { state in
            defer { state.problems[source] = problem }
            return state.problems[source] != problem
        }
        if isNew, let problem { logger.warning("\(problem)") }
    }
}

/// The parts that work on packets.
struct RunningEngine: Sendable {
    let capture: any Capture
    let loop: PacketLoop
    let settings: SettingsBook
    let ring: QueryRing?
    let writer: QueryLogWriter?
    let exporter: Exporter?
}
