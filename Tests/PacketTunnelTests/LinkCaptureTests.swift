import Foundation
import Glibc
import Kernel
import PacketTunnel
import Testing
import Wire

/// What only the `link` back end does.
@Suite("LinkCapture")
struct LinkCaptureTests {
    @Test("serves clients with their own addresses", arguments: ["198.51.100.1", "2001:db8:1::1"], [false, true])
    func served(address: String, isTCP: Bool) throws {
        try Scene.run(.link, prepare: Scene.container, { $0.serve = ["c*"] }) { peer, capture, hosts in
            let links = capture.state.links
            #expect(links.map(\.name) == ["e0", "c0"] && links.map(\.served) == [false, true], "\(links)")
            var application = Application(address)
            application.isTCP = isTCP
            let final = application
            let query = try Lab.inside(hosts.lab.prefix + "box") { try final.ask() }
            #expect(peer.answer(1) == 1)
            #expect(query.answered())
            let source = peer.seen.last?.source
            #expect(source == IPAddress(address.contains(":") ? "2001:db8:9::2" : "10.9.0.2"))
            let link = links.last.map { Int32($0.ifindex) }
            #expect(source.map { capture.addresses.table.link(of: $0) } == link)
            #expect(capture.counters.served >= 1 && capture.counters.captured == 0)
            #expect(hosts.sniffer.frames(with: "query").isEmpty)
        }
    }

    @Test("captures links without Ethernet header", arguments: ["203.0.113.9", "2001:db8:2::9"], [false, true])
    func bare(address: String, isTCP: Bool) throws {
        try Scene.run(.link) { peer, capture, hosts in
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
            var application = Application(address)
            application.isTCP = isTCP
            let query = try application.ask()
            #expect(peer.answer(1) == 1)
            #expect(query.answered())
            while let bytes = far.next(until: Date(timeIntervalSinceNow: 0.02)) {
                #expect(Packet.parse(bytes.span.bytes.extracting(10...)).destinationPort != 53)
            }
        }
    }

    @Test("follows links that appear, vanish and change")
    func changes() throws {
        try Scene.run(.link) { peer, capture, hosts in
            func check(_ text: String, _ note: String) throws {
                let query = try Application(text).ask()
                #expect(peer.answer(1) == 1, "\(note)")
                #expect(query.answered(), "\(note)")
            }
            let names = { capture.state.links.filter { $0.captured && $0.active }.map(\.name) }
            try Lab.run("ip -n \(hosts.app) link set e0 address 02:00:00:00:00:77")
            try check("198.51.100.1", "another MAC")

            try Lab.run("ip -n \(hosts.app) addr add 192.0.2.77/24 dev e0")
            #expect(Scene.wait { capture.addresses.table.link(of: IPAddress("192.0.2.77")!) > 0 })

            try Lab.run(
                """
                ip link add e1 netns \(hosts.app) type veth peer name e1 netns \(hosts.far)
                ip -n \(hosts.app) addr add 203.0.113.2/24 dev e1; ip -n \(hosts.far) addr add 203.0.113.1/24 dev e1
                ip -n \(hosts.app) link set e1 up; ip -n \(hosts.far) link set e1 up
                """)
            try check("203.0.113.1", "a new link")
            #expect(Scene.wait { names() == ["e0", "e1"] }, "\(capture.state)")

            try Lab.run("ip -n \(hosts.app) link del e1")
            #expect(Scene.wait { names() == ["e0"] }, "\(capture.state)")

            // The same name with another index.
            try Lab.run(
                """
                ip -n \(hosts.app) link del e0
                ip link add e0 netns \(hosts.app) type veth peer name e0 netns \(hosts.far)
                ip -n \(hosts.app) addr add 192.0.2.2/24 dev e0; ip -n \(hosts.far) addr add 192.0.2.1/24 dev e0
                ip -n \(hosts.app) link set e0 up; ip -n \(hosts.far) link set e0 up
                ip -n \(hosts.app) route add default via 192.0.2.1
                """)
            try check("198.51.100.1", "made anew")

            // A port of a bridge is not captured, the bridge is.
            try Lab.run(
                """
                ip -n \(hosts.app) link add br0 type bridge
                ip -n \(hosts.app) link set e0 master br0
                ip -n \(hosts.app) addr flush dev e0; ip -n \(hosts.app) addr add 192.0.2.2/24 dev br0
                ip -n \(hosts.app) link set br0 up; ip -n \(hosts.app) route add default via 192.0.2.1
                """)
            #expect(Scene.wait { names() == ["br0"] }, "\(capture.state)")
            try check("198.51.100.1", "behind a bridge")
            #expect(hosts.sniffer.frames(with: "query").isEmpty)
        }
    }

    @Test("captures only the links asked for, and says which are missing")
    func selection() throws {
        try Scene.run(.link, { $0.links = ["e*", "wg0"] }) { peer, capture, hosts in
            #expect(capture.state.links.map(\.name) == ["e0"])
            #expect(capture.state.missing == ["wg0"])
            try Lab.run("ip -n \(hosts.app) link add wg0 type bridge")
            #expect(Scene.wait { capture.state.links.map(\.name) == ["e0", "wg0"] && capture.state.missing.isEmpty })
            try Lab.run("ip -n \(hosts.app) link add d0 type bridge")
            _ = try Application("198.51.100.1").ask()
            #expect(peer.answer(1) == 1)
            #expect(!capture.state.links.map(\.name).contains("d0"))
        }
    }

    @Test("takes queries with IPv4 options and IPv6 extension headers")
    func headers() throws {
        try Scene.run(.link) { peer, capture, hosts in
            for (address, level, option, value) in [
                ("198.51.100.1", CInt(IPPROTO_IP), CInt(4), [UInt8](repeating: 1, count: 40)),
                ("2001:db8:1::1", CInt(IPPROTO_IPV6), CInt(54), [0, 0, 1, 4, 0, 0, 0, 0]),
                ("2001:db8:1::1", CInt(IPPROTO_IPV6), CInt(59), [0, 1, 0x1e, 12] + [UInt8](repeating: 0, count: 12)),
            ] {
                var application = Application(address)
                application.option = (level, option, value)
                let query = try application.ask()
                #expect(peer.answer(1) == 1, "\(address) \(option)")
                #expect(peer.seen.last.map { $0.transport > (address.contains(":") ? 40 : 20) } == true)
                #expect(query.answered(), "\(address) \(option)")
            }
            #expect(hosts.sniffer.frames(with: "query").isEmpty)
        }
    }

    @Test("lets no fragment of a query out", arguments: ["198.51.100.1", "2001:db8:1::1"])
    func fragments(address: String) throws {
        try Scene.run(.link) { peer, capture, hosts in
            let marker = "fragmented-query/"
            _ = try Application(address).ask(String(repeating: marker, count: 250))
            #expect(peer.answer(3) == 3)
            #expect(capture.counters.fragments == 3)
            // Fragments of other traffic go on.
            _ = try Application(address.contains(":") ? "[\(address)]:5300" : address + ":5300").ask(
                String(repeating: "bulk/", count: 900))
            #expect(Scene.wait { !hosts.sniffer.frames(with: "bulk/").isEmpty })
            #expect(peer.answer(1, seconds: 0.02) == 0)
            #expect(hosts.sniffer.frames(with: marker).isEmpty)
        }
    }

    @Test("takes tagged frames of a VLAN and brings answers back with the tag")
    func vlan() throws {
        try Scene.run(.link) { peer, capture, hosts in
            // A frame as a VLAN device on e0 sends it; the MACs are made up, the answer must have them exchanged.
            let payload = Array("query".utf8)
            let destination: [UInt8] = [2, 0, 0, 0, 0, 0xd]
            let source: [UInt8] = [2, 0, 0, 0, 0, 0x5]
            var packet: [UInt8] = [0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 2, 203, 0, 113, 1]
            let sum = Checksum.fold(Checksum.sum(packet.span.bytes))
            (packet[10], packet[11]) = (UInt8(~sum >> 8), UInt8(~sum & 255))
            packet += [0x30, 0x39, 0, 53, 0, 13, 0, 0] + payload
            let sniffer = try Sniffer()
            try sniffer.send(destination + source + [0x81, 0, 0x60, 7, 8, 0] + packet, to: "e0")
            #expect(peer.answer(1) == 1)
            #expect(peer.seen.last?.source == IPAddress("203.0.113.2"))
            var frames: [(bytes: [UInt8], tag: UInt16?)] = []
            #expect(
                Scene.wait {
                    frames = sniffer.tagged(with: "query"); return !frames.isEmpty
                })
            let answer = try #require(frames.last)
            #expect(Array(answer.bytes.prefix(14)) == source + destination + [8, 0])
            #expect(answer.tag == 0x6007)
            #expect(hosts.sniffer.frames(with: "query").isEmpty)
            #expect(capture.counters.errors == 0)
        }
    }

    @Test("forwards a packet unchanged", arguments: ["198.51.100.1", "2001:db8:1::1"])
    func forward(address: String) throws {
        try Scene.run(.link) { peer, capture, hosts in
            _ = try Application(address).ask("onward")
            let bytes = try #require(peer.next(until: Date(timeIntervalSinceNow: 5)) { $0.destinationPort == 53 })
            #expect(bytes.withUnsafeBytes { peer.tun.write($0) } == bytes.count)
            var frames: [[UInt8]] = []
            try #require(
                Scene.wait {
                    frames = hosts.sniffer.frames(with: "onward"); return !frames.isEmpty
                })
            // All but the checksum that the kernel completes.
            let sent = Array(bytes[10...])
            let left = Array(frames[0][14...])
            let same = zip(sent, left).count { $0 == $1 }
            #expect(left.count == sent.count && same >= sent.count - 2, "\(sent)\n\(left)")
            #expect(capture.counters.forwarded == 1)
        }
    }

    @Test("passes what is for the machine itself")
    func local() throws {
        try Scene.run(.link) { peer, capture, hosts in
            // A connection through the TUN to a listener on its near address, as TCP/53 is redirected.
            let near = SocketAddress(hosts.request.addresses.near4, port: 53535)
            let listener = try Descriptor(socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0), "socket")
            #expect(near.withSockaddr { bind(listener.number, $0, $1) } == 0)
            _ = try Application("198.51.100.1").ask()
            var bytes = try #require(peer.next(until: Date(timeIntervalSinceNow: 1)) { $0.destinationPort == 53 })
            let from = hosts.request.addresses.far4.low
            for index in 0..<4 {
                bytes[10 + 12 + index] = UInt8(truncatingIfNeeded: from >> UInt64(24 - 8 * index))
                bytes[10 + 16 + index] = UInt8(truncatingIfNeeded: near.address.low >> UInt64(24 - 8 * index))
            }
            (bytes[10 + 22], bytes[10 + 23]) = (UInt8(53535 >> 8), UInt8(53535 & 255))
            (bytes[10 + 26], bytes[10 + 27]) = (0, 0)
            bytes.replaceSubrange(0..<10, with: [UInt8](repeating: 0, count: 10))
            bytes[10 + 10] = 0
            bytes[10 + 11] = 0
            let sum = Checksum.fold(Checksum.sum(Array(bytes[10..<30]).span.bytes))
            (bytes[20], bytes[21]) = (UInt8(~sum >> 8), UInt8(~sum & 255))
            #expect(bytes.withUnsafeBytes { peer.tun.write($0) } == bytes.count)
            var room = [UInt8](repeating: 0, count: 100)
            var wait = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
            #expect(poll(&wait, 1, 1000) == 1)
            let count = recv(listener.number, &room, room.count, 0)
            #expect(count == 5 && Array(room[..<5]) == Array("query".utf8))
            #expect(capture.counters.local == 1)
        }
    }
}
