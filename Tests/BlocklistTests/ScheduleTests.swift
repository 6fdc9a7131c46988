import Foundation
import Testing

@testable import Blocklist

/// When schedules hold, under the rules of real zones.
struct ScheduleTests {
    /// Seconds since 1970 of `2026-11-24T21:00:00Z`.
    private static func time(_ text: String) throws -> Int64 {
        Int64(try Date(text, strategy: .iso8601).timeIntervalSince1970)
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var days: String
        var from: String
        var to: String
        var zone: String
        var at: String
        var holds: Bool
        /// When that changes next.
        var changes: String

        var testDescription: String { "\(days) \(from)-\(to) \(zone) at \(at): \(holds)" }
    }

    /// 2026-11-24 is a Tuesday.
    static let plain: [Case] = [
        Case(
            days: "tue", from: "09:00", to: "17:00", zone: "UTC", at: "2026-11-24T08:59:59Z", holds: false,
            changes: "2026-11-24T09:00:00Z"),
        Case(
            days: "tue", from: "09:00", to: "17:00", zone: "UTC", at: "2026-11-24T09:00:00Z", holds: true,
            changes: "2026-11-24T17:00:00Z"),
        Case(
            days: "tue", from: "09:00", to: "17:00", zone: "UTC", at: "2026-11-24T17:00:00Z", holds: false,
            changes: "2026-12-01T09:00:00Z"),
        // Over midnight: the day is the one on which it begins.
        Case(
            days: "tue", from: "21:00", to: "07:00", zone: "UTC", at: "2026-11-25T06:59:59Z", holds: true,
            changes: "2026-11-25T07:00:00Z"),
        Case(
            days: "tue", from: "21:00", to: "07:00", zone: "UTC", at: "2026-11-24T06:59:59Z", holds: false,
            changes: "2026-11-24T21:00:00Z"),
        Case(
            days: "sat-sun", from: "00:00", to: "24:00", zone: "UTC", at: "2026-11-27T23:59:59Z", holds: false,
            changes: "2026-11-28T00:00:00Z"),
        Case(
            days: "sun", from: "20:00", to: "24:00", zone: "UTC", at: "2026-11-29T23:59:59Z", holds: true,
            changes: "2026-11-30T00:00:00Z"),
    ]

    static let zones: [Case] = [
        // Berlin is an hour ahead in winter, two in summer.
        Case(
            days: "tue", from: "09:00", to: "17:00", zone: "Europe/Berlin", at: "2026-11-24T08:00:00Z", holds: true,
            changes: "2026-11-24T16:00:00Z"),
        Case(
            days: "tue", from: "09:00", to: "17:00", zone: "Europe/Berlin", at: "2026-07-07T07:00:00Z", holds: true,
            changes: "2026-07-07T15:00:00Z"),
        // It is Wednesday already in Kiritimati (UTC+14).
        Case(
            days: "wed", from: "00:00", to: "08:00", zone: "Pacific/Kiritimati", at: "2026-11-24T12:00:00Z",
            holds: true, changes: "2026-11-24T18:00:00Z"),
        // A quarter of an hour: Nepal is UTC+5:45.
        Case(
            days: "tue", from: "12:00", to: "13:00", zone: "Asia/Kathmandu", at: "2026-11-24T06:14:59Z", holds: false,
            changes: "2026-11-24T06:15:00Z"),
        // The clock is put back at 03:00 on 2026-10-25 in Berlin: that night is an hour longer.
        Case(
            days: "sat", from: "21:00", to: "07:00", zone: "Europe/Berlin", at: "2026-10-24T19:00:00Z", holds: true,
            changes: "2026-10-25T06:00:00Z"),
        // 02:30 comes twice: the first counts.
        Case(
            days: "sun", from: "02:30", to: "04:00", zone: "Europe/Berlin", at: "2026-10-25T00:29:59Z", holds: false,
            changes: "2026-10-25T00:30:00Z"),
        Case(
            days: "sun", from: "02:30", to: "04:00", zone: "Europe/Berlin", at: "2026-10-25T01:10:00Z", holds: true,
            changes: "2026-10-25T03:00:00Z"),
        // The clock is put forward at 02:00 on 2026-03-29: 02:30 is taken as it would have been, 03:30.
        Case(
            days: "sun", from: "02:30", to: "05:00", zone: "Europe/Berlin", at: "2026-03-29T01:29:59Z", holds: false,
            changes: "2026-03-29T01:30:00Z"),
        Case(
            days: "sat", from: "21:00", to: "07:00", zone: "Europe/Berlin", at: "2026-03-28T20:00:00Z", holds: true,
            changes: "2026-03-29T05:00:00Z"),
        // New York, west of Greenwich, before and after its own change on 2026-11-01.
        Case(
            days: "daily", from: "08:00", to: "09:00", zone: "America/New_York", at: "2026-10-31T12:30:00Z",
            holds: true,
            changes: "2026-10-31T13:00:00Z"),
        Case(
            days: "daily", from: "08:00", to: "09:00", zone: "America/New_York", at: "2026-11-01T12:59:59Z",
            holds: false, changes: "2026-11-01T13:00:00Z"),
    ]

    @Test(arguments: plain + zones) func holds(_ item: Case) throws {
        let schedule = try GroupSchedule(
            days: Weekdays(item.days), from: ClockTime.minutes(item.from), to: ClockTime.minutes(item.to),
            zone: item.zone)
        let state = try schedule.state(at: ScheduleTests.time(item.at))
        #expect(state.holds == item.holds)
        #expect(try state.changes == ScheduleTests.time(item.changes))
    }

    /// What `state` says of the next change is so: minute by minute, over the changes of the clock.
    @Test func nothingChangesInBetween() throws {
        let schedule = try GroupSchedule(
            days: Weekdays("fri-sun"), from: ClockTime.minutes("22:15"), to: ClockTime.minutes("02:45"),
            zone: "Europe/Berlin")
        for start in try ["2026-03-26T00:00:00Z", "2026-10-22T00:00:00Z"].map(ScheduleTests.time) {
            var changes = start
            var holds = schedule.state(at: start - 1).holds
            for time in stride(from: start, to: start + 7 * 86_400, by: 60) {
                let state = schedule.state(at: time)
                if state.holds != holds { #expect(time == changes, "at \(time)") }
                if time >= changes {
                    changes = state.changes
                    holds = state.holds
                }
                #expect(state.changes > time)
                #expect(schedule.state(at: state.changes - 1).holds == state.holds)
            }
        }
    }

    @Test func aTimeOfDayIsFoundNext() throws {
        let now = try ScheduleTests.time("2026-11-24T17:30:00Z")
        #expect(
            try GroupSchedule.next(minutes: 18 * 60, after: now, zone: "UTC")
                == ScheduleTests.time("2026-11-24T18:00:00Z"))
        #expect(
            try GroupSchedule.next(minutes: 17 * 60, after: now, zone: "UTC")
                == ScheduleTests.time("2026-11-25T17:00:00Z"))
        #expect(
            try GroupSchedule.next(minutes: 24 * 60, after: now, zone: "UTC")
                == ScheduleTests.time("2026-11-25T00:00:00Z"))
        #expect(
            try GroupSchedule.next(minutes: 18 * 60, after: now, zone: "Europe/Berlin")
                == ScheduleTests.time("2026-11-25T17:00:00Z"))
    }

    @Test(arguments: [
        ("mon-fri", "mon-fri"), ("sat,sun", "sat,sun"), ("Sunday", "sun"), ("fri-mon", "mon,fri-sun"),
        ("daily", "daily"), ("mon-sun", "daily"), ("wed,MON,tue", "mon-wed"),
    ])
    func daysAreRead(text: String, printed: String) throws {
        #expect(try Weekdays(text).description == printed)
    }

    @Test(arguments: ["", "mo", "mon-", "mon-tue-wed", "mon,,tue", "8", "mon fri"])
    func badDaysAreRefused(text: String) {
        #expect(throws: BlocklistError.self) { try Weekdays(text) }
    }

    @Test(arguments: ["24:01", "7", "7:5", "-1:00", "12:60", "25:00", "1２:00", "12:00:00", ""])
    func badTimesAreRefused(text: String) {
        #expect(throws: BlocklistError.self) { try ClockTime.minutes(text) }
    }

    @Test func timesAreRead() throws {
        #expect(try ["0:00", "7:05", "23:59", "24:00"].map(ClockTime.minutes) == [0, 425, 1439, 1440])
    }
}
