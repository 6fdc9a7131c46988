import Testing

@testable import QueryLog

/// By which time rows are old.
@Suite struct AgeingClockTests {
    private static let second: Int64 = 1_000_000
    private static let day: Int64 = 86_400 * second
    private static let wall: Int64 = 1_795_500_000 * second

    /// A clock that was asked at `wall`, a thousand seconds after boot.
    private static func started() -> AgeingClock {
        var clock = AgeingClock()
        #expect(clock.now(wall: wall, monotonic: at(0)) == wall)
        return clock
    }

    /// Nanoseconds since boot, so many seconds after the first look.
    private static func at(_ seconds: Int64) -> UInt64 { UInt64(1000 + seconds) * 1_000_000_000 }

    @Test func timeGoesBy() {
        var clock = Self.started()
        for seconds in [60, 120, 86_400] as [Int64] {
            #expect(
                clock.now(wall: Self.wall + seconds * Self.second, monotonic: Self.at(seconds)) == Self.wall + seconds
                    * Self.second)
        }
    }

    @Test func setForwardItIsBelievedAfterAnHour() {
        var clock = Self.started()
        let jump = 3650 * Self.day
        for seconds in [60, 120, 3659] as [Int64] {
            let right = Self.wall + seconds * Self.second
            #expect(clock.now(wall: right + jump, monotonic: Self.at(seconds)) == right, "after \(seconds) s")
        }
        let later = Self.wall + 3660 * Self.second + jump
        #expect(clock.now(wall: later, monotonic: Self.at(3660)) == later)
        #expect(clock.now(wall: later + Self.second, monotonic: Self.at(3661)) == later + Self.second)
    }

    @Test func setRightAgainNothingHappened() {
        var clock = Self.started()
        #expect(clock.now(wall: Self.wall + Self.day, monotonic: Self.at(60)) == Self.wall + 60 * Self.second)
        let right = Self.wall + 120 * Self.second
        #expect(clock.now(wall: right, monotonic: Self.at(120)) == right)
        // The next doubt begins anew.
        #expect(clock.now(wall: right + Self.day, monotonic: Self.at(3700)) == Self.wall + 3700 * Self.second)
    }

    @Test func setBackItIsBelievedAtOnce() {
        var clock = Self.started()
        let early = Self.wall - 400 * Self.day
        #expect(clock.now(wall: early, monotonic: Self.at(60)) == early)
        #expect(clock.now(wall: early + 60 * Self.second, monotonic: Self.at(120)) == early + 60 * Self.second)
    }
}
