import Foundation
import Glibc
import Kernel
public import Logging

/// Messages on standard error: with the priority prefixes of sd-daemon(3) when the journal reads it, else with the
/// time in UTC and the level.
public struct ConsoleLog: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    private let isJournal: Bool

    public init(level: Logger.Level) {
        logLevel = level
        isJournal = ConsoleLog.isJournal(Environment.value("JOURNAL_STREAM"), descriptor: STDERR_FILENO)
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        var line = ConsoleLog.line(
            event.level, event.message.description, all, time: isJournal ? nil : Clock.unixMicroseconds())
        line.withUTF8 { bytes in
            _ = unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }

    /// - Parameter time: microseconds since 1970; nil: for the journal.
    static func line(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, time: Int64?) -> String {
        let facts = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let text = "\(message)\(facts)"
        guard let time else {
            // A line of its own for each prefix: the journal splits at line ends.
            return text.split(separator: "\n").map { "<\(priority(level))>\($0)\n" }.joined()
        }
        let moment = Date(timeIntervalSince1970: Double(time) / 1_000_000).formatted(.iso8601)
        return "\(moment) \(level): \(text)\n"
    }

    /// The levels of syslog(3).
    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// Whether the descriptor is the stream that `JOURNAL_STREAM` names as `device:inode` (systemd.exec(5)).
    static func isJournal(_ stream: String?, descriptor: CInt) -> Bool {
        var information = stat()
        guard let stream, unsafe fstat(descriptor, &information) == 0 else { return false }
        return stream == "\(information.st_dev):\(information.st_ino)"
    }
}
