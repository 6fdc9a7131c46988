import CBPF
import CTunnel
import Kernel
import Synchronization
import Wire

/// The prefixes of full mode in the kernel: the longest-prefix-match tries `include` and `exclude`.
///
/// Any thread. Cold path.
final class PrefixMaps: Sendable {
    private struct State {
        var include: [Prefix]
        var exclude: [Prefix]
        var local: [Prefix] = []
        /// What the kernel has.
        var included: Set<Prefix> = []
        var excluded: Set<Prefix> = []
    }

    /// Keeps the maps.
    private let programs: LinkPrograms
    private let include: CInt
    private let exclude: CInt
    private let excludesLocal: Bool
    private let current: Mutex<State>

    init(_ programs: LinkPrograms, _ request: CaptureRequest) throws(CaptureError) {
        self.programs = programs
        include = try programs.map("include")
        exclude = try programs.map("exclude")
        excludesLocal = request.excludesLocalNetworks
        current = Mutex(State(include: request.include, exclude: request.exclude))
        try current.withLock { state throws(CaptureError) in try apply(&state) }
    }

    /// The configured prefixes.
    func set(include: [Prefix], exclude: [Prefix]) throws(CaptureError) {
        try current.withLock { state throws(CaptureError) in
            state.include = include
            state.exclude = exclude
            try apply(&state)
        }
    }

    /// The networks that the machine is on now.
    func follow(_ local: [Prefix]) throws(CaptureError) {
        try current.withLock { state throws(CaptureError) in
            state.local = excludesLocal ? local : []
            try apply(&state)
        }
    }

    private func apply(_ state: inout State) throws(CaptureError) {
        let everything = [Prefix(IPAddress(v4: 0), length: 0), Prefix(IPAddress(high: 0, low: 0), length: 0)]
        try PrefixMaps.change(exclude, &state.excluded, to: Set(state.exclude + state.local))
        try PrefixMaps.change(include, &state.included, to: Set(state.include.isEmpty ? everything : state.include))
    }

    /// Makes a trie what it shall be, additions first.
    private static func change(_ map: CInt, _ now: inout Set<Prefix>, to wanted: Set<Prefix>) throws(CaptureError) {
        for prefix in wanted.subtracting(now) {
            var key = capture_prefix(prefix)
            var value: UInt32 = 1
            let result = unsafe bpf_map_update_elem(map, &key, &value, 0)
            if result < 0 { throw .kernel(KernelError("tell the kernel the prefix \(prefix)", Errno(-result))) }
            now.insert(prefix)
        }
        for prefix in now.subtracting(wanted) {
            var key = capture_prefix(prefix)
            _ = unsafe bpf_map_delete_elem(map, &key)
            now.remove(prefix)
        }
    }
}

extension capture_prefix {
    init(_ prefix: Prefix) {
        let isIPv6 = prefix.address.isIPv6
        self.init(
            bits: UInt32(32 + (isIPv6 ? 0 : 96) + prefix.length), version: isIPv6 ? 6 : 4,
            address: words(prefix.address))
    }
}
