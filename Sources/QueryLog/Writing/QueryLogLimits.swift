/// How much of the past the log keeps; nil: without end.
public struct QueryLogLimits: Sendable, Equatable {
    /// Microseconds.
    public var maximumAge: Int64?
    /// Microseconds that blocked queries and dropped flows are kept; nil, or less than `maximumAge`: as long as all others.
    public var maximumBlockedAge: Int64?
    /// Bytes of `querylog.db` without its `-wal`. Names are given up only with the rows of a run of 262,144, so below
    /// about 32 MiB many different names can exceed it.
    public var maximumBytes: Int64?
    /// Rows, of queries and flows; exact to a run of 8192.
    public var maximumRows: Int64?

    public init(
        maximumAge: Int64? = 30 * 86_400_000_000, maximumBytes: Int64? = 1 << 30, maximumRows: Int64? = nil,
        maximumBlockedAge: Int64? = nil
    ) {
        self.maximumAge = maximumAge
        self.maximumBytes = maximumBytes
        self.maximumRows = maximumRows
        self.maximumBlockedAge = maximumBlockedAge
    }

    /// The age of the oldest row that may stay, when blocked rows stay longer than others.
    var blockedAge: Int64? {
        guard let age = maximumAge, let blocked = maximumBlockedAge, blocked > age else { return nil }
        return blocked
    }
}
