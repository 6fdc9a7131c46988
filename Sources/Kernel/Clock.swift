public import Glibc

/// The kernel's clocks as integers. Any thread; no allocation.
public enum Clock {
    /// Nanoseconds since boot, never set back (`CLOCK_MONOTONIC`).
    @inlinable
    public static func monotonic() -> UInt64 {
        read(CLOCK_MONOTONIC)
    }

    /// Microseconds since 1970 in UTC (`CLOCK_REALTIME`).
    @inlinable
    public static func unixMicroseconds() -> Int64 {
        Int64(read(CLOCK_REALTIME) / 1000)
    }

    /// Nanoseconds from one reading to a later one; 0 when the second is the earlier one, as readings of one round of a
    /// loop may be.
    @inlinable
    public static func elapsed(from start: UInt64, to end: UInt64) -> UInt64 {
        end > start ? end - start : 0
    }

    @inlinable
    static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
