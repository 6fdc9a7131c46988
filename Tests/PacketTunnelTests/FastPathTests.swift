import CBPF
import CTunnel
import TestPackets
import Testing
import Wire

@testable import PacketTunnel

/// The programs of full mode, run one packet at a time by the kernel (`BPF_PROG_TEST_RUN`), attached nowhere.
@Suite("The fast path")
struct FastPathTests {
    /// A packet behind its Ethernet header, as a program meets it.
    private struct Arrival {
        var packet: [UInt8]
        /// Of IP and of TCP or UDP, bytes.
        var headers: Int
        /// 0: no super-packet.
        var segment: Int
        var isOut: Bool
        var ends: FlowRecord.Ends

        /// What is on the wire, cut up byte by byte as segmentation offload does.
        var wire: (packets: UInt64, bytes: UInt64) {
            var rest = packet.count - headers
            var (packets, bytes) = (0, 0)
            repeat {
                let part = segment == 0 ? rest : min(segment, rest)
                packets += 1
                bytes += headers + part
                rest -= part
            } while rest > 0
            return (UInt64(packets), UInt64(bytes))
        }
    }

    private struct Flow {
        var near: String
        var far: String
        var isTCP: Bool

        var key: FlowKey {
            FlowKey(
                source: IPAddress(near)!, sourcePort: 40000, destination: IPAddress(far)!, destinationPort: 443,
                proto: isTCP ? 6 : 17)
        }

        func compose(out: Bool, flags: UInt8, payload: Int, tcpOptions: Int, options: Int) -> [UInt8] {
            let (from, to) = out ? (near, far) : (far, near)
            let ports = out ? (40000, 443) : (443, 40000)
            let data = [UInt8](repeating: 7, count: payload)
            let none = [UInt8](repeating: 1, count: options)
            guard isTCP else {
                return TestPackets.udp(from, to, ports, data, options: from.contains(":") ? [] : none)
            }
            let tcp = [UInt8](repeating: 1, count: tcpOptions)
            // Options of IPv6 stand in a header of their own: the number of the next one, its length, then PadN.
            return from.contains(":")
                ? TestPackets.tcp(
                    from, to, ports, flags: flags, data, tcpOptions: tcp,
                    headers: options == 0 ? [] : [6, 0, 1, 4, 0, 0, 0, 0], next: options == 0 ? nil : 0)
                : TestPackets.tcp(from, to, ports, flags: flags, data, tcpOptions: tcp, options: none)
        }

        func random(_ random: inout SeededGenerator) -> Arrival {
            let isOut = Bool.random(using: &random)
            let flags: UInt8 = isTCP ? [0x10, 0x10, 0x18, 0x18, 0x90, 0x11, 0x14].randomElement(using: &random)! : 0
            let tcpOptions = isTCP ? 4 * Int.random(in: 0...10, using: &random) : 0
            let isIPv6 = near.contains(":")
            // One in four takes the long way.
            let options = Int.random(in: 0..<4, using: &random) > 0 || isIPv6 && !isTCP ? 0 : 8
            let payload = Int.random(in: 0...2400, using: &random)
            let packet = compose(
                out: isOut, flags: flags, payload: payload, tcpOptions: tcpOptions, options: options)
            let segment = Bool.random(using: &random) && payload > 0 ? Int.random(in: 200...1400, using: &random) : 0
            var ends: FlowRecord.Ends = flags & 4 != 0 ? .reset : []
            if flags & 1 != 0 { ends.insert(isOut ? .finOut : .finIn) }
            return Arrival(
                packet: packet, headers: packet.count - payload, segment: segment, isOut: isOut, ends: ends)
        }
    }

    private static let flows = [
        Flow(near: "192.0.2.9", far: "198.51.100.7", isTCP: true),
        Flow(near: "192.0.2.9", far: "198.51.100.7", isTCP: false),
        Flow(near: "2001:db8::9", far: "2001:db8:1::7", isTCP: true),
        Flow(near: "2001:db8::9", far: "2001:db8:1::7", isTCP: false),
    ]

    /// Runs a program on a packet.
    ///
    /// - Returns: its verdict.
    private func run(_ program: CInt, _ arrival: Arrival) throws -> Int32 {
        let isIPv6 = arrival.packet[0] >> 4 == 6
        let frame: [UInt8] =
            [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2] + (isIPv6 ? [0x86, 0xdd] : [0x08, 0x00]) + arrival.packet
        var context = __sk_buff()
        context.gso_size = UInt32(arrival.segment)
        context.gso_segs = arrival.segment == 0 ? 0 : 2
        return try frame.withUnsafeBytes { frame in
            try withUnsafeMutablePointer(to: &context) { context in
                var options = bpf_test_run_opts()
                options.sz = MemoryLayout<bpf_test_run_opts>.size
                options.data_in = frame.baseAddress
                options.data_size_in = UInt32(frame.count)
                options.ctx_in = UnsafeRawPointer(context)
                options.ctx_size_in = UInt32(MemoryLayout<__sk_buff>.size)
                try #require(bpf_prog_test_run_opts(program, &options) == 0)
                return Int32(bitPattern: options.retval)
            }
        }
    }

    /// Verdicts of TCX: the packet goes on; it goes where it was redirected to.
    private static let (next, redirected): (Int32, Int32) = (-1, 7)

    @Test("counts what the long way counts, and what a naive cutter does")
    func counts() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        var request = CaptureRequest()
        request.mode = .full
        let programs = try LinkPrograms(request, tun: 1)
        let prefixes = try PrefixMaps(programs, request)
        let map = try FlowMap(programs, fastPath: true)
        let out = try programs.program("full_egress_ether")
        let back = try programs.program("full_return_ether")

        for flow in FastPathTests.flows {
            let first = flow.compose(out: true, flags: 2, payload: 0, tcpOptions: 0, options: 0)
            let opening = Arrival(packet: first, headers: first.count, segment: 0, isOut: true, ends: [])
            #expect(try run(out, opening) == FastPathTests.redirected)
            var expected = FlowRecord(capture_track(), epoch: 0)
            expected.packetsOut = 1
            expected.bytesOut = UInt64(first.count)
            // Not judged yet: every packet comes to user space, and counts.
            let second = flow.compose(out: true, flags: 16, payload: 9, tcpOptions: 0, options: 0)
            #expect(
                try run(out, Arrival(packet: second, headers: second.count - 9, segment: 0, isOut: true, ends: []))
                    == FastPathTests.redirected)
            expected.packetsOut += 1
            expected.bytesOut += UInt64(second.count)
            #expect(map.allow(flow.key))

            for _ in 0..<2000 {
                let arrival = flow.random(&random)
                let verdict = try run(arrival.isOut ? out : back, arrival)
                #expect(verdict == FastPathTests.next, "seed \(seed): \(arrival)")
                let wire = arrival.wire
                if arrival.isOut {
                    expected.packetsOut += wire.packets
                    expected.bytesOut += wire.bytes
                } else {
                    expected.packetsIn += wire.packets
                    expected.bytesIn += wire.bytes
                }
                expected.ends.formUnion(arrival.ends)
                let record = try #require(map.lookup(flow.key))
                try #require(
                    record.packetsOut == expected.packetsOut && record.bytesOut == expected.bytesOut
                        && record.packetsIn == expected.packetsIn && record.bytesIn == expected.bytesIn
                        && record.ends == expected.ends, "seed \(seed): \(arrival), \(record)")
            }
            // Another policy: both ways ask user space again.
            map.setEpoch(map.epoch + 1)
            for options in [0, 8] where options == 0 || flow.isTCP || !flow.near.contains(":") {
                let packet = flow.compose(out: true, flags: 16, payload: 9, tcpOptions: 0, options: options)
                let arrival = Arrival(
                    packet: packet, headers: packet.count - 9, segment: 0, isOut: true, ends: [])
                #expect(try run(out, arrival) == FastPathTests.redirected)
            }
        }
        withExtendedLifetime(prefixes) {}
    }
}
