import Foundation

/// Times at which a group is in force: on some days of the week from one time of day to another.
public struct GroupSchedule: Sendable, Equatable {
    public var id: Int32
    /// The days on which it begins.
    public var days: Weekdays
    /// Minutes since midnight, 0 to 1439.
    public var from: Int
    /// Minutes since midnight, 0 to 1440; when it is not after `from`, of the next day.
    public var to: Int
    /// An identifier of the tz database; nil: the machine's zone.
    public var zone: String?

    public init(id: Int32 = 0, days: Weekdays, from: Int, to: Int, zone: String? = nil) {
        self.id = id
        self.days = days
        self.from = from
        self.to = to
        self.zone = zone
    }

    /// Whether it holds at a time, and when that changes next. Seconds since 1970, UTC.
    ///
    /// The clock of the zone decides, whatever it does: a time that the clock skips when it is put forward is taken as if it
    /// had not been, one that comes twice is taken as the first (as RFC 5545 section 3.3.5 has it).
    func state(at now: Int64) -> (holds: Bool, changes: Int64) {
        let zone = zone.flatMap(TimeZone.init(identifier:)) ?? GroupSchedule.machineZone
        let today = GroupSchedule.floor(now + GroupSchedule.offset(zone, now), GroupSchedule.day)
        var holds = false
        var changes = Int64.max
        // What began yesterday may go on; what begins today in a week is the farthest away that matters.
        for day in today - 1...today + 8 where days.contains(Weekdays(dayNumber: day)) {
            let start = GroupSchedule.moment(zone, day, from)
            let end = GroupSchedule.moment(zone, to > from ? day : day + 1, to)
            if start <= now, now < end { holds = true }
            if start > now { changes = min(changes, start) }
            if end > now { changes = min(changes, end) }
        }
        return (holds, changes)
    }

    /// The zone that is set now: it may change while webtun runs.
    static var machineZone: TimeZone {
        NSTimeZone.resetSystemTimeZone()
        return TimeZone.current
    }

    private static let day: Int64 = 86_400

    /// When a zone's clock shows a time of day. `dayNumber` counts from 1970-01-01.
    private static func moment(_ zone: TimeZone, _ dayNumber: Int64, _ minutes: Int) -> Int64 {
        let wall = dayNumber * day + Int64(minutes) * 60
        let before = offset(zone, wall - day)
        let after = offset(zone, wall + day)
        let first = wall - before
        // The clock may be changed around that time, and then the later offset may be the right one.
        return offset(zone, first) == before || offset(zone, wall - after) != after ? first : wall - after
    }

    private static func offset(_ zone: TimeZone, _ time: Int64) -> Int64 {
        Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(time))))
    }

    private static func floor(_ value: Int64, _ unit: Int64) -> Int64 {
        value >= 0 ? value / unit : -((unit - 1 - value) / unit)
    }

    /// When the clock of a zone shows a time of day next. Seconds since 1970, UTC.
    public static func next(minutes: Int, after now: Int64, zone: String? = nil) -> Int64 {
        let zone = zone.flatMap(TimeZone.init(identifier:)) ?? machineZone
        let today = floor(now + offset(zone, now), day)
        let candidates = (today...today + 2).map { moment(zone, $0, minutes) }
        return candidates.first { $0 > now } ?? now + day
    }

    /// - Throws: `BlocklistError.badArgument` for an identifier that the tz database does not have.
    public static func checkZone(_ zone: String) throws(BlocklistError) {
        guard TimeZone(identifier: zone) != nil else {
            throw .badArgument("there is no time zone '\(zone)'; write one like Europe/Berlin or UTC")
        }
    }
}

extension GroupSchedule: CustomStringConvertible {
    /// `mon-fri 21:00-07:00 Europe/Berlin`
    public var description: String {
        let times = "\(ClockTime.text(from))-\(ClockTime.text(to))"
        return "\(days) \(times)" + (zone.map { " \($0)" } ?? "")
    }
}
