import Glibc
import Kernel

/// The service manager that started the process, told of its state with datagrams (sd_notify(3)).
struct ServiceManager: Sendable {
    private let address: UnixAddress
    /// How often the manager wants to hear `WATCHDOG=1`, in nanoseconds; nil: never. Half of what it allows
    /// (sd_watchdog_enabled(3)).
    let watchdogInterval: UInt64?

    /// Nil when no manager listens.
    ///
    /// - Throws: `KernelError` when `NOTIFY_SOCKET` is no address of a Unix socket.
    init?(environment: (String) -> String? = Environment.value) throws(KernelError) {
        guard let path = environment("NOTIFY_SOCKET"), !path.isEmpty else { return nil }
        address = try UnixAddress(path)
        let isMeant = environment("WATCHDOG_PID").map { $0 == String(getpid()) } ?? true
        let allowed = environment("WATCHDOG_USEC").flatMap(UInt64.init) ?? 0
        watchdogInterval = isMeant && allowed > 0 && allowed < 1 << 50 ? allowed * 500 : nil
    }

    /// Sends assignments, one a line: `READY=1`, `STATUS=…`.
    func notify(_ assignments: String...) throws(KernelError) {
        let number = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        let descriptor = try Descriptor(number, "open a socket to the service manager")
        let message = Array(assignments.joined(separator: "\n").utf8)
        let count = unsafe message.withUnsafeBytes { bytes in
            unsafe address.withSockaddr { pointer, length in
                unsafe sendto(
                    descriptor.number, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL), pointer, length)
            }
        }
        guard count == message.count else { throw KernelError("tell the service manager") }
    }
}

/// The environment of the process.
enum Environment {
    static func value(_ name: String) -> String? {
        guard let text = unsafe getenv(name) else { return nil }
        return unsafe String(cString: text)
    }
}
