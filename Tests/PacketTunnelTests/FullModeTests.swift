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
                if isAllowed {
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
}
