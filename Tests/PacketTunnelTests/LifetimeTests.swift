import PacketTunnel
import TestPackets
import Testing
import Wire

@Suite("Lifetime")
struct LifetimeTests {
    @Test("comes out as it was when the kernel takes one away")
    func raised() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<20_000 {
            let ttl = UInt8.random(in: 1...255, using: &random)
            let isIPv6 = Bool.random(using: &random)
            let address = isIPv6 ? "2001:db8::2" : "192.0.2.2"
            var packet = TestPackets.ip(address, address, 253, [1, 2, 3], ttl: ttl)
            if !isIPv6 {
                // Any checksum, by any identification.
                packet.replaceSubrange(4..<6, with: TestPackets.big16(Int.random(in: 0...65535, using: &random)))
                packet.replaceSubrange(10..<12, with: [0, 0])
                packet.replaceSubrange(
                    10..<12, with: TestPackets.big16(Int(TestPackets.checksum(Array(packet[..<20])))))
            }
            let before = packet
            packet.withUnsafeMutableBytes { room in
                var bytes = room.mutableBytes
                Lifetime.raise(&bytes, Packet.parse(bytes.bytes))
            }
            let at = isIPv6 ? 7 : 8
            #expect(packet[at] == (ttl == 255 ? 255 : ttl + 1), "seed \(seed)")
            guard ttl < 255 else { continue }
            if !isIPv6 { #expect(TestPackets.sum(Array(packet[..<20])) == 65535, "seed \(seed)") }
            LifetimeTests.decrease(&packet, isIPv6)
            #expect(packet == before, "seed \(seed)")
        }
    }

    /// As `ip_decrease_ttl` of the kernel's include/net/ip.h does it.
    private static func decrease(_ packet: inout [UInt8], _ isIPv6: Bool) {
        packet[isIPv6 ? 7 : 8] -= 1
        guard !isIPv6 else { return }
        // In network byte order the TTL is the upper half of its word.
        var check = UInt32(packet[10]) << 8 | UInt32(packet[11])
        check += 0x0100
        check += check >= 0xffff ? 1 : 0
        packet.replaceSubrange(10..<12, with: TestPackets.big16(Int(check & 0xffff)))
    }
}
