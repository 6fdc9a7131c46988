import Glibc
import Kernel
import TestPackets
import Wire

/// Sends whole IP packets by raw sockets (`IP_HDRINCL`), in the namespace of the calling thread: the kernel routes them and changes
/// nothing, but that it computes IPv4's header checksum.
final class Raw {
    private let socket4: Descriptor
    private let socket6: Descriptor

    init() throws {
        socket4 = try Descriptor(socket(AF_INET, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_RAW)), "open a raw socket")
        socket6 = try Descriptor(socket(AF_INET6, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_RAW)), "open a raw socket")
        var on: CInt = 1
        setsockopt(socket4.number, SOL_SOCKET, SO_BROADCAST, &on, 4)
    }

    /// - Parameter link: the name of the link, for addresses that need one.
    func send(_ packet: [UInt8], by link: String? = nil) throws {
        let isIPv6 = packet[0] >> 4 == 6
        let bytes = packet[isIPv6 ? 24..<40 : 16..<20]
        let count: Int
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
            if let link { address.sin6_scope_id = if_nametoindex(link) }
            count = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(socket6.number, packet, packet.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        } else {
            if let link {
                setsockopt(socket4.number, SOL_SOCKET, SO_BINDTODEVICE, link, socklen_t(link.utf8.count))
            }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
            count = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(socket4.number, packet, packet.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        if count != packet.count { throw KernelError("send \(packet.count) bytes to \(Array(bytes))") }
    }
}

/// Packets of every kind from one address to another, each with a text of its own in it.
struct PacketZoo {
    struct Animal {
        let name: String
        let text: String
        let bytes: [UInt8]
        /// What the kernel's forwarding must change, by the rules of the protocol.
        var isChangedByForwarding = false
    }

    private(set) var animals: [Animal] = []
    private let from: String
    private let to: String

    private mutating func add(_ name: String, changed: Bool = false, _ packet: ([UInt8]) -> [UInt8]) {
        let text = "animal-\(animals.count)/"
        animals.append(
            Animal(name: name, text: text, bytes: packet(Array(text.utf8)), isChangedByForwarding: changed))
    }

    /// Corrects the header checksum after a change of an IPv4 header.
    private static func mend(_ packet: [UInt8], _ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var packet = packet
        change(&packet)
        guard packet[0] >> 4 == 4 else { return packet }
        packet.replaceSubrange(10..<12, with: [0, 0])
        let header = Array(packet[..<(Int(packet[0] & 15) * 4)])
        packet.replaceSubrange(10..<12, with: TestPackets.big16(Int(TestPackets.checksum(header))))
        return packet
    }

    init(from: String, to: String) {
        self.from = from
        self.to = to
        addTransports()
        addProtocols()
        addFragments()
        if from.contains(":") { addHeaders6() } else { addHeaders4() }
    }

    private mutating func addTransports() {
        let (from, to) = (from, to)
        add("UDP") { TestPackets.udp(from, to, (40_001, 4001), $0) }
        add("a datagram that fills the link") { text in
            let room = 1500 - 8 - (from.contains(":") ? 40 : 20)
            return TestPackets.udp(
                from, to, (40_002, 4002), text + (0..<(room - text.count)).map { UInt8($0 & 255) })
        }
        add("a SYN with options") {
            TestPackets.tcp(from, to, (40_003, 4003), flags: 2, $0, tcpOptions: [2, 4, 5, 180, 4, 2, 1, 1])
        }
        add("a segment of a connection that began earlier") {
            TestPackets.tcp(from, to, (40_004, 4004), flags: 0x18, sequence: 7_000_000, acknowledgment: 99, $0)
        }
        add("a reset") { TestPackets.tcp(from, to, (40_005, 4005), flags: 4, $0) }
        add("an urgent segment with ECN and reserved bits") {
            let packet = TestPackets.tcp(from, to, (40_006, 4006), flags: 0xf8, $0)
            return PacketZoo.mend(packet) { $0[$0[0] >> 4 == 6 ? 52 : 32] |= 0x0f }
        }
        add("an echo request") { TestPackets.echo(from, to, $0) }
        add("an echo reply") { TestPackets.echo(from, to, $0, type: from.contains(":") ? 129 : 0) }
        for ttl in [UInt8(1), 2, 30, 254, 255] {
            add("TTL \(ttl)", changed: ttl == 255) { text in
                PacketZoo.mend(TestPackets.udp(from, to, (40_007, 33_434), text)) {
                    $0[$0[0] >> 4 == 6 ? 7 : 8] = ttl
                }
            }
        }
        add("expedited, with congestion experienced") {
            PacketZoo.mend(TestPackets.udp(from, to, (40_008, 4008), $0)) {
                if $0[0] >> 4 == 6 { ($0[0], $0[1], $0[2], $0[3]) = (0x6b, 0xba, 0xbc, 0xde) } else { $0[1] = 0xbb }
            }
        }
        add("a wrong UDP checksum") {
            PacketZoo.mend(TestPackets.udp(from, to, (40_009, 4009), $0)) { $0[$0[0] >> 4 == 6 ? 46 : 26] ^= 0x55 }
        }
    }

    private mutating func addProtocols() {
        let (from, to) = (from, to)
        let numbers: [(UInt8, String)] = [
            (47, "GRE"), (50, "ESP"), (132, "SCTP"), (4, "IPv4 in IP"), (41, "IPv6 in IP"), (33, "DCCP"),
            (136, "UDP-Lite"), (112, "VRRP"), (253, "an experiment"),
        ]
        for (number, name) in numbers {
            add(name) { text in TestPackets.ip(from, to, number, [0, 0, 0x86, 0xdd, 1, 2, 3, 4] + text) }
        }
    }

    private mutating func addFragments() {
        let (from, to) = (from, to)
        let isIPv6 = from.contains(":")
        let datagram = TestPackets.udp(from, to, (40_010, 4010), (0..<3000).map { UInt8($0 % 251) })
        let payload = Array(datagram[(isIPv6 ? 40 : 20)...])
        for start in stride(from: 0, to: payload.count, by: 1200) {
            let part = Array(payload[start..<min(start + 1200, payload.count)])
            let isLast = start + 1200 >= payload.count
            add("a fragment at \(start)") { text in
                // The text takes the place of the end of what the fragment has.
                let content = Array(part.dropLast(text.count)) + text
                guard isIPv6 else {
                    return TestPackets.ip(from, to, 17, content, fragment: start / 8 | (isLast ? 0 : 0x2000))
                }
                let header: [UInt8] = [17, 0] + TestPackets.big16(start | (isLast ? 0 : 1)) + [0xca, 0xfe, 0xba, 0xbe]
                return TestPackets.ip(from, to, 17, content, headers: header, next: 44)
            }
        }
    }

    private mutating func addHeaders4() {
        let (from, to) = (from, to)
        add("don't fragment") {
            PacketZoo.mend(TestPackets.udp(from, to, (40_011, 4011), $0)) { $0[6] = 0x40 }
        }
        add("no UDP checksum") {
            PacketZoo.mend(TestPackets.udp(from, to, (40_012, 4012), $0)) { ($0[26], $0[27]) = (0, 0) }
        }
        add("padding of 40 bytes as options") {
            TestPackets.udp(from, to, (40_013, 4013), $0, options: [UInt8](repeating: 1, count: 40))
        }
        // Every router writes its address here (RFC 791 section 3.1).
        add("an option that records the route", changed: true) {
            TestPackets.udp(from, to, (40_014, 4014), $0, options: [7, 11, 4] + [UInt8](repeating: 0, count: 8) + [0])
        }
        add("a timestamp request") { text in
            TestPackets.ip(from, to, 1, [13, 0, 0, 0, 1, 2, 3, 4] + [UInt8](repeating: 0, count: 12) + text)
        }
        add("an authentication header") { text in
            TestPackets.ip(from, to, 51, [17, 4, 0, 0] + [UInt8](repeating: 9, count: 20) + text)
        }
    }

    private mutating func addHeaders6() {
        let (from, to) = (from, to)
        let pad: [UInt8] = [1, 4, 0, 0, 0, 0]
        let udp = { (text: [UInt8]) in Array(TestPackets.udp(from, to, (40_015, 4015), text)[40...]) }
        add("hop-by-hop options") { TestPackets.ip(from, to, 17, udp($0), headers: [17, 0] + pad, next: 0) }
        add("destination options") { TestPackets.ip(from, to, 17, udp($0), headers: [17, 0] + pad, next: 60) }
        add("a long chain") {
            TestPackets.ip(from, to, 17, udp($0), headers: [60, 0] + pad + [60, 0] + pad + [17, 0] + pad, next: 0)
        }
        add("an authentication header") { text in
            TestPackets.ip(
                from, to, 17, udp(text), headers: [17, 4, 0, 0] + [UInt8](repeating: 9, count: 20), next: 51)
        }
        add("a fragment that is all") {
            TestPackets.ip(from, to, 17, udp($0), headers: [17, 0, 0, 0, 0xab, 0xad, 0xca, 0xfe], next: 44)
        }
        add("no next header") { TestPackets.ip(from, to, 59, $0) }
    }
}
