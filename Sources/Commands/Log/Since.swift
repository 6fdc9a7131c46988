import ArgumentParser
import Foundation

/// A moment of the past as a user writes it: `90s`, `15m`, `1h`, `2d`, `1w` ago, or an ISO 8601 date or time
/// (`2026-01-31`, `2026-01-31T08:00:00Z`; without a zone it is UTC).
struct Since: ExpressibleByArgument, Sendable, Equatable {
    /// Microseconds since 1970.
    let microseconds: Int64

    init?(argument: String) {
        self.init(argument, now: Int64(Date().timeIntervalSince1970 * 1_000_000))
    }

    init?(_ text: String, now: Int64) {
        if let seconds = TimeSpan.seconds(text) {
            guard seconds < now / 1_000_000 else { return nil }
            microseconds = now - seconds * 1_000_000
            return
        }
        let full = text.count == 10 ? text + "T00:00:00Z" : text
        let zoned = full.hasSuffix("Z") || full.dropFirst(19).contains { "+-".contains($0) } ? full : full + "Z"
        let plain = Date.ISO8601FormatStyle()
        let fraction = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        guard let date = (try? plain.parse(zoned)) ?? (try? fraction.parse(zoned)) else { return nil }
        microseconds = Int64(date.timeIntervalSince1970 * 1_000_000)
    }
}

/// A range of time in the log.
struct TimeOptions: ParsableArguments {
    @Option(
        name: .customLong("since"),
        help: ArgumentHelp("Only from then on: 90s, 15m, 1h, 2d, 1w, or an ISO 8601 time.", valueName: "when"))
    var since: Since?
    @Option(name: .customLong("until"), help: ArgumentHelp("Only before then, as --since.", valueName: "when"))
    var until: Since?

    func validate() throws {
        if let since, let until, since.microseconds >= until.microseconds {
            throw ValidationError("--since must be before --until")
        }
    }
}

/// A span of time as a count and a unit: `90s`, `15m`, `12h`, `2d`, `1w`.
enum TimeSpan {
    private static let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]

    /// nil when the text is no span, or one of more seconds than fit.
    static func seconds(_ text: String) -> Int64? {
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count >= 0,
            case let (seconds, overflow) = count.multipliedReportingOverflow(by: unit), !overflow
        else { return nil }
        return seconds
    }
}

/// Times of the log for people: the local zone's.
enum LocalTime {
    private static let formatter: DateFormatter = {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "MM-dd HH:mm:ss.SSS"
        return formatter
    }()

    static func text(_ microseconds: Int64) -> String {
        formatter.string(from: Date(timeIntervalSince1970: Double(microseconds) / 1_000_000))
    }

    /// Month and day.
    static func day(_ microseconds: Int64) -> String {
        String(text(microseconds).prefix(5))
    }

    /// The hour of the day, two digits.
    static func hour(_ microseconds: Int64) -> String {
        let date = Date(timeIntervalSince1970: Double(microseconds) / 1_000_000)
        let hour = Calendar.current.component(.hour, from: date)
        return hour < 10 ? "0\(hour)" : "\(hour)"
    }
}
