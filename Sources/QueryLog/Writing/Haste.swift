internal import Kernel

/// The priority of the writer's thread: the lowest, but for times in which a ring fills up.
///
/// As long as no more rows come than `foldsAbove` a second, writing them costs a few hundredths of a core: then the thread
/// takes what it needs, and no row is lost because other programs want the processor. Above, in a flood, it takes a
/// sixteenth of a core that the packet thread wants whole (sched(7), "The nice value"). The writer's thread alone.
struct Haste {
    private let calm: Int32
    private let flood: Int
    private var current: Int32
    private var until: UInt64 = 0
    private var second: UInt64 = 0
    private var seen = 0
    /// Rows of the last full second, those that were dropped too.
    private var rate = 0

    private static let flooded: Int32 = 12
    /// Nanoseconds that a higher priority is kept.
    private static let hold: UInt64 = 10_000_000_000

    init(_ options: QueryLogWriter.Options) {
        calm = options.niceness
        flood = options.foldsAbove
        current = options.niceness
    }

    /// Looks at the rings before they are emptied.
    ///
    /// - Parameter taken: rows taken out of them since the start.
    mutating func look(_ rings: [QueryRing], taken: Int) {
        let now = Clock.monotonic()
        if now - second >= 1_000_000_000 {
            let total = rings.reduce(taken) { $0 + $1.dropped }
            rate = second == 0 ? 0 : Int(Double(total - seen) * 1e9 / Double(now - second))
            seen = total
            second = now
        }
        if rings.contains(where: { $0.used > $0.capacity / 2 }) { until = now + Haste.hold }
        let wanted = now >= until ? calm : rate > flood ? min(calm, Haste.flooded) : 0
        guard wanted != current else { return }
        current = wanted
        CurrentThread.setNiceness(wanted)
    }
}
