import Foundation
import Glibc
import Kernel
import PacketTunnel
import Synchronization
import TestPackets
import Testing
import Wire

/// Full mode and the links of the machine: their kinds, their networks, their coming and going.
@Suite("Full mode, links")
struct FullModeLinksTests {
    static let backEnds = CaptureTests.backEnds

    @Test("keeps the tag of a VLAN")
    func vlan() throws {
        try Scene.full(.link, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let sniffer = try Sniffer()
            let macs: [UInt8] = [2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 5]
            let flow = TestPackets.udp("203.0.113.2", "203.0.113.1", (40_000, 4000), Array("tagged".utf8))
            for round in 0..<3 {
                if round == 1 {
                    let key = try #require(forwarder.seen().packets.keys.first { $0.sourcePort == 40_000 })
                    #expect(capture.flows?.allow(key) == true)
                }
                try sniffer.send(macs + [0x81, 0, 0x60, 7, 8, 0] + flow, to: "e0")
                var frames: [(bytes: [UInt8], tag: UInt16?)] = []
                #expect(
                    Scene.wait {
                        frames = hosts.sniffer.tagged(with: "tagged")
                        return !frames.isEmpty
                    })
                #expect(frames.first?.bytes == macs + [8, 0] + flow && frames.first?.tag == 0x6007, "round \(round)")
            }
            #expect(capture.counters.errors == 0 && capture.counters.allowed == 2)
        }
    }

    @Test(
        "captures links without Ethernet header",
        arguments: [("10.7.0.1", "203.0.113.9"), ("2001:db8:7::1", "2001:db8:2::9")])
    func bare(pair: (String, String)) throws {
        try Scene.full(.link, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            // A TUN of its own is as good a layer-3 link as WireGuard or PPP, and its far end can be watched.
            var other = CaptureRequest()
            other.tun = "l3"
            other.addresses.near4 = IPAddress("10.7.0.1")!
            other.addresses.far4 = IPAddress("10.7.0.2")!
            other.addresses.near6 = IPAddress("2001:db8:7::1")!
            other.addresses.far6 = IPAddress("2001:db8:7::2")!
            let far = Peer(try TunDevice(other))
            try Lab.run(
                """
                ip -n \(hosts.app) route add 203.0.113.0/24 dev l3
                ip -n \(hosts.app) -6 route add 2001:db8:2::/64 dev l3
                """)
            #expect(Scene.wait { capture.state.links.contains { $0.name == "l3" && $0.captured } })
            let raw = try Raw()
            for animal in PacketZoo(from: pair.0, to: pair.1).animals {
                try raw.send(animal.bytes)
                let end = Date(timeIntervalSinceNow: 3)
                let text = Array(animal.text.utf8)
                var packet: [UInt8]?
                while packet == nil, let next = far.next(until: end) {
                    if next.indices.contains(where: { next[$0...].starts(with: text) }) { packet = next }
                }
                #expect(packet.map { Array($0[10...]) } == animal.bytes, "\(animal.name)")
            }
            // Answers are counted, refusals arrive.
            let address = pair.1.contains(":") ? "[\(pair.1)]:53" : "\(pair.1):53"
            _ = forwarder.seen()
            let query = try Application(address.replacing(":53", with: ":5301")).ask()
            var bytes = try #require(far.next(until: Date(timeIntervalSinceNow: 3)) { $0.destinationPort == 5301 })
            let packet = Packet.parse(bytes.span.bytes.extracting(10...))
            let key = FlowKey(bytes.span.bytes.extracting(10...), packet)
            Peer.reverse(&bytes, packet)
            #expect(bytes.withUnsafeBytes { far.tun.write($0) } == bytes.count)
            #expect(query.answered())
            #expect(capture.flows?.lookup(key)?.packetsIn == 1)
            forwarder.setJudge { _, _ in .refuse }
            var application = Application(address.replacing(":53", with: ":5302"))
            application.connected = true
            let refused = try application.ask()
            #expect(
                Scene.wait {
                    var error: CInt = 0
                    var size = socklen_t(4)
                    getsockopt(refused.socket.number, SOL_SOCKET, SO_ERROR, &error, &size)
                    return error != 0
                })
            #expect(capture.counters.errors == 0)
        }
    }

    @Test("excludes the networks that the machine is on, as they come and go", arguments: backEnds)
    func localNetworks(backEnd: CaptureRequest.BackEnd) throws {
        try Scene.full(backEnd, { $0.excludesLocalNetworks = true }, judge: { _, _ in .forward }) {
            forwarder, capture, hosts in
            func isTaken(_ address: String) throws -> Bool {
                _ = forwarder.seen()
                let text = "local \(address)"
                _ = try Application(address).ask(text)
                #expect(Scene.wait { !hosts.sniffer.frames(with: text).isEmpty }, "\(backEnd) \(text)")
                return forwarder.seen().packets.keys.contains { $0.destinationPort == 5300 }
            }
            #expect(try !isTaken("192.0.2.1:5300"))
            #expect(try !isTaken("[2001:db8::1]:5300"))
            #expect(try isTaken("203.0.113.1:5300"))
            // A new network, by a link that is added at run time.
            try Lab.run(
                """
                ip link add e1 netns \(hosts.app) type veth peer name e1 netns \(hosts.far)
                ip -n \(hosts.far) addr add 203.0.113.1/24 dev e1; ip -n \(hosts.far) link set e1 up
                ip -n \(hosts.app) addr add 203.0.113.2/24 dev e1; ip -n \(hosts.app) link set e1 up
                """)
            #expect(Scene.wait { capture.state.links.contains { $0.name == "e1" && $0.captured && $0.active } })
            #expect(try !isTaken("203.0.113.1:5301") && !isTaken("203.0.113.1:5300"))
            try Lab.run("ip -n \(hosts.app) link del e1")
            #expect(Scene.wait { !capture.state.links.contains { $0.name == "e1" } })
            capture.flows?.setEpoch(7)
            #expect(Scene.wait { (try? isTaken("203.0.113.1:5300")) == true })
        }
    }

    @Test("speaks to every network with the address the machine has there", arguments: backEnds)
    func sources(backEnd: CaptureRequest.BackEnd) throws {
        let prepare = """
            ip link add e1 netns APP type veth peer name e1 netns FAR
            ip -n APP addr add 203.0.113.2/24 dev e1; ip -n FAR addr add 203.0.113.1/24 dev e1
            ip -n APP addr add 2001:db8:3::2/64 dev e1 nodad; ip -n FAR addr add 2001:db8:3::1/64 dev e1 nodad
            ip -n APP link set e1 up; ip -n FAR link set e1 up
            ip -n APP route add 198.51.100.0/24 via 203.0.113.1; ip -n APP -6 route add 2001:db8:1::/48 via 2001:db8:3::1
            """
        try Scene.full(backEnd, prepare: prepare, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            func source(_ text: String, _ port: Int) throws -> IPAddress? {
                _ = forwarder.seen()
                _ = try Application(text.contains(":") ? "[\(text)]:\(port)" : "\(text):\(port)").ask("which address")
                var key: FlowKey?
                _ = Scene.wait {
                    key = key ?? forwarder.seen().packets.keys.first { Int($0.destinationPort) == port }
                    return key != nil
                }
                #expect(Scene.wait { !hosts.sniffer.frames(with: "which address").isEmpty }, "\(backEnd) \(text)")
                return key?.source
            }
            #expect(try source("198.51.100.1", 5300) == IPAddress("203.0.113.2"))
            #expect(try source("2001:db8:1::1", 5300) == IPAddress("2001:db8:3::2"))
            #expect(try source("198.18.0.1", 5300) == IPAddress("192.0.2.2"))
            #expect(try source("2001:db8:9::1", 5300) == IPAddress("2001:db8::2"))
            // A route that comes later, and one that goes.
            try Lab.run("ip -n \(hosts.app) route add 198.18.0.0/15 via 203.0.113.1")
            try Lab.run("ip -n \(hosts.app) route del 198.51.100.0/24")
            // The gateway of a new route is found where it is, not behind the tunnel.
            #expect(try Lab.run("ip -n \(hosts.app) route show 198.18.0.0/15").contains("dev e1"))
            // Events are handled within milliseconds, on a machine that has other things to do within more.
            usleep(500_000)
            #expect(try source("198.18.0.1", 5301) == IPAddress("203.0.113.2"))
            #expect(try source("198.51.100.1", 5301) == IPAddress("192.0.2.2"))
            #expect(capture.state.problem == nil)
        }
    }

    @Test("gives the tunnel the smallest MTU of the links", arguments: backEnds)
    func mtu(backEnd: CaptureRequest.BackEnd) throws {
        try Scene.full(backEnd) { forwarder, capture, hosts in
            let mtu = { try? String(contentsOfFile: "/sys/class/net/webtun0/mtu", encoding: .utf8) }
            func read() throws -> String { try Lab.run("ip -n \(hosts.app) -o link show webtun0") }
            #expect(try read().contains("mtu 1500 "))
            try Lab.run("ip -n \(hosts.app) link set e0 mtu 1400; ip -n \(hosts.far) link set e0 mtu 1400")
            #expect(Scene.wait { (try? read().contains("mtu 1400 ")) == true }, "\(mtu() ?? "")")
            let conversation = try Conversation.open(to: hosts.far, "192.0.2.1:4600")
            #expect(conversation.carry(1_000_000, up: true) && conversation.carry(1_000_000, up: false))
            conversation.end()
            // A jumbo link: the TUN takes what the link takes.
            try Lab.run("ip -n \(hosts.far) link set e0 mtu 9000; ip -n \(hosts.app) link set e0 mtu 9000")
            #expect(Scene.wait { (try? read().contains("mtu 9000 ")) == true })
            _ = hosts.sniffer.frames(with: "jumbo/")  // makes room
            let text = String(repeating: "jumbo/", count: 1400)
            _ = try Application("198.51.100.1:5300").ask(text)
            #expect(Scene.wait { hosts.sniffer.frames(with: "jumbo/").contains { $0.count > 8400 } })
        }
    }
}
