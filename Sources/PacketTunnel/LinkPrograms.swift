import CBPF
import CTunnel
import Glibc
import Kernel

/// The BPF programs of the link back end, loaded, with their maps. They live as long as the value.
///
/// Cold path; one thread at a time.
@safe
final class LinkPrograms: @unchecked Sendable {
    enum Name: String {
        case egressEther = "egress_ether"
        case egressBare = "egress_bare"
        case ingressEther = "ingress_ether"
        case ingressBare = "ingress_bare"
        case tunIngress = "tun_ingress"
    }

    /// One program on one hook; detached when the last reference goes.
    final class Attachment: Sendable {
        private let link: Descriptor

        fileprivate init(_ link: consuming Descriptor) {
            self.link = link
        }

        /// The ifindex of the device, 0 when it is gone.
        var ifindex: UInt32 { UInt32(max(0, ctunnel_attached(link.number))) }
    }

    private let object: OpaquePointer
    let flows: FlowSockets

    /// Loads the programs for a TUN. `mark`: packets that carry it pass.
    init(tun: UInt32, mark: UInt32) throws(CaptureError) {
        _ = unsafe libbpf_set_print(nil)
        var size = 0
        let bytes = unsafe ctunnel_capture_object(&size)
        guard let object = unsafe bpf_object__open_mem(bytes, size, nil) else {
            throw .programRefused("\(Errno.current())", log: "")
        }
        do throws(CaptureError) {
            let seed = UInt64.random(in: .min ... .max)
            try unsafe LinkPrograms.load(object, capture_config(tun: tun, mark: mark, reserved: (0, 0)), seed: seed)
            flows = try CaptureError.unified { try unsafe FlowSockets(object, seed: seed) }
        } catch {
            unsafe bpf_object__close(object)
            throw error
        }
        unsafe self.object = unsafe object
    }

    deinit {
        unsafe bpf_object__close(object)
    }

    private static func load(
        _ object: OpaquePointer, _ config: capture_config, seed: UInt64
    ) throws(CaptureError) {
        var log = [CChar](repeating: 0, count: 1 << 16)
        // libbpf 1.1 does not know the type of a section named "tc" before it has tried to load it.
        var program = unsafe bpf_object__next_program(object, nil)
        while let current = unsafe program {
            unsafe bpf_program__set_type(current, BPF_PROG_TYPE_SCHED_CLS)
            unsafe program = unsafe bpf_object__next_program(object, current)
        }
        let map = unsafe bpf_object__find_map_by_name(object, ".rodata.config")
        let set = unsafe withUnsafePointer(to: config) {
            unsafe bpf_map__set_initial_value(map, $0, MemoryLayout<capture_config>.size)
        }
        guard set == 0, unsafe FlowSockets.setSeed(seed, of: object) == 0 else {
            throw .programRefused("no configuration in them: \(Errno(-set))", log: "")
        }
        let loaded = unsafe log.withUnsafeMutableBufferPointer { room in
            var current = unsafe bpf_object__next_program(object, nil)
            while let program = unsafe current {
                unsafe bpf_program__set_log_buf(program, room.baseAddress, room.count)
                unsafe current = unsafe bpf_object__next_program(object, program)
            }
            return unsafe bpf_object__load(object)
        }
        switch -loaded {
        case 0: return
        case EPERM, EACCES: throw .noRights("load the capture programs")
        default:
            let text = String(decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let end = text.split(separator: "\n").suffix(8).joined(separator: "\n")
            throw .programRefused("\(Errno(-loaded))", log: end)
        }
    }

    /// Puts a program on the hook of its kind, before any other program there.
    func attach(_ name: Name, to ifindex: UInt32, _ action: String) throws(CaptureError) -> Attachment {
        let program = unsafe bpf_program__fd(bpf_object__find_program_by_name(object, name.rawValue))
        let egress: CInt = name == .egressEther || name == .egressBare ? 1 : 0
        do {
            return Attachment(try Descriptor(ctunnel_attach(program, ifindex, egress), action))
        } catch {
            throw .from(error)
        }
    }

    /// The sums over all processors.
    var counters: CaptureCounters {
        let map = unsafe bpf_object__find_map_fd_by_name(object, "counters")
        var key: UInt32 = 0
        var each = [capture_counters](repeating: capture_counters(), count: Int(max(1, libbpf_num_possible_cpus())))
        guard unsafe bpf_map_lookup_elem(map, &key, &each) == 0 else { return CaptureCounters() }
        return each.reduce(into: CaptureCounters()) { sum, one in
            sum.captured += one.captured
            sum.served += one.served
            sum.replied += one.replied
            sum.forwarded += one.forwarded
            sum.local += one.local
            sum.passed += one.passed
            sum.fragments += one.fragments
            sum.errors += one.errors
        }
    }
}
