internal import Glibc
internal import Kernel
internal import Synchronization

/// The system's log as a place that events are sent to, a datagram each. It never waits; what is not taken is counted.
///
/// Safe from any thread.
public final class EventSocket: Sendable {
    public enum Target: Sendable, Equatable, CustomStringConvertible {
        /// The form of syslog(3), to the socket of this machine's daemon. What listens there, rsyslog's own input for it
        /// above all, takes RFC 5424 apart at the wrong places.
        case local(path: String)
        /// RFC 5424 to a Unix datagram socket or over UDP.
        case syslog(Endpoint)
        /// The journal's own protocol.
        case journal(path: String)

        public static let localSyslog = Target.local(path: "/dev/log")
        public static let localJournal = Target.journal(path: "/run/systemd/journal/socket")

        public var description: String {
            switch self {
            case .localSyslog: "syslog"
            case .localJournal: "journal"
            case .local(let path): "local:\(path)"
            case .syslog(let endpoint): endpoint.description
            case .journal(let path): "journal:\(path)"
            }
        }
    }

    private struct State: ~Copyable {
        var socket: OutgoingSocket?
        var dropped = 0
        var sent = 0
    }

    public let target: Target
    private let mark: UInt32
    private let host: String
    private let state = Mutex(State())

    /// - Parameter mark: `SO_MARK` of a UDP socket.
    public init(_ target: Target, host: String, mark: UInt32) {
        self.target = target
        self.host = host
        self.mark = mark
    }

    public var dropped: Int { state.withLock { $0.dropped } }
    public var sent: Int { state.withLock { $0.sent } }

    /// Sends the event. Returns false when nobody takes it now.
    @discardableResult
    public func send(_ event: Event) -> Bool {
        let bytes =
            switch target {
            case .local: EventMessage.local(event, process: getpid())
            case .syslog: EventMessage.syslog(event, host: host, process: getpid())
            case .journal: EventMessage.journal(event)
            }
        return state.withLock { state in
            // A log that was started anew has another socket at the same path.
            for _ in 0..<2 {
                if state.socket == nil { state.socket = open() }
                guard let count = state.socket?.send(bytes[...]) else { break }
                if count >= 0 {
                    state.sent += 1
                    return true
                }
                if count == -Int(EAGAIN) || count == -Int(EMSGSIZE) { break }
                state.socket = nil
            }
            state.dropped += 1
            return false
        }
    }

    private func open() -> OutgoingSocket? {
        let endpoint =
            switch target {
            case .syslog(let endpoint): endpoint
            case .local(let path), .journal(let path): Endpoint.unix(path)
            }
        return try? OutgoingSocket(endpoint, isStream: false, mark: mark)
    }
}
