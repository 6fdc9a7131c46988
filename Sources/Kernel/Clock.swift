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

    @inlinable
    static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
