import Foundation
import Kernel

/// One change of the system that outlives the process, with its undo.
enum Change: Codable, Equatable, Sendable {
    case rule(Rule)
    case route(TunRoute)
    /// A setting of the TUN itself, below `/proc/sys/net`; gone with the TUN.
    case setting(path: String, value: String)
    /// A setting of the machine, below `/proc/sys/net`, and what it was.
    case switching(path: String, value: String, old: String)
    /// A strict reverse-path filter of a link made loose. The kernel looks the reverse path of a reply from port 53 up with
    /// the ports swapped, so the rules that divert DNS answer it, and a strict filter would drop what upstreams reply.
    case loosen(link: String)
    /// The table of nftables that keeps the packets of allowed flows in the kernel. `TrackedFlows` makes it, as it belongs to
    /// a socket.
    case tracking(TrackingTable)

    /// As a person would type it.
    var command: String {
        switch self {
        case .rule(let rule): rule.command("add")
        case .route(let route): route.command("replace")
        case .setting(let path, let value), .switching(let path, let value, _): Change.sysctl(path, value)
        case .loosen(let link): "sysctl net.ipv4.conf.\(link).rp_filter=2"
        case .tracking(let table): table.command
        }
    }

    /// The command that takes it back.
    var undo: String {
        switch self {
        case .rule(let rule): rule.command("del")
        case .route(let route): route.command("del")
        case .setting: Step.byItself
        case .switching(let path, _, let old): Change.sysctl(path, old)
        case .loosen(let link): "sysctl net.ipv4.conf.\(link).rp_filter=1"
        case .tracking: TrackingTable.undo
        }
    }

    func apply(_ netlink: inout NetlinkSocket) throws(KernelError) {
        switch self {
        case .rule(let rule): try rule.apply(&netlink)
        case .route(let route): try route.apply(&netlink)
        case .setting(let path, let value), .switching(let path, let value, _):
            try Change.write(value, to: Change.settings + path)
        case .loosen(let link): try Change.write("2", to: ReversePath.setting(link))
        case .tracking: break
        }
    }

    /// Takes the change back. A thing that is no longer there is fine.
    func revert(_ netlink: inout NetlinkSocket) throws(KernelError) {
        do {
            switch self {
            case .rule(let rule): try rule.revert(&netlink)
            case .route(let route): try route.revert(&netlink)
            case .setting: break
            case .switching(let path, _, let old): try Change.write(old, to: Change.settings + path)
            case .loosen(let link): try Change.write("1", to: ReversePath.setting(link))
            case .tracking: try TrackingTable.remove()
            }
        } catch  where [ENOENT, ESRCH, ENODEV].contains(error.errno.code) {
            return
        }
    }

    static let settings = "/proc/sys/net/"

    /// The name of a link may have dots: then the places are told apart by slashes, as sysctl(8) allows.
    private static func sysctl(_ path: String, _ value: String) -> String {
        path.contains(".") ? "sysctl net/\(path)=\(value)" : "sysctl net.\(path.replacing("/", with: "."))=\(value)"
    }

    /// What a file says, without the line's end; `nil` when it cannot be read.
    static func read(_ path: String) -> String? {
        try? String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    static func write(_ value: String, to path: String) throws(KernelError) {
        let file = try Descriptor(unsafe open(path, O_WRONLY | O_CLOEXEC), "open \(path)")
        var value = value
        let count = value.withUTF8 { unsafe file.write(UnsafeRawBufferPointer($0)) }
        if count < 0 { throw KernelError("write \(path)", Errno(CInt(-count))) }
    }
}
