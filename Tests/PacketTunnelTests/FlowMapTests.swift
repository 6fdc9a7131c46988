import CAllocations
import Foundation
import Glibc
import Kernel
import PacketTunnel
import TestPackets
import Testing
import Wire

/// The kernel's part of full mode: verdicts, counters and their end.
@Suite("FlowMap")
struct FlowMapTests {
    static let servers = ["192.0.2.1:4800", "[2001:db8::1]:4800"]

    @Test("keeps an allowed flow's packets in the kernel, and counts them right", arguments: servers, [true, false])
    func datagrams(address: String, fastPath: Bool) throws {
        try Scene.full(.link, { $0.fastPath = fastPath }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let before = Clock.monotonic()
            let conversation = try Conversation.open(to: hosts.far, address, isTCP: false)
            defer { conversation.end() }
            #expect(forwarder.seen().packets[conversation.key] == 1)
            #expect(conversation.exchange(200, bytes: 1000) == 200)
            #expect(forwarder.seen().packets[conversation.key, default: 0] == (fastPath ? 0 : 200))
            let record = try #require(flows.lookup(conversation.key))
            let headers: UInt64 = address.contains("[") ? 48 : 28
            #expect(record.isAllowed == fastPath && !record.isServed && record.ends == [])
            #expect(record.packetsOut == 201 && record.packetsIn == 200)
            #expect(record.bytesOut == 201 * headers + 5 + 200_000)
            #expect(record.bytesIn == 200 * headers + 200_000)
            #expect(record.ifindex == capture.state.links.first?.ifindex)
            #expect(conversation.cookie != 0 && record.cookie == conversation.cookie)
            // The kernel's coarse clock is up to a tick behind.
            #expect(record.began + 20_000_000 > before && record.began <= record.lastSeen)
            #expect(record.lastSeen <= Clock.monotonic())
            if fastPath { #expect(capture.counters.allowed == 200) }
        }
    }

    @Test("counts super-packets as what they are on the wire", arguments: servers)
    func segments(address: String) throws {
        try Scene.full(.link) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, address)
            let total = 3_000_000
            #expect(conversation.carry(total, up: true))
            #expect(conversation.carry(total, up: false))
            let (sentOut, sentIn) = (conversation.sent(up: true), conversation.sent(up: false))
            conversation.end()
            #expect(Scene.wait { flows.lookup(conversation.key)?.ends.isClosed == true })
            let record = try #require(flows.lookup(conversation.key))
            // Every segment has IP and TCP headers and a timestamp; the two that open have some more options. What was sent
            // again counts again, and answers to it have options up to the 60 bytes that a TCP header can have.
            let ip: UInt64 = address.contains("[") ? 40 : 20
            let out = UInt64(total) + record.packetsOut * (ip + 32) + 8
            let back = UInt64(total) + record.packetsIn * (ip + 32) + 8
            #expect(record.bytesOut >= out && record.bytesOut <= sentOut + record.packetsOut * (ip + 60), "\(record)")
            #expect(record.bytesIn >= back && record.bytesIn <= sentIn + record.packetsIn * (ip + 60), "\(record)")
            let segments = UInt64(total) / (1500 - ip - 32)
            #expect(record.packetsOut > segments && record.packetsIn > segments, "\(record)")
            #expect(forwarder.seen().total < 100)
        }
    }

    @Test("brings every flow back when the epoch changes, and cuts what is forbidden then", arguments: servers)
    func epoch(address: String) throws {
        try Scene.full(.link) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, address)
            defer { conversation.end() }
            #expect(conversation.carry(1000, up: true))
            _ = forwarder.seen()
            #expect(conversation.carry(1000, up: true))
            #expect(forwarder.seen().packets[conversation.key] == nil)
            let packets = try #require(flows.lookup(conversation.key)).packetsOut

            flows.setEpoch(2)
            #expect(flows.lookup(conversation.key)?.isAllowed == false)
            #expect(conversation.carry(1000, up: true))
            #expect(forwarder.seen().packets[conversation.key, default: 0] > 0)
            let record = try #require(flows.lookup(conversation.key))
            #expect(record.isAllowed && record.packetsOut > packets)

            forwarder.setJudge { _, _ in .refuse }
            flows.setEpoch(3)
            // The application is told.
            #expect(Scene.wait { send(conversation.clientSocket, "more", 4, CInt(MSG_NOSIGNAL)) < 0 })
        }
    }

    @Test(
        "lets flows pass that the far side begins", arguments: ["192.0.2.2:4900", "[2001:db8::2]:4900"], [true, false])
    func inbound(address: String, isTCP: Bool) throws {
        try Scene.full(.link, judge: { _, _ in .drop }) { forwarder, capture, hosts in
            let conversation = try Conversation.open(from: hosts.far, to: hosts.app, address, isTCP: isTCP)
            if isTCP {
                #expect(conversation.carry(200_000, up: true))
                #expect(conversation.carry(200_000, up: false))
            } else {
                #expect(conversation.exchange(20, bytes: 100) == 20)
            }
            conversation.end()
            let seen = forwarder.seen()
            #expect(seen.packets[conversation.key.reversed] == nil, "\(seen)")
            #expect(capture.counters.inbound > 0)
            #expect(capture.flows?.lookup(conversation.key.reversed) == nil)
            // The machine answers echoes.
            let ping = address.contains("[") ? "2001:db8::2" : "192.0.2.2"
            try Lab.run("ip netns exec \(hosts.far) ping -n -c2 -i0.1 -W2 \(ping)")
            #expect(!forwarder.seen().packets.keys.contains { $0.proto == 1 || $0.proto == 58 })
        }
    }

    @Test(
        "leaves connections alone that the far side began before", arguments: ["192.0.2.2:4900", "[2001:db8::2]:4900"])
    func earlier(address: String) throws {
        try Scene.full(.link, judge: { _, _ in .drop }) { forwarder, capture, hosts in
            capture.detach()
            let inbound = try Conversation.open(from: hosts.far, to: hosts.app, address, keepsListening: true)
            let outbound = try Conversation.open(
                to: hosts.far, address.replacing("2:", with: "1:").replacing("2]", with: "1]"))
            defer {
                inbound.end()
                outbound.end()
            }
            try capture.attach()
            #expect(inbound.carry(50_000, up: false))
            #expect(forwarder.seen().packets.isEmpty)
            // One that this machine began comes to user space, although its beginning was not seen.
            #expect(send(outbound.clientSocket, "hello", 5, 0) == 5)
            #expect(Scene.wait { forwarder.seen().packets[outbound.key] != nil })
        }
    }

    @Test("is not fooled by a far side that makes an own flow look like one of its making")
    func disguise() throws {
        try Scene.full(.link, judge: { _, _ in .drop }) { forwarder, capture, hosts in
            // The far side sends a SYN, and a datagram from a well-known port, to where a client is going to be.
            try Lab.inside(hosts.far) {
                let raw = try Raw()
                try raw.send(TestPackets.tcp("192.0.2.1", "192.0.2.2", (443, 41_000), flags: 2))
                try raw.send(TestPackets.udp("192.0.2.1", "192.0.2.2", (443, 41_000), [1, 2, 3]))
            }
            usleep(50_000)
            let raw = try Raw()
            try raw.send(TestPackets.tcp("192.0.2.2", "192.0.2.1", (41_000, 443), flags: 2))
            try raw.send(TestPackets.udp("192.0.2.2", "192.0.2.1", (41_000, 443), [1, 2, 3]))
            var seen: Set<FlowKey> = []
            #expect(
                Scene.wait {
                    seen.formUnion(forwarder.seen().packets.keys.filter { $0.sourcePort == 41_000 })
                    return seen.count == 2
                }, "\(seen)")
        }
    }

    @Test("begins anew with the ports of a connection that is over")
    func anew() throws {
        try Scene.full(.link, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let raw = try Raw()
            let key = FlowKey(
                source: IPAddress("192.0.2.2")!, sourcePort: 41_001, destination: IPAddress("203.0.113.1")!,
                destinationPort: 80, proto: 6)
            func send(_ flags: UInt8) throws {
                try raw.send(TestPackets.tcp("192.0.2.2", "203.0.113.1", (41_001, 80), flags: flags))
            }
            for flags in [UInt8(2), 16, 24] { try send(flags) }
            let first = try #require(flows.lookup(key))
            #expect(first.packetsOut == 3 && first.ends == [])
            #expect(flows.allow(key))
            // The same connection: a repeated SYN changes nothing.
            try send(2)
            #expect(flows.lookup(key)?.isAllowed == true && flows.lookup(key)?.packetsOut == 4)
            try send(4)
            #expect(flows.lookup(key)?.ends == .reset)
            usleep(20_000)
            try send(2)
            let second = try #require(flows.lookup(key))
            #expect(!second.isAllowed && second.packetsOut == 1 && second.ends == [] && second.began > first.began)
            flows.remove(key)
            #expect(flows.lookup(key) == nil && !flows.allow(key))
        }
    }

    @Test("goes on when the table is full")
    func full() throws {
        try Scene.full(.link, { $0.flowCapacity = 1 }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4800")
            defer { conversation.end() }
            let raw = try Raw()
            for round in 0..<20 {
                for port in 0..<2000 {
                    try raw.send(TestPackets.udp("192.0.2.2", "192.0.2.1", (10_000 + port, 9000 + round), [1, 2, 3]))
                    guard port % 250 == 249 else { continue }
                    #expect(Scene.wait { capture.counters.forwarded == capture.counters.captured })
                }
                #expect(conversation.carry(10_000, up: round % 2 == 0))
            }
            var count = 0
            flows.sweep { _, _ in count += 1 }
            #expect(count > 8000 && count <= 16_800, "\(count)")
            let counters = capture.counters
            #expect(counters.errors == 0 && counters.local == 0, "\(counters)")
            #expect(counters.forwarded >= 40_000 && counters.forwarded == counters.captured, "\(counters)")
        }
    }

    @Test("sweeps all flows")
    func sweep() throws {
        try Scene.full(.link, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let raw = try Raw()
            for port in 0..<3000 {
                let isIPv6 = port % 2 == 1
                try raw.send(
                    TestPackets.udp(
                        isIPv6 ? "2001:db8::2" : "192.0.2.2", isIPv6 ? "2001:db8:1::1" : "203.0.113.1",
                        (20_000 + port, 9000), [1, 2, 3]))
            }
            var found: [FlowKey: FlowRecord] = [:]
            flows.sweep { key, record in
                if key.destinationPort == 9000 { found[key] = record }
            }
            #expect(found.count == 3000)
            #expect(Set(found.keys.map(\.sourcePort)) == Set(20_000..<23_000))
            #expect(found.values.allSatisfy { $0.packetsOut == 1 && $0.packetsIn == 0 })
            for (key, record) in found { #expect(record.bytesOut == (key.source.isIPv6 ? 51 : 31)) }
        }
    }

    @Test("connections go on when the capture ends, however it ends", arguments: CaptureTests.backEnds, [true, false])
    func end(backEnd: CaptureRequest.BackEnd, orderly: Bool) throws {
        for address in FlowMapTests.servers {
            try Scene.full(backEnd) { forwarder, capture, hosts in
                let conversation = try Conversation.open(to: hosts.far, address)
                defer { conversation.end() }
                #expect(conversation.carry(50_000, up: true))
                if orderly {
                    capture.detach()
                    forwarder.stop()
                } else {
                    // As a process that is killed: the TUN goes, and what held the programs.
                    forwarder.stop()
                    Scene.abandon(capture)
                }
                let start = Date()
                #expect(conversation.carry(50_000, up: true) && conversation.carry(50_000, up: false))
                #expect(Date().timeIntervalSince(start) < 2)
            }
        }
    }

    @Test("follows a flow to another link")
    func anotherLink() throws {
        let prepare = """
            ip link add e1 netns APP type veth peer name e1 netns FAR
            ip -n APP addr add 203.0.113.2/24 dev e1; ip -n FAR addr add 203.0.113.1/24 dev e1
            ip -n APP link set e1 up; ip -n FAR link set e1 up
            ip -n FAR addr add 198.51.100.1/32 dev lo; ip -n FAR -6 addr add 2001:db8:1::1/128 dev lo
            ip netns exec FAR sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.e1.rp_filter=0 net.ipv4.conf.e0.rp_filter=0
            """
        try Scene.full(.link, prepare: prepare) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, "198.51.100.1:4800", isTCP: false)
            defer { conversation.end() }
            #expect(conversation.exchange(5, bytes: 100) == 5)
            try Lab.run("ip -n \(hosts.app) route replace 198.51.100.0/24 via 203.0.113.1 dev e1")
            #expect(conversation.exchange(5, bytes: 100) == 5)
            #expect(flows.lookup(conversation.key)?.packetsOut == 11)
            // Not in the kernel: what is written to the TUN leaves by the new link.
            flows.setEpoch(9)
            forwarder.setJudge { _, _ in .forward }
            #expect(conversation.exchange(5, bytes: 100) == 5)
            let record = try #require(flows.lookup(conversation.key))
            #expect(record.packetsOut == 16 && record.packetsIn == 15)
            let e1 = capture.state.links.first { $0.name == "e1" }
            #expect(record.ifindex == e1?.ifindex)
        }
    }

    @Test(
        "serves clients with their own addresses, once", arguments: ["192.0.2.1:4800", "[2001:db8::1]:4800"],
        [false, true])
    func served(address: String, masquerades: Bool) throws {
        let prepare =
            Scene.container
            + (masquerades
                ? "\n" + Scene.masquerade
                : "\nip -n FAR route add 10.9.0.0/24 via 192.0.2.2; ip -n FAR -6 route add 2001:db8:9::/64 via 2001:db8::2")
        for isTCP in [true, false] {
            try Scene.full(.link, prepare: prepare, { $0.serve = ["c0"] }) { forwarder, capture, hosts in
                let flows = try #require(capture.flows)
                let conversation = try Conversation.open(
                    from: hosts.lab.prefix + "box", to: hosts.far, address, isTCP: isTCP)
                if isTCP {
                    #expect(conversation.carry(500_000, up: true) && conversation.carry(500_000, up: false))
                } else {
                    #expect(conversation.exchange(50, bytes: 100) == 50)
                }
                let cookie = conversation.cookie
                conversation.end()
                let seen = forwarder.seen()
                #expect(seen.packets[conversation.key, default: 0] > 0)
                let others = seen.packets.keys.filter { $0 != conversation.key && $0.destinationPort == 4800 }
                #expect(others.isEmpty, "judged once: \(others)")
                let record = try #require(flows.lookup(conversation.key))
                #expect(record.isServed && record.isAllowed)
                // A container is on this machine, and so is its socket.
                #expect(record.cookie == cookie)
                if !isTCP { #expect(record.packetsOut == 51 && record.packetsIn == 50, "\(record)") }
                #expect(record.bytesIn >= (isTCP ? 500_000 : 50 * 128))
                #expect(capture.counters.errors == 0)

                // Refusals reach the client.
                forwarder.setJudge { _, _ in .refuse }
                #expect(throws: KernelError.self) {
                    _ = try Conversation.open(
                        from: hosts.lab.prefix + "box", to: hosts.far, address.replacing("4800", with: "4801"))
                }
            }
        }
    }

    @Test("passes datagrams on that the application cut out of one", arguments: servers, [true, false])
    func datagramSegmentation(address: String, offloads: Bool) throws {
        try Scene.full(.link, { $0.offloads = offloads }, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, address, isTCP: false)
            defer { conversation.end() }
            var size: CInt = 1000
            #expect(setsockopt(conversation.clientSocket, 17 /* SOL_UDP */, 103 /* UDP_SEGMENT */, &size, 4) == 0)
            _ = forwarder.seen()
            for round in 0..<3 {
                if round == 1 { #expect(flows.allow(conversation.key)) }
                let content = [UInt8](repeating: 0x62, count: 10_400)
                #expect(send(conversation.clientSocket, content, content.count, 0) == content.count)
                var room = [UInt8](repeating: 0, count: 70_000)
                var sizes: [Int] = []
                for _ in 0..<11 { sizes.append(recv(conversation.serverSocket, &room, room.count, 0)) }
                #expect(sizes == [Int](repeating: 1000, count: 10) + [400])
            }
            let seen = forwarder.seen()
            #expect(seen.packets[conversation.key] == (offloads ? 1 : 11) && seen.writeErrors == 0, "\(seen)")
            let record = try #require(flows.lookup(conversation.key))
            let headers: UInt64 = address.contains("[") ? 48 : 28
            #expect(record.packetsOut == 34 && record.bytesOut == 5 + 3 * 10_400 + 34 * headers, "\(record)")
        }
    }

    @Test(
        "knows pings by their identifier, by either back end", arguments: ["192.0.2.1", "2001:db8::1"],
        [CaptureRequest.BackEnd.link, .route])
    func pings(address: String, backEnd: CaptureRequest.BackEnd) throws {
        try Scene.full(backEnd) { forwarder, capture, hosts in
            let isIPv6 = address.contains(":")
            let key = FlowKey(
                source: IPAddress(isIPv6 ? "2001:db8::2" : "192.0.2.2")!, sourcePort: 7777,
                destination: IPAddress(address)!, destinationPort: 0, proto: isIPv6 ? 58 : 1)
            let ping = "ip netns exec \(hosts.app) ping -n -i0.1 -W2 -e 7777"
            try Lab.run("\(ping) -c1 \(address)")
            #expect(Scene.wait { capture.flows?.lookup(key)?.isAllowed == true })
            #expect(forwarder.seen().packets[key] == 1)
            try Lab.run("\(ping) -c2 \(address)")
            #expect(forwarder.seen().packets[key] == nil)
            let record = try #require(capture.flows?.lookup(key))
            #expect(record.packetsOut == 3 && record.packetsIn == 3)
            #expect(record.bytesIn == (isIPv6 ? 3 * 104 : 3 * 84))
        }
    }

    @Test("looks up and allows without allocating")
    func allocations() throws {
        try Scene.full(.link, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let flows = try #require(capture.flows)
            let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4800", isTCP: false)
            defer { conversation.end() }
            let key = conversation.key
            var found = 0
            let before = allocations_of_this_thread()
            for _ in 0..<100 {
                if flows.lookup(key) != nil { found += 1 }
                if flows.allow(key) { found += 1 }
            }
            let after = allocations_of_this_thread()
            #expect(found == 200)
            #expect(after == before, "\(after - before) allocations")
        }
    }
}
