import CTunnel
public import Kernel
public import Wire

/// Finds who sent a packet, on the packet's thread: a few loads from the kernel's tables, no system call, no lock, no
/// allocation. A thread has its own.
@safe
public struct OwnerLookup: Sendable {
    private let flows: FlowSockets?
    private let hooks: OwnerHooks?
    private let finder: OwnerFinder
    /// The programs of processes seen lately, by the lower bits of the pid.
    private var programs = [Program](repeating: Program(), count: 256)

    private struct Program {
        var pid: UInt32 = 0
        var program: UInt64 = 0
        var path: UInt64 = 0
        var name: UInt64 = 0
    }

    init(flows: FlowSockets?, hooks: OwnerHooks?, finder: OwnerFinder) {
        self.flows = flows
        self.hooks = hooks
        self.finder = finder
    }

    /// Who sends the packets of a flow.
    ///
    /// Of a socket that the hooks have not seen, nothing is known at first: the question is put to a thread that looks it up,
    /// and `Owners.found` and later calls have the answer.
    ///
    /// - Parameters:
    ///   - flow: in the direction of its first packet.
    ///   - now: nanoseconds on the monotonic clock.
    ///   - patience: nanoseconds to wait for what has to be looked up.
    public mutating func owner(of flow: FlowKey, now: UInt64, patience: UInt64 = 0) -> Owner {
        var cookie: UInt64 = 0
        if let flows {
            cookie = flows.cookie(flows.hash(flow))
            // Forwarded for another machine or container.
            if cookie == 0 { return .unknown }
            if let hooks, let owner = owner(cookie, hooks) { return owner }
        }
        return finder.owner(flow, cookie: cookie, now: now, patience: patience)
    }

    /// Who used the socket with this cookie last, when the hooks have seen it.
    public mutating func owner(cookie: UInt64) -> Owner? {
        hooks.flatMap { owner(cookie, $0) }
    }

    private mutating func owner(_ cookie: UInt64, _ hooks: OwnerHooks) -> Owner? {
        var socket = owner_socket()
        guard hooks.find(socket: cookie, &socket) else { return nil }
        let place = Int(socket.pid & 255)
        if programs[place].pid != socket.pid || programs[place].program != socket.program {
            var copy = owner_program()
            // A path that is being written is known the next time.
            let hashes = hooks.find(programOf: &socket, &copy) ? OwnerLookup.hashes(copy) : nil
            guard let (path, name) = hashes else {
                return Owner(
                    uid: Int32(bitPattern: socket.uid), pid: Int32(bitPattern: socket.pid), certainty: .exact)
            }
            programs[place] = Program(pid: socket.pid, program: socket.program, path: path, name: name)
        }
        return Owner(
            uid: Int32(bitPattern: socket.uid), pid: Int32(bitPattern: socket.pid), path: programs[place].path,
            name: programs[place].name, certainty: .exact)
    }

    /// The hashes of a path and of its last component; of a path whose beginning is missing, of the latter only.
    private static func hashes(_ program: owner_program) -> (UInt64, UInt64) {
        program.withPath { path, isWhole in
            var start = path.byteCount
            while start > 0, path.u8(start - 1) != UInt8(ascii: "/") { start -= 1 }
            if path.byteCount == 0 || (start == 0 && !isWhole) { return (0, 0) }
            return (isWhole ? Owner.hash(path) : 0, Owner.hash(path.extracting(start...)))
        }
    }
}
