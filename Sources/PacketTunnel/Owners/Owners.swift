import CTunnel
import Foundation
public import Kernel
public import Wire

/// Who sends the packets of this machine: which user, process and program.
///
/// Where the machine has cgroups of version 2, BPF programs there note the process in its own system calls, so that it is known
/// however short it lives; what they have not seen, and on other machines everything, is looked up with sock_diag(7) and
/// /proc. Any thread.
public final class Owners: Sendable {
    /// Where the hooks go.
    public enum Cgroup: Sendable, Equatable {
        /// To the root of the hierarchy, when there is one.
        case auto
        /// Nowhere: everything is looked up.
        case none
        /// To this directory: processes in it and below are known.
        case path(String)
    }

    private let hooks: OwnerHooks?
    private let flows: FlowSockets?
    private let finder: OwnerFinder
    private let texts = ProgramTexts()
    /// Why there are no hooks, for people; nil: there are.
    public let problem: String?

    /// Attaches the hooks, and starts the thread that looks up.
    ///
    /// - Parameter capture: that of this machine's packets.
    /// - Throws: `KernelError` when not even looking up is possible. Hooks that cannot be had are a `problem` only.
    public init(_ cgroup: Cgroup, capture: any Capture, tun: UInt32) throws(KernelError) {
        finder = try OwnerFinder(texts: texts)
        guard let directory = Owners.directory(cgroup) else {
            hooks = nil
            flows = capture.flowSockets
            problem = cgroup == .none ? "switched off" : "there is no cgroup of version 2"
            return
        }
        do {
            let hooks = try OwnerHooks(cgroup: directory, tun: capture.flowSockets == nil ? tun : nil)
            self.hooks = hooks
            flows = capture.flowSockets ?? hooks.flows
            problem = nil
        } catch {
            hooks = nil
            flows = capture.flowSockets
            problem = "\(error)"
        }
    }

    deinit {
        finder.stop()
    }

    private static func directory(_ cgroup: Cgroup) -> String? {
        switch cgroup {
        case .auto: PacketTunnel.Cgroup.root()
        case .path(let path): path
        case .none: nil
        }
    }

    /// What attaching the hooks would do now, for `--dry-run`.
    public static func steps(_ cgroup: Cgroup, _ backEnd: CaptureRequest.BackEnd) -> [Step] {
        guard let directory = directory(cgroup) else { return [] }
        var hooks = [
            ("cgroup_inet_sock_create", "created"), ("cgroup_inet4_connect", "connect4"),
            ("cgroup_inet6_connect", "connect6"), ("cgroup_udp4_sendmsg", "sendmsg4"),
            ("cgroup_udp6_sendmsg", "sendmsg6"),
        ]
        if backEnd == .route { hooks.append(("cgroup_inet_egress", "leaving")) }
        return hooks.map { Step("bpftool cgroup attach \(directory) \($0.0) name \($0.1) multi") }
    }

    /// For a packet thread.
    public func lookup() -> OwnerLookup { OwnerLookup(flows: flows, hooks: hooks, finder: finder) }

    /// What the thread has found meanwhile of a flow whose owner was not known at once.
    public func found(_ flow: FlowKey) -> Owner { finder.found(flow) ?? .unknown }

    /// The path of an owner's program; nil when it is not known. Not for the packets' thread.
    public func program(of owner: Owner) -> String? {
        guard owner.path != 0 else { return nil }
        if let text = texts.text(owner.path) { return text }
        if let path = hooks?.path(pid: UInt32(bitPattern: owner.pid), hash: owner.path) {
            _ = texts.note(path)
            return path
        }
        // Another process has taken its place in the table.
        guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(owner.pid)/exe"),
            Owner.hash(of: path) == owner.path
        else { return nil }
        _ = texts.note(path)
        return path
    }
}

extension Capture {
    /// Filled by the capture itself where it sees packets leave.
    public var flowSockets: FlowSockets? { nil }
}
