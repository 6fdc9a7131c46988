public import Kernel

/// What keeps the tunnel or a capture from working, said so that the reader knows what to do.
public enum CaptureError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no `/dev/net/tun`.
    case noTunDriver
    /// The call needs rights that the process lacks.
    case noRights(String)
    /// The kernel has no TCX, and the `link` back end was asked for.
    case noTCX
    /// A network device of this name exists.
    case deviceInUse(String)
    /// No network device can have this name.
    case badDeviceName(String)
    /// The routing table, or a place of the capture's rules, is used by somebody else. `what`: the rule or route found.
    case tableInUse(UInt32, what: String)
    /// The kernel refused the BPF programs. `log`: the end of the verifier's log.
    case programRefused(String, log: String)
    /// The journal of changes cannot be read or written.
    case journal(path: String, reason: String)
    /// Any other failing call.
    case kernel(KernelError)

    public var description: String {
        switch self {
        case .noTunDriver:
            "/dev/net/tun is missing: load the driver with `modprobe tun`; in a container, start it with "
                + "`--device /dev/net/tun`"
        case .noRights(let action):
            "\(action): not permitted: run as root, or with the capabilities CAP_NET_ADMIN and CAP_BPF"
        case .noTCX:
            "capture `link` needs TCX, which this kernel lacks (Linux 6.6 has it): use `--capture route`, or `auto`"
        case .deviceInUse(let name):
            "the network device \(name) is in use: stop the program that owns it (another webtun?), remove it "
                + "(`webtun cleanup`, or `ip link delete \(name)`), or configure "
                + "another device name"
        case .badDeviceName(let name):
            "`\(name)` cannot name a network device: 1 to 15 characters, no space and no `/`"
        case .tableInUse(let table, let what):
            "table or rule in use: routing table \(table) is not free (\(what)): configure another table, or run "
                + "`webtun cleanup` if a webtun that died left it"
        case .programRefused(let reason, let log):
            "the kernel refuses the capture programs: \(reason)" + (log.isEmpty ? "" : "\n\(log)")
        case .journal(let path, let reason):
            "\(path): \(reason)"
        case .kernel(let error):
            error.description
        }
    }

    /// Gives `EPERM` and `EACCES` their own case.
    static func from(_ error: KernelError) -> CaptureError {
        error.errno.code == 1 || error.errno.code == 13 ? .noRights(error.action) : .kernel(error)
    }

    /// Runs `body`, giving its errors the form of this type.
    static func unified<Value>(_ body: () throws -> Value) throws(CaptureError) -> Value {
        do {
            return try body()
        } catch let error as CaptureError {
            throw error
        } catch let error as KernelError {
            throw .from(error)
        } catch {
            throw .kernel(KernelError("\(error)", Errno(5)))
        }
    }
}
