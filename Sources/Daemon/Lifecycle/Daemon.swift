import Blocklist
import DNSProxy
import Foundation
import Kernel
public import Logging
import PacketTunnel
import QueryLog
import UnixSignals

/// The daemon: one `run` from its start to its end.
///
/// The order matters. Lists are in force before the first packet is captured; what was done last is undone first.
public final class Daemon: Sendable {
    public struct Options: Sendable {
        public var version: String
        /// The state directory.
        public var state: String
        /// The configuration file; nil: the default one, when it exists.
        public var file: String?
        /// The command line.
        public var overrides: [Configuration.Override]
        /// A line on standard output for each packet read.
        public var printsPackets = false

        public init(version: String, state: String, file: String?, overrides: [Configuration.Override]) {
            self.version = version
            self.state = state
            self.file = file
            self.overrides = overrides
        }

        /// The configuration for a run on this machine as it is now.
        func configuration() throws(ConfigurationError) -> Configuration {
            let configuration = try Configuration.load(file: file, overrides: overrides)
            try configuration.checkUpstreams(machine: ServerDiscovery.machineAddresses())
            return configuration
        }
    }

    private let options: Options
    private let logger: Logger

    public init(_ options: Options, logger: Logger) {
        self.options = options
        self.logger = logger
    }

    /// The changes to the system that a run would make, and how they are undone. Makes none.
    ///
    /// - Throws: `ConfigurationError`, `CaptureError`.
    public func plan() throws -> String {
        let configuration = try options.configuration()
        var plan = try configuration.captureRequest(state: options.state).plan()
        plan.steps += Owners.steps(configuration.owners.source, plan.backEnd)
        return "\(plan)"
    }

    /// Filters until SIGTERM or SIGINT; SIGHUP reloads. Returns when everything is undone.
    ///
    /// - Throws: what kept it from filtering, after undoing what was done.
    public func run() async throws {
        ResidentMemory.keepHeapSmall()
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        let configuration = try options.configuration()
        try StateDirectory.create(options.state)
        let lock = try InstanceLock(state: options.state)
        let manager = try ServiceManager()
        let events = configuration.eventSocket
        var logger = logger
        if let events { logger.handler = EventLog(events, fallback: logger.handler) }
        let session = Session(options, configuration, manager, logger, events: events)
        do {
            try await Daemon.race {
                try await session.run()
            } until: { [logger] in
                for await signal in signals {
                    guard signal == .sighup else {
                        logger.notice("stopping", metadata: ["signal": "\(signal)"])
                        return
                    }
                    await session.reloadLogged()
                }
            }
        } catch {
            lock.unlock()
            throw error
        }
        lock.unlock()
    }

    /// Runs `work` until it ends or `end` does; then it is cancelled and waited for.
    private static func race(
        _ work: @escaping @Sendable () async throws -> Void, until end: @escaping @Sendable () async -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await work() }
            group.addTask { await end() }
            defer { group.cancelAll() }
            try await group.next()
            group.cancelAll()
            do {
                try await group.waitForAll()
            } catch is CancellationError {
                // It was asked to end.
            }
        }
    }
}
