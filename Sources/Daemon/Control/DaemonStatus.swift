/// What the daemon tells of itself.
public struct DaemonStatus: Codable, Sendable, Equatable {
    public var version: String
    public var pid: Int32
    /// Seconds since it began to filter.
    public var uptime: UInt64
    /// Whether a query sent now by a captured link would be decided by the lists and rules.
    public var filtering: Bool
    /// Why not, or what else is wrong, in sentences.
    public var problems: [String]
    /// The capture back end in use: `link` or `route`.
    public var capture: String
    public var mode: String
    /// `open` or `closed`.
    public var fail: String
    /// The links that are captured now.
    public var links: [String]
    /// The links whose clients are captured now.
    public var serve: [String]
    /// How users and programs are known: `kernel`, or `lookup` with the reason; nil: they are not.
    public var owners: String?
    /// Blocked and allowed names in force.
    public var names: Int
    public var upstreams: [String]
    /// Microseconds since 1970 in UTC; -1: until resumed; nil: not paused.
    public var pausedUntil: Int64?
    /// The pauses of groups, clients, users and programs; nil: not told.
    public var pauses: [Pause]?
    /// What a blocked name is answered with; nil: not told.
    public var blocking: Blocked?
    public var counters: Counters
    /// nil: nothing is logged.
    public var log: Log?
    /// nil: nothing is exported.
    public var export: Export?

    /// Something that is paused.
    public struct Pause: Codable, Sendable, Equatable {
        /// `group`, `address`, `mac`, `user` or `app`.
        public var kind: String
        public var subject: String
        /// Microseconds since 1970 in UTC; nil: until resumed.
        public var until: Int64?
    }

    /// How the log's writer is getting on; counts are since the start.
    public struct Log: Codable, Sendable, Equatable {
        /// `writing`, `waiting` (the database cannot be written now) or `stopped`.
        public var state: String
        /// Why it waits.
        public var reason: String?
        public var writtenRows: Int64
        /// Queries that were added to another's row instead of getting their own.
        public var foldedRows: Int64
        public var droppedRows: Int64
        /// Rows in memory that are not in the database yet.
        public var waitingBytes: Int
        /// Where corrupt files were moved to.
        public var setAside: [String]
    }

    /// What went to metrics, dnstap and events since the start, and what was lost on the way.
    public struct Export: Codable, Sendable, Equatable {
        /// Queries and answers that the exporter was too slow for.
        public var dropped: UInt64
        public var dnstapMessages: UInt64
        public var dnstapDropped: UInt64
        public var eventsDropped: UInt64
    }

    /// The keys `dns.blocking_*` in force.
    public struct Blocked: Codable, Sendable, Equatable {
        public var mode: String
        /// Seconds.
        public var ttl: UInt32
        public var addresses: [String]
    }

    /// All since the start.
    public struct Counters: Codable, Sendable, Equatable {
        public var queries: UInt64 = 0
        public var blocked: UInt64 = 0
        /// Answered from the cache.
        public var cached: UInt64 = 0
        /// Asked of an upstream.
        public var forwarded: UInt64 = 0
        /// Answered SERVFAIL because no upstream answered.
        public var failed: UInt64 = 0
        /// Packets that were no proper query.
        public var malformed: UInt64 = 0
        public var droppedLogRows: UInt64 = 0
        /// Full mode: flows that are alive, and flows by their verdict.
        public var flows: UInt64 = 0
        public var flowsAllowed: UInt64 = 0
        public var flowsDropped: UInt64 = 0
        /// Answers that the cache holds now.
        public var cachedAnswers: UInt64 = 0

        public init() {}
    }
}
