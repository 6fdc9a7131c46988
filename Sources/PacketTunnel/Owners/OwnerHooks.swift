import CBPF
import CTunnel
import Glibc
import Kernel

/// The programs of `owners.bpf.c` on a cgroup and everything below it. They look on and change nothing; the kernel takes them
/// off when the value or the process ends, however it ends. Any thread.
@safe
final class OwnerHooks: @unchecked Sendable {
    private let object: OpaquePointer
    private var links: [OwnerLink] = []
    private let sockets: MappedMap
    private let programs: MappedMap
    /// Filled by the program `leaving`; nil when another program sees packets leave.
    let flows: FlowSockets?

    /// Why the hooks cannot be had, for people.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// One program on the cgroup; detached when the last reference goes.
    @safe
    private final class OwnerLink {
        private let link: OpaquePointer

        init(_ link: OpaquePointer) { unsafe self.link = unsafe link }

        deinit { _ = unsafe bpf_link__destroy(link) }
    }

    /// - Parameters:
    ///   - cgroup: the directory of a cgroup of version 2.
    ///   - tun: the TUN whose packets' sockets are to be noted; nil when another program does that.
    init(cgroup: String, tun: UInt32?) throws {
        let directory = try OwnerHooks.open(cgroup)
        _ = unsafe libbpf_set_print(nil)
        var size = 0
        let bytes = unsafe ctunnel_owners_object(&size)
        guard let object = unsafe bpf_object__open_mem(bytes, size, nil) else {
            throw Failure(description: "the programs cannot be read: \(Errno.current())")
        }
        do {
            let seed = UInt64.random(in: .min ... .max)
            try unsafe OwnerHooks.load(object, tun: tun, seed: seed)
            sockets = try MappedMap(
                unsafe bpf_object__find_map_fd_by_name(object, "owner_sockets"),
                byteCount: OWNER_SOCKETS * MemoryLayout<owner_socket>.stride, "owner_sockets")
            programs = try MappedMap(
                unsafe bpf_object__find_map_fd_by_name(object, "owner_programs"),
                byteCount: OWNER_PROGRAMS * MemoryLayout<owner_program>.stride, "owner_programs")
            flows = tun == nil ? nil : try unsafe FlowSockets(object, seed: seed)
        } catch {
            unsafe bpf_object__close(object)
            throw error
        }
        unsafe self.object = unsafe object
        var next = unsafe bpf_object__next_program(object, nil)
        while let program = unsafe next {
            unsafe next = unsafe bpf_object__next_program(object, program)
            guard unsafe bpf_program__autoload(program) else { continue }
            guard let link = unsafe bpf_program__attach_cgroup(program, directory.number) else {
                throw Failure(description: "\(cgroup): the programs cannot be attached: \(Errno.current())")
            }
            links.append(unsafe OwnerLink(link))
        }
    }

    deinit {
        links = []
        unsafe bpf_object__close(object)
    }

    private static func open(_ cgroup: String) throws(KernelError) -> Descriptor {
        try Descriptor(unsafe Glibc.open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open \(cgroup)")
    }

    private static func load(_ object: OpaquePointer, tun: UInt32?, seed: UInt64) throws(Failure) {
        let setSeed = unsafe FlowSockets.setSeed(seed, of: object)
        let number = (tun ?? 0, UInt32(0))
        let setTun = unsafe withUnsafePointer(to: number) {
            unsafe bpf_map__set_initial_value(bpf_object__find_map_by_name(object, ".rodata.tun"), $0, 8)
        }
        if tun == nil {
            _ = unsafe bpf_program__set_autoload(bpf_object__find_program_by_name(object, "leaving"), false)
        }
        guard setSeed == 0, setTun == 0 else { throw Failure(description: "the programs have no configuration") }
        let loaded = unsafe bpf_object__load(object)
        guard loaded == 0 else {
            throw Failure(
                description: "the kernel refuses the programs (they need Linux 5.17, its type information in "
                    + "/sys/kernel/btf, and root): \(Errno(-loaded))")
        }
    }

    /// The process that used the socket last; false when it is not known. No system call, no allocation.
    func find(socket cookie: UInt64, _ copy: inout owner_socket) -> Bool {
        unsafe ctunnel_owner_socket(sockets.base, cookie, &copy) != 0
    }

    /// The program that the process used the socket with; false when it is not known. No system call, no allocation.
    func find(programOf socket: inout owner_socket, _ copy: inout owner_program) -> Bool {
        unsafe ctunnel_owner_program(programs.base, &socket, &copy) != 0
    }

    /// The path with this hash of a program that the process has run.
    func path(pid: UInt32, hash: UInt64) -> String? {
        var place: UInt32 = 0
        var copy = owner_program()
        while unsafe ctunnel_owner_next(programs.base, pid, &place, &copy) != 0 {
            let text = copy.withPath { path, isWhole in
                isWhole && Owner.hash(path) == hash
                    ? unsafe path.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) } : nil
            }
            if let text { return text }
        }
        return nil
    }
}

extension owner_program {
    /// Calls `body` with the path, or with its end when `isWhole` is false; empty when it is not known.
    func withPath<Result>(_ body: (_ path: RawSpan, _ isWhole: Bool) -> Result) -> Result {
        let room = OWNER_PATH
        let count = min(Int(length), room)
        var path = path
        return unsafe withUnsafeBytes(of: &path) { bytes in
            unsafe body(UnsafeRawBufferPointer(rebasing: bytes[(room - count)...]).bytes, Int(length) <= room)
        }
    }
}
