internal import Glibc
internal import Kernel

/// Rests as long as was worked, so that another program that wants the database gets it half of the time.
struct Pace {
    private var start = Clock.monotonic()

    /// Sleeps for as long as passed since the last rest, at least a millisecond and at most a second.
    mutating func rest() {
        let worked = Clock.monotonic() - start
        usleep(UInt32(min(1_000_000, max(1000, worked / 1000))))
        start = Clock.monotonic()
    }
}
