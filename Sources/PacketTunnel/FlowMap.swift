import CBPF
import CTunnel
import Synchronization
public import Wire

/// The kernel's table of flows in full mode: what the programs on the links count, and where a verdict keeps a flow's packets in
/// the kernel.
///
/// Any thread. `lookup`, `allow` and `remove` are one call to the kernel each and allocate nothing.
@safe
public final class FlowMap: @unchecked Sendable {
    /// Keeps the maps.
    private let programs: LinkPrograms
    private let flows: CInt
    private let order: CInt
    private let control: CInt
    private let isFast: Bool
    private let current = Atomic<UInt32>(0)

    init(_ programs: LinkPrograms, fastPath: Bool) throws(CaptureError) {
        self.programs = programs
        flows = try programs.map("flows")
        order = try programs.program(LinkPrograms.order)
        control = try programs.program(LinkPrograms.control)
        isFast = fastPath
        setEpoch(1)
    }

    /// What is known of a flow; `nil` when it is not in the table, as every flow of DNS.
    ///
    /// - Parameter key: in the direction of the flow's first packet.
    public func lookup(_ key: FlowKey) -> FlowRecord? {
        var key = capture_key(key)
        var track = capture_track()
        guard unsafe bpf_map_lookup_elem(flows, &key, &track) == 0 else { return nil }
        return FlowRecord(track, epoch: epoch)
    }

    /// Lets the flow's packets pass in the kernel, in both directions, until the epoch changes. Without the fast path it does
    /// nothing.
    ///
    /// - Returns: false when the flow is not in the table: its next packet comes to user space again.
    @discardableResult
    public func allow(_ key: FlowKey) -> Bool {
        isFast ? send(key, UInt32(CAPTURE_ALLOW.rawValue)) : true
    }

    /// Forgets the flow: its next packet begins a new one.
    public func remove(_ key: FlowKey) {
        _ = send(key, UInt32(CAPTURE_FORGET))
    }

    /// The epoch of the verdicts that hold.
    public var epoch: UInt32 { current.load(ordering: .acquiring) }

    /// Begins another epoch: the next packet of every flow comes to user space, to be judged anew. What was counted stays.
    public func setEpoch(_ epoch: UInt32) {
        current.store(epoch, ordering: .releasing)
        setControl(epoch)
    }

    /// - Parameter epoch: 0 leaves it and only sets the clock of the programs.
    private func setControl(_ epoch: UInt32) {
        var wanted = capture_control(epoch: epoch, reserved: 0, offset: 0)
        _ = unsafe withUnsafeMutablePointer(to: &wanted) { wanted in
            unsafe run(control, wanted, MemoryLayout<capture_control>.size)
        }
    }

    private func send(_ key: FlowKey, _ verdict: UInt32) -> Bool {
        var order = capture_order(key: capture_key(key), verdict: verdict, found: 0)
        return unsafe withUnsafeMutablePointer(to: &order) { order in
            // The kernel copies the answer back to where the order was.
            unsafe run(self.order, order, MemoryLayout<capture_order>.size) && order.pointee.found == 1
        }
    }

    private func run(_ program: CInt, _ context: UnsafeMutableRawPointer, _ size: Int) -> Bool {
        var options = unsafe bpf_test_run_opts()
        unsafe options.sz = MemoryLayout<bpf_test_run_opts>.size
        unsafe options.ctx_in = UnsafeRawPointer(context)
        unsafe options.ctx_size_in = UInt32(size)
        return unsafe bpf_prog_test_run_opts(program, &options) == 0
    }

    /// Goes through all flows, in no order. Flows that begin or end meanwhile may be missed or come twice. Allocates. Sets the
    /// clock of the programs too, which goes by ticks and drifts away from the kernel's by half a millisecond a second at most.
    public func sweep(_ body: (FlowKey, FlowRecord) -> Void) {
        setControl(0)
        let epoch = epoch
        let room = 1024
        var keys = [capture_key](repeating: capture_key(), count: room)
        var tracks = [capture_track](repeating: capture_track(), count: room)
        var (from, to): (UInt32, UInt32) = (0, 0)
        var isFirst = true
        while true {
            var count = UInt32(room)
            let result = unsafe withUnsafeMutablePointer(to: &from) { from in
                unsafe bpf_map_lookup_batch(flows, isFirst ? nil : from, &to, &keys, &tracks, &count, nil)
            }
            guard result == 0 || result == -2 /* ENOENT: the last ones */ else { return }
            for index in 0..<min(Int(count), room) {
                body(FlowKey(keys[index]), FlowRecord(tracks[index], epoch: epoch))
            }
            if result != 0 { return }
            from = to
            isFirst = false
        }
    }
}

extension FlowRecord {
    init(_ track: capture_track, epoch: UInt32) {
        self.init(
            ifindex: track.where.ifindex, isServed: UInt32(track.where.kind) == CAPTURE_SERVED.rawValue,
            isAllowed: UInt32(track.verdict) == CAPTURE_ALLOW.rawValue && track.epoch == epoch, cookie: track.cookie,
            began: track.began, lastSeen: max(track.seen_out, track.seen_in), packetsOut: track.packets_out,
            bytesOut: track.bytes_out,
            packetsIn: track.packets_in, bytesIn: track.bytes_in, ends: Ends(rawValue: track.flags))
    }
}

extension capture_key {
    init(_ key: FlowKey) {
        self.init(
            source: words(key.source), destination: words(key.destination), source_port: key.sourcePort.bigEndian,
            destination_port: key.destinationPort.bigEndian, protocol: key.proto, fragment: 0,
            version: key.source.isIPv6 ? 6 : 4)
    }
}

extension FlowKey {
    init(_ key: capture_key) {
        self.init(
            source: address(key.source, isIPv6: key.version == 6), sourcePort: key.source_port.bigEndian,
            destination: address(key.destination, isIPv6: key.version == 6),
            destinationPort: key.destination_port.bigEndian, proto: key.protocol)
    }
}

/// The four words of a key in network byte order, IPv4 mapped.
func words(_ address: IPAddress) -> (UInt32, UInt32, UInt32, UInt32) {
    let high = address.isIPv6 ? address.high : 0
    let low = address.isIPv6 ? address.low : address.low | 0xffff_0000_0000
    return (
        UInt32(truncatingIfNeeded: high >> 32).bigEndian, UInt32(truncatingIfNeeded: high).bigEndian,
        UInt32(truncatingIfNeeded: low >> 32).bigEndian, UInt32(truncatingIfNeeded: low).bigEndian
    )
}

private func address(_ words: (UInt32, UInt32, UInt32, UInt32), isIPv6: Bool) -> IPAddress {
    guard isIPv6 else { return IPAddress(v4: words.3.bigEndian) }
    return IPAddress(
        high: UInt64(words.0.bigEndian) << 32 | UInt64(words.1.bigEndian),
        low: UInt64(words.2.bigEndian) << 32 | UInt64(words.3.bigEndian))
}
