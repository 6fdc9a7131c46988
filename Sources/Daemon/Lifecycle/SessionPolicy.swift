import Blocklist
import Glibc
import Kernel
import Logging
import PacketTunnel
import Synchronization

/// Lists, rules, groups and pauses, as others change them and as time goes by.
extension Session {
    // MARK: At the start

    /// Lists and rules in force; starter lists that were never loaded are loaded before.
    func openLists() async throws -> PolicySnapshot {
        let path = options.state
        let starter = configuration.lists.starter
        let logger = logger
        return try await OwnThread.value("webtun-lists") {
            let store = try BlocklistStore(state: path)
            if !starter.isEmpty { Session.loadStarterLists(store, starter, logger) }
            return try store.snapshotToStart {
                logger.warning("the lists in force are those of before, their index cannot be made: \($0)")
            }
        }
    }

    private static func loadStarterLists(_ store: BlocklistStore, _ folder: String, _ logger: Logger) {
        guard FileText.exists(folder) else {
            return logger.debug("there are no starter lists", metadata: ["folder": "\(folder)"])
        }
        do {
            for result in try store.loadStarterLists(folder) {
                switch result {
                case .loaded(let report):
                    logger.info("starter list", metadata: ["name": "\(report.name)", "entries": "\(report.entries)"])
                case .failed(let file, let error):
                    logger.warning("starter list refused: \(error)", metadata: ["file": "\(file)"])
                }
            }
        } catch {
            logger.warning("starter lists cannot be read: \(error)", metadata: ["folder": "\(folder)"])
        }
    }

    // MARK: As they change

    /// Brings changed lists, rules, groups and pauses into force as soon as they are committed, and schedules at their times.
    func followPolicy(_ engine: RunningEngine) async throws {
        guard let policy = state.withLock({ $0.policy }) else { return }
        try await OwnThread.repeating("webtun-policy") { [self] pace in
            var follower: PolicyFollower?
            var devices = Devices()
            var pause = policy.wholePause
            var clock = Session.clockOffset
            repeat {
                do {
                    let current = try follower ?? PolicyFollower(state: options.state, current: policy)
                    follower = current
                    if current.needsNeighbours { current.neighbours = devices.poll(logger) }
                    if let policy = try current.poll() { adopt(policy, engine) }
                    let stored = state.withLock { $0.policy?.wholePause }
                    let offset = Session.clockOffset
                    // Also when the clock was set: a pause ends when the clock says so.
                    if stored != pause || abs(offset - clock) > 2_000_000 {
                        follow(stored, engine)
                        pause = stored
                        clock = offset
                    }
                    report(
                        .lists,
                        current.trouble.map {
                            "the lists in force are those of before, their index cannot be made: \($0)"
                        })
                } catch {
                    report(.lists, "the lists in force stay, changes cannot be read: \(error)")
                }
            } while pace.wait(milliseconds: follower?.pause ?? 250, hearing: follower?.number)
        }
    }

    /// Microseconds from the monotonic clock to the one that people read.
    private static var clockOffset: Int64 { Clock.unixMicroseconds() - Int64(Clock.monotonic() / 1000) }

    private func adopt(_ policy: PolicySnapshot, _ engine: RunningEngine) {
        engine.loop.adopt(policy)
        state.withLock { $0.policy = policy }
        logger.info("lists and rules changed", metadata: ["names": "\(policy.names)"])
    }

    // MARK: The pause of everything

    /// Pauses and keeps that, so that it outlives this process.
    ///
    /// - Parameter seconds: nil: until resumed.
    func pause(_ seconds: UInt64?, _ engine: RunningEngine) throws {
        let until = seconds.map { Clock.unixMicroseconds() + Int64(min($0, Session.longestPause)) * 1_000_000 }
        let pause = PolicyPause(.all, until: until)
        try BlocklistStore(state: options.state).pause(pause)
        follow(pause, engine)
    }

    /// A century, in seconds.
    private static let longestPause: UInt64 = 100 * 366 * 86_400

    /// Filters again, and forgets the pause that was kept.
    func resume(_ engine: RunningEngine) throws {
        follow(nil, engine)
        _ = try BlocklistStore(state: options.state).resume(.all)
    }

    /// What was paused when the last daemon ended is paused.
    func restorePause(_ policy: PolicySnapshot, _ engine: RunningEngine) {
        if let pause = policy.wholePause { follow(pause, engine) }
    }

    private func follow(_ pause: PolicyPause?, _ engine: RunningEngine) {
        let now = Clock.unixMicroseconds()
        let until = pause.flatMap { pause in pause.until.map { $0 > now ? $0 : nil } ?? -1 }
        let was = state.withLock { state in
            state.endPause()
            defer { state.pausedUntil = until }
            return state.pausedUntil
        }
        guard let until else {
            engine.loop.setPaused(until: 0)
            if was != nil { logger.notice("resumed") }
            return
        }
        engine.loop.setPaused(until: until < 0 ? .max : Clock.monotonic() + UInt64(until - now) * 1000)
        if was != until {
            let span = until < 0 ? "until resumed" : Seconds.print(UInt64(until - now + 999_999) / 1_000_000)
            logger.notice("paused", metadata: ["for": "\(span)"])
        }
    }
}

/// Which addresses belong to which devices, as the kernel has told since it was first asked.
private struct Devices {
    private var follower: NeighbourFollower?
    private var known: Neighbours = [:]
    /// Addresses that are remembered.
    private static let capacity = 65_536

    /// An address keeps its device until another one has it: the kernel forgets quiet neighbours.
    mutating func poll(_ logger: Logger) -> Neighbours {
        do {
            let follower = try follower ?? NeighbourFollower()
            self.follower = follower
            guard let found = try follower.poll() else { return known }
            if known.count > Devices.capacity { known = [:] }
            for neighbour in found { known[neighbour.address] = MACAddress(octets: neighbour.octets) }
        } catch {
            follower = nil
            logger.debug("neighbours cannot be read: \(error)")
        }
        return known
    }
}

extension PolicySnapshot {
    /// The pause of everything, when there is one, also one that is over.
    fileprivate var wholePause: PolicyPause? { pauses(at: .min).first { $0.scope == .all } }
}
