import Synchronization
public import Wire

/// How the engine answers.
public struct EngineSettings: Sendable, Equatable {
    public var blocking: Blocking
    /// Bytes of the cache.
    public var cacheBytes: Int
    /// The largest answer over UDP in bytes, however much the client offers.
    public var maximumUDPSize: UInt16
    /// Queries that may wait for an upstream.
    public var waiting: Int
    /// How long answers are kept.
    public var limits: Admission.Limits

    public init(
        blocking: Blocking = Blocking(), cacheBytes: Int = 4 << 20, maximumUDPSize: UInt16 = 1232, waiting: Int = 8192,
        limits: Admission.Limits = Admission.Limits()
    ) {
        self.blocking = blocking
        self.cacheBytes = cacheBytes
        self.maximumUDPSize = maximumUDPSize
        self.waiting = waiting
        self.limits = limits
    }
}

/// The settings of a running engine, changed from outside.
///
/// The engine looks at `generation` (one atomic load, no lock) before each query; only when that has changed does it take
/// the new settings, under the lock. `waiting` is fixed from the start. Any thread.
public final class SettingsBook: Sendable {
    private let count = Atomic<Int>(0)
    private let current: Mutex<EngineSettings>

    public init(_ settings: EngineSettings) {
        current = Mutex(settings)
    }

    /// Changes with the settings.
    var generation: Int { count.load(ordering: .acquiring) }

    public var settings: EngineSettings { current.withLock { $0 } }

    /// In force from the engine's next query on. A cache of another size begins empty.
    public func publish(_ settings: EngineSettings) {
        let changed = current.withLock { current in
            defer { current = settings }
            return current != settings
        }
        if changed { count.add(1, ordering: .releasing) }
    }
}

/// What a blocked name is answered with.
public struct Blocking: Sendable, Equatable {
    public enum Mode: String, Sendable, CaseIterable {
        /// A `0.0.0.0`, AAAA `::`, other types NODATA.
        case null
        /// NXDOMAIN with SOA.
        case nxdomain
        /// NOERROR without an answer, with SOA.
        case nodata
        /// REFUSED.
        case refused
        /// Addresses of one's own, for instance of a page that explains; a family without one is NODATA.
        case custom
    }

    public var mode: Mode
    /// Seconds, of the answer and of its SOA.
    public var ttl: UInt32
    /// For `custom`.
    public var addresses: [IPAddress]

    public init(mode: Mode = .null, ttl: UInt32 = 10, addresses: [IPAddress] = []) {
        self.mode = mode
        self.ttl = ttl
        self.addresses = addresses
    }
}
