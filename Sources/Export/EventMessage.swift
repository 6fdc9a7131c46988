internal import Glibc

/// Something that happened, told to the system's log. A value; any thread.
public struct Event: Sendable, Equatable {
    /// Severities of syslog (RFC 5424, section 6.2.1).
    public enum Severity: Int, Sendable, CaseIterable {
        case emergency, alert, critical, error, warning, notice, information, debug
    }

    public var severity: Severity
    /// Microseconds since 1970 in UTC.
    public var time: Int64
    /// One line for people.
    public var text: String
    /// What it is about: names of lower case letters, digits and `_`.
    public var facts: [(name: String, value: String)]

    public init(_ severity: Severity, time: Int64, _ text: String, facts: [(name: String, value: String)] = []) {
        self.severity = severity
        self.time = time
        self.text = text
        self.facts = facts
    }

    public static func == (first: Event, second: Event) -> Bool {
        first.severity == second.severity && first.time == second.time && first.text == second.text
            && first.facts.elementsEqual(second.facts) { $0.name == $1.name && $0.value == $1.value }
    }
}

/// Events as datagrams.
enum EventMessage {
    /// A message of RFC 5424: facility daemon, structured data with the facts.
    ///
    /// - Parameter host: without spaces; at most 255 characters count.
    static func syslog(_ event: Event, host: String, process: Int32) -> [UInt8] {
        let priority = 3 << 3 | event.severity.rawValue
        var text = "<\(priority)>1 \(timestamp(event.time)) \(printable(host, 255)) webtun \(process) - "
        if event.facts.isEmpty {
            text += "-"
        } else {
            // Without an enterprise number of its own, the name is under the number for examples (RFC 5612).
            text += "[webtun@32473"
            for fact in event.facts { text += " \(fact.name)=\"\(escaped(fact.value))\"" }
            text += "]"
        }
        // The mark says that the text is UTF-8.
        return Array((text + " ").utf8) + [0xef, 0xbb, 0xbf] + Array(oneLine(event.text).utf8)
    }

    /// A message as syslog(3) sends it (RFC 3164, section 4.1, without a host), facility daemon: local time, the facts behind
    /// the text.
    static func local(_ event: Event, process: Int32) -> [UInt8] {
        let priority = 3 << 3 | event.severity.rawValue
        var seconds = time_t(event.time / 1_000_000)
        var parts = unsafe tm()
        _ = unsafe localtime_r(&seconds, &parts)
        var stamp = [CChar](repeating: 0, count: 32)
        // Month names are English in a program that never calls setlocale(3).
        let count = unsafe strftime(&stamp, stamp.count, "%b %e %H:%M:%S", &parts)
        let time = String(decoding: stamp[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        let facts = event.facts.map { " \($0.name)=\(quoted($0.value))" }.joined()
        return Array("<\(priority)>\(time) webtun[\(process)]: \(oneLine(event.text))\(facts)".utf8)
    }

    /// In quotes when it holds a space, a quote or nothing.
    private static func quoted(_ value: String) -> String {
        let line = oneLine(value)
        let isPlain = !line.isEmpty && !line.contains { $0 == " " || $0 == "\"" || $0 == "\\" }
        return isPlain ? line : "\"" + line.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// A message of the journal's own protocol (systemd, "Native Journal Protocol"): assignments, one a line; a value with a
    /// line end follows its name in 8 bytes of length and as it is.
    static func journal(_ event: Event) -> [UInt8] {
        var bytes: [UInt8] = []
        func add(_ name: String, _ value: String) {
            bytes += Array(name.utf8)
            if value.utf8.contains(0x0a) {
                let count = UInt64(value.utf8.count)
                bytes.append(0x0a)
                for shift in stride(from: 0, to: 64, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: count >> UInt64(shift)))
                }
            } else {
                bytes.append(UInt8(ascii: "="))
            }
            bytes += Array(value.utf8)
            bytes.append(0x0a)
        }
        add("MESSAGE", event.text)
        add("PRIORITY", "\(event.severity.rawValue)")
        add("SYSLOG_FACILITY", "3")
        add("SYSLOG_IDENTIFIER", "webtun")
        for fact in event.facts { add("WEBTUN_" + fact.name.uppercased(), fact.value) }
        return bytes
    }

    /// `2026-01-02T03:04:05.678901Z`
    static func timestamp(_ time: Int64) -> String {
        // Days to a date as H. Hinnant's chrono-compatible algorithms do it ("civil_from_days").
        let seconds = time / 1_000_000
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let day = days % 146_097
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let inYear = day - (365 * year + year / 4 - year / 100)
        let shifted = (5 * inYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        func pad(_ value: Int64, _ width: Int) -> String {
            let digits = "\(value)"
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        return "\(pad(year + era * 400 + (month <= 2 ? 1 : 0), 4))-\(pad(month, 2))-"
            + "\(pad(inYear - (153 * shifted + 2) / 5 + 1, 2))T\(pad(seconds / 3600 % 24, 2)):\(pad(seconds / 60 % 60, 2)):"
            + "\(pad(seconds % 60, 2)).\(pad(time % 1_000_000, 6))Z"
    }

    /// Printable ASCII without spaces (RFC 5424, PRINTUSASCII), `-` for nothing.
    private static func printable(_ text: String, _ limit: Int) -> String {
        let bytes = text.utf8.filter { $0 > 0x20 && $0 < 0x7f }.prefix(limit)
        return bytes.isEmpty ? "-" : String(decoding: bytes, as: UTF8.self)
    }

    /// A parameter's value: `"`, `\` and `]` get a `\` before them (RFC 5424, section 6.3.3).
    private static func escaped(_ value: String) -> String {
        var text = ""
        for character in oneLine(value).unicodeScalars {
            if character == "\"" || character == "\\" || character == "]" { text += "\\" }
            text.unicodeScalars.append(character)
        }
        return text
    }

    private static func oneLine(_ text: String) -> String {
        text.replacing("\r", with: " ").replacing("\n", with: " ")
    }
}
