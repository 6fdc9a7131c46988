/// The time by which rows are old. A clock that is set forward is believed after an hour: a wrong one may be put right by then,
/// and rows that were removed do not come back. One that is set back is believed at once, since fewer rows are old by it.
struct AgeingClock {
    /// Microseconds from the monotonic clock to the time that is believed.
    private var offset: Int64?
    /// When the clock was found set forward, nanoseconds, monotonic.
    private var doubted: UInt64?

    /// A clock that runs this much faster is not one that was set, microseconds.
    private static let tolerance: Int64 = 60_000_000
    /// Nanoseconds.
    private static let trial: UInt64 = 3_600_000_000_000

    /// - Parameters:
    ///   - wall: microseconds since 1970.
    ///   - monotonic: nanoseconds.
    /// - Returns: microseconds since 1970.
    mutating func now(wall: Int64, monotonic: UInt64) -> Int64 {
        let found = wall - Int64(monotonic / 1000)
        guard let believed = offset, found - believed > AgeingClock.tolerance else {
            doubted = nil
            offset = found
            return wall
        }
        let since = doubted ?? monotonic
        doubted = since
        if monotonic - since >= AgeingClock.trial {
            doubted = nil
            offset = found
            return wall
        }
        return Int64(monotonic / 1000) + believed
    }
}
