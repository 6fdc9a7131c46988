import Export
import Kernel
import Logging

/// Sends messages to the system's log; those that it does not take go where they went before.
struct EventLog: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    private let socket: EventSocket
    private let fallback: any LogHandler

    init(_ socket: EventSocket, fallback: any LogHandler) {
        self.socket = socket
        self.fallback = fallback
        logLevel = fallback.logLevel
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let facts = all.sorted { $0.key < $1.key }
            .map { (name: EventLog.name($0.key), value: "\($0.value)") }
        let sent = socket.send(
            Event(
                EventLog.severity(event.level), time: Clock.unixMicroseconds(), event.message.description, facts: facts)
        )
        if !sent { fallback.log(event: event) }
    }

    /// What both protocols take as a name.
    private static func name(_ key: String) -> String {
        String(key.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    private static func severity(_ level: Logger.Level) -> Event.Severity {
        switch level {
        case .trace, .debug: .debug
        case .info: .information
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}
