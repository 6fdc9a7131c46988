import CAllocations
import Foundation
import Glibc
import Kernel
import TestPackets
import Testing
import Wire

@testable import PacketTunnel

/// The kernel's part of full mode with the back end `route`: connection tracking's verdicts, counters and their end.
@Suite("TrackedFlows")
struct TrackedFlowsTests {
    static let servers = FlowMapTests.servers
    static let settings = "sysctl net.netfilter.nf_conntrack_acct net.netfilter.nf_conntrack_timestamp"

    @Test("keeps an allowed flow's packets in the kernel, and counts them right", arguments: servers, [true, false])
    func datagrams(address: String, isAllowed: Bool) throws {
        try Scene.full(.route, judge: { _, _ in isAllowed ? .allow : .forward }) { forwarder, capture, hosts in
            #expect(capture.state.detour == nil, "\(capture.state)")
            let flows = try #require(capture.flows)
            let before = Clock.monotonic()
            let conversation = try Conversation.open(to: hosts.far, address, isTCP: false)
            defer { conversation.end() }
            #expect(forwarder.seen().packets[conversation.key] == 1)
            #expect(conversation.exchange(200, bytes: 1000) == 200)
            #expect(forwarder.seen().packets[conversation.key, default: 0] == (isAllowed ? 0 : 200))
            let record = try #require(flows.lookup(conversation.key))
            let headers: UInt64 = address.contains("[") ? 48 : 28
            #expect(record.isAllowed == isAllowed && record.ends == [])
            #expect(record.packetsOut == 201 && record.packetsIn == 200, "\(record)")
            #expect(record.bytesOut == 201 * headers + 5 + 200_000)
            #expect(record.bytesIn == 200 * headers + 200_000)
            #expect(record.began >= before - 20_000_000 && record.began <= Clock.monotonic(), "\(record) \(before)")
            #expect(record.lastSeen >= record.began && record.lastSeen <= Clock.monotonic())
            flows.remove(conversation.key)
            #expect(conversation.exchange(1, bytes: 1000) == 1)
            #expect(forwarder.seen().packets[conversation.key] == 1)
        }
    }

    @Test("carries a connection without the TUN, and tells its end", arguments: servers, [true, false])
    func connections(address: String, offloads: Bool) throws {
        try Scene.full(.route, { $0.offloads = offloads }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, address)
            let key = conversation.key
            _ = forwarder.seen()
            #expect(conversation.carry(3_000_000, up: true))
            #expect(conversation.carry(2_000_000, up: false))
            #expect(forwarder.seen().packets[key] == nil)
            let (up, down) = (conversation.sent(up: true), conversation.sent(up: false))
            let record = try #require(flows.lookup(key))
            // Headers of 40 and 60 bytes with the options.
            let header: UInt64 = address.contains("[") ? 72 : 52
            func whole(_ payload: UInt64, _ packets: UInt64) -> ClosedRange<UInt64> {
                payload + (packets - 1) * header...payload + (packets + 2) * (header + 28)
            }
            #expect(whole(up, record.packetsOut).contains(record.bytesOut), "\(record) \(up)")
            #expect(whole(down, record.packetsIn).contains(record.bytesIn), "\(record) \(down)")
            conversation.end()
            var ends: [FlowRecord.Ends] = []
            #expect(
                Scene.wait {
                    ends = []
                    flows.sweep { found, record in if found == key { ends.append(record.ends) } }
                    return ends.first?.isClosed == true
                }, "\(ends)")
        }
    }

    @Test("brings every flow back in another epoch, live ones to be cut", arguments: servers)
    func epochs(address: String) throws {
        try Scene.full(.route) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, address)
            defer { conversation.end() }
            for epoch in UInt32(2)...4 {
                #expect(conversation.carry(20_000, up: true))
                _ = forwarder.seen()
                #expect(conversation.carry(20_000, up: true))
                #expect(forwarder.seen().packets[conversation.key] == nil)
                flows.setEpoch(epoch)
                #expect(flows.epoch == epoch && flows.lookup(conversation.key)?.isAllowed == false)
                #expect(conversation.carry(20_000, up: true))
                #expect(forwarder.seen().packets[conversation.key, default: 0] > 0)
            }
            // 127 epochs later the mark's number is the same, but the flow's is of the past.
            flows.setEpoch(5)
            flows.sweep { _, _ in }
            forwarder.setJudge { _, _ in .refuse }
            flows.setEpoch(4 + 127)
            #expect(flows.lookup(conversation.key)?.isAllowed == false)
            #expect(!conversation.carry(20_000, up: true), "refused")
        }
    }

    @Test("lets packets of allowed flows pass byte for byte, their TTL included", arguments: FullModeTests.pairs)
    func unchanged(pair: (String, String)) throws {
        try Scene.full(.route) { forwarder, capture, hosts in
            let raw = try Raw()
            let (from, to) = pair
            for (index, ttl) in [64, 255, 1].enumerated() {
                let port = 42_000 + index
                for round in 0..<3 {
                    let text = "allowed \(ttl) \(round)/"
                    var packet = TestPackets.udp(from, to, (port, 4242), Array(text.utf8))
                    // Written as an application's raw socket does; the header's checksum is the kernel's.
                    packet[from.contains(":") ? 7 : 8] = UInt8(round == 0 ? 64 : ttl)
                    _ = forwarder.seen()
                    try raw.send(packet)
                    var frames: [[UInt8]] = []
                    #expect(
                        Scene.wait {
                            frames += hosts.sniffer.frames(with: text)
                            return !frames.isEmpty
                        }, "\(text)")
                    guard let frame = frames.first else { continue }
                    #expect(forwarder.seen().total == (round == 0 ? 1 : 0), "\(text)")
                    var left = Array(frame[14...])
                    if !from.contains(":") {
                        (left[10], left[11]) = (0, 0)
                        (packet[10], packet[11]) = (0, 0)
                    }
                    #expect(left == packet, "\(text)")
                }
            }
        }
    }

    @Test("leaves the other bits of a connection's mark alone")
    func otherBits() throws {
        let mark = """
            ip netns exec APP nft 'table inet others { chain out { type filter hook output priority -151; ct mark 0 ct mark set 0x00abcdef; }; \
            chain post { type filter hook postrouting priority 0; oifname "e0" ct mark & 0x00ffffff == 0x00abcdef counter name kept; }; \
            counter kept { }; }'
            """
        try Scene.full(.route, prepare: mark) { forwarder, capture, hosts in
            let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4800", isTCP: false)
            defer { conversation.end() }
            _ = forwarder.seen()
            #expect(conversation.exchange(10, bytes: 100) == 10)
            #expect(forwarder.seen().packets[conversation.key] == nil)
            let counted = try Lab.run("nft list counter inet others kept")
            #expect(counted.contains("packets 10 "), "\(counted)")
        }
    }

    @Test("works where the machine's own flows are masqueraded too", arguments: servers)
    func masquerade(address: String) throws {
        let nat = """
            ip netns exec APP nft 'table inet nat { chain post { type nat hook postrouting priority 100; oifname "e0" masquerade; }; }'
            """
        for isTCP in [true, false] {
            try Scene.full(.route, prepare: nat) { forwarder, capture, hosts in
                let conversation = try Conversation.open(to: hosts.far, address, isTCP: isTCP)
                defer { conversation.end() }
                if isTCP {
                    #expect(conversation.carry(500_000, up: true) && conversation.carry(500_000, up: false))
                } else {
                    #expect(conversation.exchange(50, bytes: 100) == 50)
                }
                capture.flows?.setEpoch(2)
                if isTCP {
                    #expect(conversation.carry(500_000, up: true) && conversation.carry(500_000, up: false))
                } else {
                    #expect(conversation.exchange(50, bytes: 100) == 50)
                }
            }
        }
    }

    @Test("tells what forgotten flows have carried")
    func forgotten() throws {
        try Scene.full(.route) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            try Lab.run(
                "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1 net.netfilter.nf_conntrack_udp_timeout_stream=1")
            let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4800", isTCP: false)
            defer { conversation.end() }
            #expect(conversation.exchange(3, bytes: 100) == 3)
            var last: FlowRecord?
            #expect(
                Scene.wait {
                    flows.sweep { key, record in if key == conversation.key { last = record } }
                    return last?.ends.isClosed == true
                })
            #expect(last?.packetsOut == 4 && last?.packetsIn == 3, "\(String(describing: last))")
            #expect(flows.lookup(conversation.key) == nil)
        }
    }

    @Test("leaves nothing behind", arguments: [true, false])
    func end(orderly: Bool) throws {
        try Lab.with { lab in
            let hosts = try lab.pair()
            var request = CaptureRequest()
            request.backEnd = .route
            request.mode = .full
            request.excludesLocalNetworks = false
            request.state = "/tmp/\(lab.prefix)"
            let final = request
            defer { try? FileManager.default.removeItem(atPath: final.state) }
            try Lab.inside(hosts.app) {
                let look = "\(CaptureTests.policy); nft list ruleset; \(TrackedFlowsTests.settings)"
                let before = try Lab.run(look)
                #expect(before.contains("acct = 0"))
                for _ in 0..<2 {
                    let tun = try TunDevice(final)
                    let capture = try final.capture(tun)
                    let forwarder = Forwarder(tun, capture, { _, _ in .allow })
                    try capture.attach()
                    let during = try Lab.run(look)
                    #expect(during.contains("webtun_flows") && during.contains("acct = 1"), "\(during)")
                    let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4800")
                    #expect(conversation.carry(50_000, up: true))
                    if orderly {
                        capture.detach()
                        forwarder.stop()
                    } else {
                        forwarder.stop()
                        Scene.abandon(capture)
                        // The table goes with the process.
                        #expect(try !Lab.run("nft list ruleset").contains("webtun_flows"))
                    }
                    let start = Date()
                    #expect(conversation.carry(50_000, up: true) && conversation.carry(50_000, up: false))
                    #expect(Date().timeIntervalSince(start) < 2)
                    conversation.end()
                }
                _ = try final.cleanup()
                let after = try Lab.run(look)
                #expect(before == after)
            }
        }
    }

    @Test("does not believe the marks that an earlier webtun left", arguments: servers)
    func earlier(address: String) throws {
        try Scene.full(.route) { forwarder, capture, hosts in
            let conversation = try Conversation.open(to: hosts.far, address)
            defer { conversation.end() }
            #expect(conversation.carry(50_000, up: true))
            // As one that is killed: marks stay.
            let route = try #require(capture as? RouteCapture)
            route.abandon()
            var netlink = try NetlinkSocket()
            try Journal(state: hosts.request.state).undo(&netlink)
            try capture.attach()
            #expect(capture.flows?.lookup(conversation.key)?.isAllowed == false)
            forwarder.setJudge { _, _ in .forward }
            _ = forwarder.seen()
            #expect(conversation.carry(50_000, up: true))
            #expect(forwarder.seen().packets[conversation.key, default: 0] > 0)
        }
    }

    @Test("works without, and says so")
    func without() throws {
        try Scene.full(.route) { forwarder, capture, hosts in
            capture.detach()
            // The table's name is another program's.
            let others = try TrackingTable(hosts.request).make(epoch: 1)
            try capture.attach()
            #expect(capture.state.isCapturing)
            #expect(capture.state.detour?.contains("keep passing the TUN") == true, "\(capture.state)")
            #expect(try Lab.run(TrackedFlowsTests.settings).contains("acct = 0"))
            let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4800", isTCP: false)
            defer { conversation.end() }
            _ = forwarder.seen()
            #expect(conversation.exchange(10, bytes: 100) == 10)
            #expect(forwarder.seen().packets[conversation.key] == 10)
            #expect(capture.flows?.lookup(conversation.key) == nil && capture.flows?.allow(conversation.key) == false)
            capture.flows?.setEpoch(3)
            capture.detach()
            withExtendedLifetime(others.number) {}
        }
    }

    @Test("looks up and allows without allocating", arguments: servers)
    func allocations(address: String) throws {
        try Scene.full(.route, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, address, isTCP: false)
            defer { conversation.end() }
            let key = conversation.key
            var found = 0
            // What the runtime sets up once is set up before.
            _ = flows.allow(key)
            _ = flows.lookup(key)
            flows.remove(key)
            let before = allocations_of_this_thread()
            for _ in 0..<100 {
                if flows.lookup(key) != nil { found += 1 }
                if flows.allow(key) { found += 1 }
                flows.remove(key)
            }
            let after = allocations_of_this_thread()
            #expect(found == 200)
            #expect(after == before, "\(after - before) allocations")
        }
    }
}
