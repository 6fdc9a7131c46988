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
        case fullEgressEther = "full_egress_ether"
        case fullEgressBare = "full_egress_bare"
        case fullServedEther = "full_served_ether"
        case fullServedBare = "full_served_bare"
        case fullReturnEther = "full_return_ether"
        case fullReturnBare = "full_return_bare"
        case fullTunIngress = "full_tun_ingress"

        /// The program that takes what leaves by a link, or arrives by a served one.
        static func taking(_ mode: CaptureRequest.Mode, served: Bool, hasEther: Bool) -> Name {
            switch (mode, served, hasEther) {
            case (.dns, false, true): .egressEther
            case (.dns, false, false): .egressBare
            case (.dns, true, true): .ingressEther
            case (.dns, true, false): .ingressBare
            case (.full, false, true): .fullEgressEther
            case (.full, false, false): .fullEgressBare
            case (.full, true, true): .fullServedEther
            case (.full, true, false): .fullServedBare
            }
        }

        /// The program that sees the other direction of the link and counts it.
        static func counting(hasEther: Bool) -> Name { hasEther ? .fullReturnEther : .fullReturnBare }
    }

    /// The programs and maps of full mode, which dns mode does without.
    private static let fullMaps = ["flows", "inbound", "fragments", "include", "exclude", "control"]

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
    let sockets: FlowSockets

    /// Loads the programs for a TUN and a mode.
    init(_ request: CaptureRequest, tun: UInt32) throws(CaptureError) {
        _ = unsafe libbpf_set_print(nil)
        var size = 0
        let bytes = unsafe ctunnel_capture_object(&size)
        guard let object = unsafe bpf_object__open_mem(bytes, size, nil) else {
            throw .programRefused("\(Errno.current())", log: "")
        }
        do throws(CaptureError) {
            let seed = UInt64.random(in: .min ... .max)
            unsafe LinkPrograms.select(object, request)
            try unsafe LinkPrograms.load(
                object, capture_config(tun: tun, mark: request.mark, tick: LinkPrograms.tick, reserved: 0), seed: seed)
            sockets = try CaptureError.unified { try unsafe FlowSockets(object, seed: seed) }
        } catch {
            unsafe bpf_object__close(object)
            throw error
        }
        unsafe self.object = unsafe object
    }

    deinit {
        unsafe bpf_object__close(object)
    }

    /// Leaves out what the mode does not need.
    private static func select(_ object: OpaquePointer, _ request: CaptureRequest) {
        let isFull = request.mode == .full
        var program = unsafe bpf_object__next_program(object, nil)
        while let current = unsafe program {
            let name = unsafe String(cString: bpf_program__name(current))
            // libbpf 1.1 does not know the type of a section named "tc" before it has tried to load it.
            let isRun = name.hasPrefix("flow_")
            if !isRun { unsafe bpf_program__set_type(current, BPF_PROG_TYPE_SCHED_CLS) }
            let belongsToFull = name.hasPrefix("full_") || isRun
            unsafe bpf_program__set_autoload(current, belongsToFull == isFull)
            unsafe program = unsafe bpf_object__next_program(object, current)
        }
        for name in LinkPrograms.fullMaps {
            let map = unsafe bpf_object__find_map_by_name(object, name)
            unsafe bpf_map__set_autocreate(map, isFull)
            if name == "flows" {
                unsafe bpf_map__set_max_entries(map, max(LinkPrograms.leastFlows, request.flowCapacity))
            }
        }
    }

    /// A flow must not be pushed out while its packet waits in the TUN's queue, and the kernel's LRU is a rough one.
    private static let leastFlows = TunDevice.queueLength * 4

    /// The programs that the daemon runs: they change entries of `flows`, and `control`.
    static let order = "flow_order"
    static let control = "flow_control"

    /// Nanoseconds of a jiffy: the coarse clocks go forward by one at a time (clock_getres(2)).
    private static var tick: UInt32 {
        var resolution = timespec()
        let failed = unsafe clock_getres(CLOCK_MONOTONIC_COARSE, &resolution)
        return failed == 0 && resolution.tv_sec == 0 ? UInt32(resolution.tv_nsec) : 0
    }

    /// The descriptor of a map, which lives as long as this value.
    func map(_ name: String) throws(CaptureError) -> CInt {
        let number = unsafe bpf_object__find_map_fd_by_name(object, name)
        guard number >= 0 else { throw .programRefused("they have no map \(name)", log: "") }
        return number
    }

    /// The descriptor of a loaded program, which lives as long as this value.
    func program(_ name: String) throws(CaptureError) -> CInt {
        let number = unsafe bpf_program__fd(bpf_object__find_program_by_name(object, name))
        guard number >= 0 else { throw .programRefused("they have no program \(name)", log: "") }
        return number
    }

    private static func load(
        _ object: OpaquePointer, _ config: capture_config, seed: UInt64
    ) throws(CaptureError) {
        var log = [CChar](repeating: 0, count: 1 << 16)
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

    /// Puts a program on a hook of a link, before any other program there.
    func attach(
        _ name: Name, to ifindex: UInt32, egress: Bool, _ action: String
    ) throws(CaptureError) -> Attachment {
        let program = try program(name.rawValue)
        do {
            return Attachment(try Descriptor(ctunnel_attach(program, ifindex, egress ? 1 : 0), action))
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
            sum.allowed += one.allowed
            sum.inbound += one.inbound
            sum.excluded += one.excluded
        }
    }
}
