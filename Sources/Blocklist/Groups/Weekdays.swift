/// Days of the week.
public struct Weekdays: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    public static let every = Weekdays(rawValue: 127)

    private static let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    private static let longNames = [
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    ]

    /// The weekday of a day, counted from 1970-01-01, a Thursday.
    init(dayNumber: Int64) {
        self.init(rawValue: 1 << UInt8(((dayNumber + 3) % 7 + 7) % 7))
    }

    /// Reads `mon-fri`, `sat,sun`, `fri-mon`, `daily`.
    ///
    /// - Throws: `BlocklistError.badArgument` with what is wrong.
    public init(_ text: String) throws(BlocklistError) {
        var days = Weekdays()
        for part in text.lowercased().split(separator: ",", omittingEmptySubsequences: false) {
            if part == "daily" || part == "all" {
                days.formUnion(.every)
                continue
            }
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard 1...2 ~= ends.count, let first = Weekdays.number(ends[0]),
                let last = Weekdays.number(ends[ends.count - 1])
            else { throw .badArgument("'\(part)' is no day; write mon-fri, sat,sun or daily") }
            var day = first
            days.insert(Weekdays(rawValue: 1 << UInt8(day)))
            while day != last {
                day = (day + 1) % 7
                days.insert(Weekdays(rawValue: 1 << UInt8(day)))
            }
        }
        self = days
    }

    private static func number(_ name: Substring) -> Int? {
        names.firstIndex(of: String(name)) ?? longNames.firstIndex(of: String(name))
    }
}

extension Weekdays: CustomStringConvertible {
    /// As `init` reads it, runs of three days or more as such.
    public var description: String {
        if self == .every { return "daily" }
        let isIn = (0..<7).map { rawValue >> UInt8($0) & 1 != 0 }
        var parts: [String] = []
        var day = 0
        while day < 7 {
            guard isIn[day] else {
                day += 1
                continue
            }
            let end = isIn[day...].firstIndex(of: false) ?? 7
            let names = Weekdays.names[day..<end]
            parts += names.count > 2 ? ["\(names[day])-\(names[end - 1])"] : Array(names)
            day = end
        }
        return parts.joined(separator: ",")
    }
}

/// Times of day.
public enum ClockTime {
    /// Minutes since midnight, 0 to 1440, of `7:00`, `21:30`, `24:00`.
    ///
    /// - Throws: `BlocklistError.badArgument` for what is no time of day.
    public static func minutes(_ text: String) throws(BlocklistError) -> Int {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, 1...2 ~= parts[0].utf8.count, parts[1].utf8.count == 2,
            parts.allSatisfy({ $0.utf8.allSatisfy { $0 &- 0x30 < 10 } }), let hours = Int(parts[0]),
            let minutes = Int(parts[1]), minutes < 60, hours < 24 || hours == 24 && minutes == 0
        else { throw .badArgument("'\(text)' is no time of day; write 07:00 or 21:30") }
        return hours * 60 + minutes
    }

    public static func text(_ minutes: Int) -> String {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(two(minutes / 60)):\(two(minutes % 60))"
    }
}
