import Blocklist
import DNSProxy
import Kernel
import Logging
import PacketTunnel
import Synchronization

/// What goes on beside the packets: each follows one thing until its task is cancelled.
extension Session {
    /// The niceness of work that can be a little late.
    private static let courtesy: Int32 = 5

    /// Fetches lists on the web when they are due. What is fetched comes into force as any change of the lists does.
    func followSubscriptions() async throws {
        try await OwnThread.repeating("webtun-fetch") { [self] pace in
            CurrentThread.giveWay(niceness: Session.courtesy)
            while pace.wait(milliseconds: 10_000) {
                do {
                    let store = try BlocklistStore(state: options.state)
                    let fetcher = ListFetcher(configuration, upstreams: state.withLock { $0.upstreams })
                    try store.updateDueLists(fetcher: fetcher, told: tell)
                } catch {
                    logger.warning("lists cannot be updated: \(error)")
                }
            }
        }
    }

    private func tell(_ list: BlockList, _ result: Result<BlocklistStore.Update, any Error>) {
        switch result {
        case .success(.updated(let report)):
            logger.info("list updated", metadata: ["name": "\(list.name)", "names": "\(report.entries)"])
        case .success(.unchanged):
            logger.debug("list unchanged", metadata: ["name": "\(list.name)"])
        case .failure(let error):
            logger.warning("list not updated, its names stay: \(error)", metadata: ["name": "\(list.name)"])
        }
    }

    /// The configured servers, or those the machine uses at this moment.
    ///
    /// - Throws: when all the machine has is a resolver of its own. To have none yet is fine: links may come up later.
    func findUpstreams() throws(OnlyStubs) {
        let configured = configuration.dns.upstream
        guard configured.isEmpty else { return take(configured) }
        let found = discovery()
        if let error = OnlyStubs(found) { throw error }
        take(found.servers)
    }

    /// Asks the servers that the machine uses, whichever they are, unless others are configured.
    func followUpstreams(_ engine: RunningEngine) async throws {
        try await OwnThread.repeating("webtun-upstream") { [self] pace in
            var following: ServerDiscovery?
            while pace.wait(milliseconds: 1000) {
                guard configuration.dns.upstream.isEmpty else {
                    following = nil
                    continue
                }
                if var current = following {
                    if let servers = current.poll() {
                        use(servers, engine)
                        if let error = OnlyStubs(current) { report(.upstreams, "\(error)") }
                    }
                    following = current
                } else {
                    let found = discovery()
                    following = found
                    if found.servers != state.withLock({ $0.upstreams }) { use(found.servers, engine) }
                }
            }
        }
    }

    func use(_ servers: [SocketAddress], _ engine: RunningEngine) {
        take(servers)
        engine.loop.adopt(servers: servers)
    }

    private func discovery() -> ServerDiscovery {
        ServerDiscovery(own: ServerDiscovery.machineAddresses() + configuration.tunnel.addresses)
    }

    private func take(_ servers: [SocketAddress]) {
        state.withLock { $0.upstreams = servers }
        logger.info("upstreams", metadata: ["servers": "\(servers.map(\.description).joined(separator: " "))"])
        let none = "this machine uses no DNS server that webtun could ask: name one with --upstream"
        report(.upstreams, servers.isEmpty ? none : nil)
    }

    /// Keeps the capture right while links come and go.
    func followCapture(_ engine: RunningEngine) async throws {
        while !Task.isCancelled {
            do {
                try await engine.capture.follow()
            } catch is CancellationError {
                return
            } catch {
                report(.capture, "links are not followed: \(error)")
            }
            // Here only when it was detached, or following failed: look again in a while.
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    /// Follows the kernel's table of flows.
    func followFlows(_ engine: RunningEngine, _ map: KernelFlows) async throws {
        try await OwnThread.repeating("webtun-flows") { pace in
            CurrentThread.giveWay(niceness: Session.courtesy)
            var sweeper = FlowSweeper(map)
            while pace.wait(milliseconds: 1000) { engine.loop.hear(sweeper.sweep(Clock.monotonic())) }
        }
    }

    /// Watches that packets are answered, tells the service manager, and gives the packets back when they are not
    /// answered and the configuration wants that.
    func watch(_ engine: RunningEngine) async throws {
        let beat = manager?.watchdogInterval.map { CInt($0 / 1_000_000) } ?? 500
        try await OwnThread.repeating("webtun-watch") { [self] pace in
            var pulse = Pulse(engine.loop.counters.heartbeat)
            var isDetached = false
            var tidyAt = Clock.monotonic() + Session.settling
            while pace.wait(milliseconds: max(10, min(500, beat))) {
                let stalled = pulse.stalled(engine.loop.counters.heartbeat)
                if stalled < Session.patience {
                    report(.loop, nil)
                    if isDetached { isDetached = !reattach(engine) }
                    if manager?.watchdogInterval != nil { tellManager("WATCHDOG=1") }
                } else {
                    report(.loop, "packets are not answered")
                    if configuration.capture.fail == .open && !isDetached {
                        engine.capture.detach()
                        isDetached = true
                        logger.error("queries leave unfiltered until packets are answered again")
                    }
                }
                announce(engine)
                if Clock.monotonic() >= tidyAt {
                    ResidentMemory.giveBack()
                    tidyAt = Clock.monotonic() + Session.tidying
                }
            }
        }
    }

    /// Nanoseconds after which everything that only the start needs has been done, and between two givings back of memory.
    static let settling: UInt64 = 3_000_000_000
    static let tidying: UInt64 = 20_000_000_000

    /// Nanoseconds without a sign of life before the packet thread counts as stuck; it gives one a second at least.
    static let patience: UInt64 = 3_000_000_000

    private func reattach(_ engine: RunningEngine) -> Bool {
        do {
            try engine.capture.attach()
            logger.notice("queries are filtered again")
            return true
        } catch {
            report(.capture, "\(error)")
            return false
        }
    }
}

/// The machine names no server but resolvers of its own, whose questions would come to webtun and have nowhere to go.
struct OnlyStubs: Error, CustomStringConvertible {
    let description: String

    /// Nil when it is not so.
    init?(_ discovery: ServerDiscovery) {
        let stubs = discovery.onlyStubs
        guard let first = stubs.first else { return nil }
        let names = stubs.map(\.text).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        description =
            "the only DNS server of this machine is a resolver on itself (\(names.joined(separator: ", ")) in "
            + "\(first.source)), whose own questions come to webtun and would have nowhere to go: name the server to "
            + "ask with --upstream or dns.upstream"
    }
}

/// How long a counter that should grow has not.
private struct Pulse {
    private var last: Int
    private var seen = Clock.monotonic()

    init(_ value: Int) {
        last = value
    }

    /// Nanoseconds.
    mutating func stalled(_ value: Int) -> UInt64 {
        let now = Clock.monotonic()
        if value != last {
            last = value
            seen = now
        }
        return now - seen
    }
}
