import CBPF
import CTunnel
import Kernel
import Wire

/// Which socket of this machine a flow is from: the table `owner_flows`, which a BPF program fills where packets leave.
/// Any thread.
@safe
public final class FlowSockets: Sendable {
    private let map: MappedMap
    /// What the hash of a tuple begins with, so that nobody outside can choose tuples that share a place.
    private let seed: UInt64

    /// - Parameter object: loaded; with the map `owner_flows`.
    init(_ object: OpaquePointer, seed: UInt64) throws(KernelError) {
        let descriptor = unsafe bpf_object__find_map_fd_by_name(object, "owner_flows")
        map = try MappedMap(
            descriptor, byteCount: OWNER_FLOWS * MemoryLayout<owner_flow>.stride, "owner_flows")
        self.seed = seed
    }

    /// Fixes the seed of an object's programs, before they are loaded.
    static func setSeed(_ seed: UInt64, of object: OpaquePointer) -> CInt {
        let map = unsafe bpf_object__find_map_by_name(object, ".rodata.owner")
        let value = (seed, UInt64(0))
        return unsafe withUnsafePointer(to: value) {
            unsafe bpf_map__set_initial_value(map, $0, MemoryLayout<(UInt64, UInt64)>.size)
        }
    }

    func hash(_ flow: FlowKey) -> UInt64 { flow.ownerHash(seed: seed) }

    /// The cookie of the socket, 0 when there is none: the packet was forwarded for another machine, or the flow is so long
    /// ago that another one has taken its place. No system call, no allocation.
    func cookie(_ hash: UInt64) -> UInt64 { unsafe ctunnel_owner_flow(map.base, hash) }
}

extension FlowKey {
    /// The hash of `owner.h`.
    func ownerHash(seed: UInt64) -> UInt64 {
        owner_hash(
            seed, source.high, source.low, destination.high, destination.low,
            UInt32(sourcePort) << 16 | UInt32(destinationPort), proto)
    }
}
