import Foundation
import Glibc
import Kernel
import PacketTunnel
import Synchronization
import TestPackets
import Testing
import Wire

/// What full mode takes and how it goes on, with the least of a filter, in namespaces, with the machine's kernel.
@Suite("Full mode")
struct FullModeTests {
    static let backEnds = CaptureTests.backEnds
    static let pairs = [("192.0.2.2", "198.51.100.1"), ("2001:db8::2", "2001:db8:1::1")]

    @Test("forwards packets of every kind byte for byte", arguments: backEnds, pairs)
    func unchanged(backEnd: CaptureRequest.BackEnd, pair: (String, String)) throws {
        try Scene.full(backEnd, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            let zoo = PacketZoo(from: pair.0, to: pair.1)
            let raw = try Raw()
            for animal in zoo.animals {
                _ = hosts.sniffer.frames(with: animal.text)
                try raw.send(animal.bytes)
                var frames: [[UInt8]] = []
                let came = Scene.wait {
                    frames += hosts.sniffer.frames(with: animal.text)
                    return !frames.isEmpty
                }
                #expect(came, "\(backEnd) \(animal.name)")
                guard came else { continue }
                let left = Array(frames[0][14...])
                if backEnd == .route, animal.isChangedByForwarding {
                    // A TTL of 255 cannot be raised before the kernel takes one; options that routers fill, they fill.
                    #expect(left.suffix(8) == animal.bytes.suffix(8) && left.count == animal.bytes.count)
                } else {
                    #expect(left == animal.bytes, "\(backEnd) \(animal.name)")
                }
                // What routers behind may say of it quotes it.
                #expect(frames.count { $0 == frames[0] } == 1, "\(animal.name) came once")
            }
            let seen = forwarder.seen()
            // Answers to echoes are nobody's flow and stay where they are.
            let untouched = backEnd == .link ? 1 : 0
            #expect(seen.total >= zoo.animals.count - untouched, "\(seen.total) of \(zoo.animals.count)")
            #expect(seen.writeErrors == 0)
            if backEnd == .link { #expect(capture.counters.errors == 0) }
        }
    }

    @Test("lets packets of allowed flows pass byte for byte, headers of the link included", arguments: pairs)
    func allowed(pair: (String, String)) throws {
        try Scene.full(.link) { forwarder, capture, hosts in
            let sniffer = try Sniffer()
            var macs: [[UInt8]] = []
            for host in [hosts.far, hosts.app] {
                let text = try Lab.run("ip netns exec \(host) cat /sys/class/net/e0/address")
                macs.append(text.split(separator: ":").map { UInt8($0.prefix(2), radix: 16)! })
            }
            let isIPv6 = pair.0.contains(":")
            let header = macs[0] + macs[1] + (isIPv6 ? [0x86, 0xdd] : [8, 0])
            for animal in PacketZoo(from: pair.0, to: pair.1).animals {
                for round in 0..<3 {
                    _ = hosts.sniffer.frames(with: animal.text)
                    try sniffer.send(header + animal.bytes, to: "e0")
                    var frames: [[UInt8]] = []
                    let came = Scene.wait {
                        frames += hosts.sniffer.frames(with: animal.text)
                        return !frames.isEmpty
                    }
                    #expect(came, "\(animal.name), round \(round)")
                    #expect(!came || frames[0] == header + animal.bytes, "\(animal.name), round \(round)")
                }
            }
            #expect(capture.counters.allowed > 0)
            #expect(capture.counters.errors == 0)
        }
    }

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

    @Test("carries connections both ways", arguments: backEnds, ["192.0.2.1:4500", "[2001:db8::1]:4500"])
    func connections(backEnd: CaptureRequest.BackEnd, address: String) throws {
        for (isAllowed, offloads) in [(false, true), (true, true), (false, false), (true, false)] {
            try Scene.full(
                backEnd, { $0.offloads = offloads }, judge: { _, _ in isAllowed ? .allow : .forward }
            ) { forwarder, capture, hosts in
                let conversation = try Conversation.open(to: hosts.far, address)
                defer { conversation.end() }
                #expect(conversation.carry(2_000_000, up: true))
                #expect(conversation.carry(2_000_000, up: false))
                let seen = forwarder.seen()
                #expect(seen.packets[conversation.key, default: 0] > 0)
                #expect(seen.writeErrors == 0)
                #expect(offloads || seen.superPackets == 0)
                if backEnd == .link, isAllowed {
                    #expect(seen.total < 200, "\(seen.total) packets before the verdict was in the kernel")
                } else {
                    #expect(offloads ? seen.superPackets > 0 : seen.total > 1300, "\(seen.total)")
                }
            }
        }
    }

    @Test("leaves groups, all hosts, and neighbours alone", arguments: backEnds)
    func linkScope(backEnd: CaptureRequest.BackEnd) throws {
        try Scene.full(backEnd, judge: { _, _ in .drop }) { forwarder, capture, hosts in
            let raw = try Raw()
            let link = try Lab.run(
                "ip -n \(hosts.app) -6 addr show dev e0 scope link; ip -n \(hosts.far) -6 addr show dev e0 scope link")
            let locals = link.split(separator: "\n").filter { $0.contains("fe80") }.map {
                String($0.split(separator: " ")[1].split(separator: "/")[0])
            }
            try #require(locals.count == 2)
            let pairs = [
                ("192.0.2.2", "224.0.0.251"), ("192.0.2.2", "239.1.2.3"), ("192.0.2.2", "255.255.255.255"),
                ("192.0.2.2", "192.0.2.255"), ("2001:db8::2", "ff02::fb"), ("2001:db8::2", "ff05::1:3"),
                (locals[0], locals[1]),
            ]
            for (index, (from, to)) in pairs.enumerated() {
                let text = "link-scope-\(index)/"
                let packet = TestPackets.udp(from, to, (40_000, 5353), Array(text.utf8))
                try raw.send(packet, by: "e0")
                #expect(Scene.wait { !hosts.sniffer.frames(with: text).isEmpty }, "\(backEnd) \(to)")
            }
            // Neighbours are asked for anew, although every packet that reaches the tunnel is dropped.
            try Lab.run(
                """
                ip -n \(hosts.app) neigh flush dev e0; ip -n \(hosts.app) -6 neigh flush dev e0
                ip netns exec \(hosts.app) ping -c1 -W1 192.0.2.1 || true
                ip netns exec \(hosts.app) ping -c1 -W1 2001:db8::1 || true
                """)
            let seen = forwarder.seen().packets.keys.filter { $0.proto != 1 && $0.proto != 58 }
            #expect(seen.isEmpty, "\(seen)")
        }
    }

    @Test("excludes prefixes, which win over included ones, but not their DNS", arguments: backEnds)
    func prefixes(backEnd: CaptureRequest.BackEnd) throws {
        func change(_ request: inout CaptureRequest) {
            request.include = [Prefix("198.51.100.0/24")!, Prefix("2001:db8:1::/48")!]
            request.exclude = [Prefix("198.51.100.128/25")!, Prefix("2001:db8:1:8000::/49")!]
        }
        try Scene.full(backEnd, change, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            func isTaken(_ address: String, _ port: Int = 5300) throws -> Bool {
                let text = "prefix \(address) \(port)"
                _ = forwarder.seen()
                _ = try Application(address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)").ask(text)
                #expect(Scene.wait { !hosts.sniffer.frames(with: text).isEmpty }, "\(backEnd) \(text)")
                return forwarder.seen().packets.keys.contains { Int($0.destinationPort) == port }
            }
            for (address, expected) in [
                ("198.51.100.1", true), ("198.51.100.200", false), ("203.0.113.1", false), ("2001:db8:1::1", true),
                ("2001:db8:1:8000::1", false), ("2001:db8:2::1", false),
            ] {
                #expect(try isTaken(address) == expected, "\(backEnd) \(address)")
                #expect(try isTaken(address, 53), "\(backEnd) DNS of \(address)")
            }
            // They change while the capture runs.
            try capture.setPrefixes(include: [], exclude: [Prefix("198.51.100.0/25")!])
            for (address, expected) in [("198.51.100.1", false), ("203.0.113.2", true), ("2001:db8:2::2", true)] {
                capture.flows?.remove(
                    FlowKey(
                        source: IPAddress("192.0.2.2")!, sourcePort: 0, destination: IPAddress(address)!,
                        destinationPort: 5300, proto: 17))
                #expect(try isTaken(address) == expected, "\(backEnd) later \(address)")
            }
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

    @Test("tells the sender what routers say: TTL exceeded, packet too big", arguments: backEnds, [false, true])
    func routers(backEnd: CaptureRequest.BackEnd, isAllowed: Bool) throws {
        // FAR is a router; behind it the end has a link with a smaller MTU.
        let prepare = """
            new end
            ip link add r0 netns FAR type veth peer name r0 netns LABend
            ip -n FAR link set r0 mtu 1300; ip -n LABend link set r0 mtu 1300
            ip -n FAR addr add 198.51.100.254/24 dev r0; ip -n LABend addr add 198.51.100.1/24 dev r0
            ip -n FAR addr add 2001:db8:1::fe/64 dev r0 nodad; ip -n LABend addr add 2001:db8:1::1/64 dev r0 nodad
            ip -n FAR link set r0 up; ip -n LABend link set r0 up
            ip -n LABend route add default via 198.51.100.254; ip -n LABend -6 route add default via 2001:db8:1::fe
            ip netns exec FAR sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            """
        try Scene.full(backEnd, prepare: prepare, judge: { _, _ in isAllowed ? .allow : .forward }) {
            forwarder, capture, hosts in
            for address in ["198.51.100.1:4500", "[2001:db8:1::1]:4500"] {
                let conversation = try Conversation.open(to: hosts.lab.prefix + "end", address)
                #expect(conversation.carry(300_000, up: true), "\(address)")
                #expect(conversation.carry(300_000, up: false), "\(address)")
                conversation.end()
            }
            // One hop, then two, as traceroute does it.
            let output = try Lab.run(
                """
                ip netns exec \(hosts.app) ping -n -c1 -W2 -t1 198.51.100.1 || true
                ip netns exec \(hosts.app) ping -n -c1 -W2 -t2 198.51.100.1
                ip netns exec \(hosts.app) ping -n -c1 -W2 -t1 2001:db8:1::1 || true
                ip netns exec \(hosts.app) ping -n -c1 -W2 -t2 2001:db8:1::1
                """)
            #expect(output.contains("From 192.0.2.1 icmp_seq=1 Time to live exceeded"), "\(output)")
            #expect(output.contains("From 2001:db8::1 icmp_seq=1 Time exceeded: Hop limit"), "\(output)")
            // "Packet too big" reaches a datagram's sender as EMSGSIZE.
            for (address, size) in [("198.51.100.1", 1400), ("2001:db8:1::1", 1400)] {
                let output = try Lab.run(
                    "ip netns exec \(hosts.app) ping -n -M do -c2 -i0.2 -W1 -s \(size) \(address) 2>&1 || true")
                #expect(output.contains("mtu") || output.contains("Packet too big"), "\(output)")
            }
        }
    }

    @Test("refuses at once", arguments: backEnds, ["203.0.113.9:4700", "[2001:db8:2::9]:4700"])
    func refused(backEnd: CaptureRequest.BackEnd, address: String) throws {
        try Scene.full(backEnd, judge: { _, _ in .refuse }) { forwarder, capture, hosts in
            let start = Date()
            #expect(throws: KernelError.self) { _ = try Conversation.open(to: hosts.far, address) }
            // Of datagrams the sender is told that it is prohibited.
            var application = Application(address)
            application.connected = true
            let query = try application.ask("forbidden")
            var error: CInt = 0
            #expect(
                Scene.wait {
                    var size = socklen_t(4)
                    getsockopt(query.socket.number, SOL_SOCKET, SO_ERROR, &error, &size)
                    return error != 0
                })
            #expect([EHOSTUNREACH, EACCES, ECONNREFUSED].contains(error), "\(error)")
            #expect(Date().timeIntervalSince(start) < 5)
            #expect(hosts.sniffer.frames(with: "forbidden").isEmpty)
        }
    }

    @Test("keeps all fragments back whose first one was", arguments: ["198.51.100.1", "2001:db8:1::1"], [53, 5300])
    func fragments(address: String, port: Int) throws {
        let judge: Forwarder.Judge = { key, packet in
            packet.kind == .fragment && key.destinationPort != 0 ? .drop : .forward
        }
        try Scene.full(.link, judge: judge) { forwarder, capture, hosts in
            let marker = "kept-back/"
            let text = String(repeating: marker, count: 400)
            _ = try Application(address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)").ask(text)
            #expect(Scene.wait { capture.counters.fragments == 3 }, "\(capture.counters)")
            usleep(50_000)
            #expect(hosts.sniffer.frames(with: marker).isEmpty)
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

    @Test("leaves its own packets alone", arguments: backEnds)
    func marked(backEnd: CaptureRequest.BackEnd) throws {
        try Scene.full(backEnd, judge: { _, _ in .drop }) { forwarder, capture, hosts in
            for address in ["198.51.100.1:443", "[2001:db8:1::1]:443"] {
                var application = Application(address)
                application.mark = hosts.request.mark
                _ = try application.ask("upstream")
                #expect(Scene.wait { !hosts.sniffer.frames(with: "upstream").isEmpty }, "\(address)")
            }
            #expect(!forwarder.seen().packets.keys.contains { $0.destinationPort == 443 })
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
