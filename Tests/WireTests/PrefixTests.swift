import Testing
import Wire

@Suite("Prefix")
struct PrefixTests {
    @Test(
        "reads and writes CIDR",
        arguments: [
            ("192.0.2.0/24", "192.0.2.0/24"), ("192.0.2.77/24", "192.0.2.0/24"), ("192.0.2.77", "192.0.2.77/32"),
            ("0.0.0.0/0", "0.0.0.0/0"), ("255.255.255.255/1", "128.0.0.0/1"), ("2001:db8::1/64", "2001:db8::/64"),
            ("2001:db8:ffff::/33", "2001:db8:8000::/33"), ("::/0", "::/0"), ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::ff/121", "2001:db8::80/121"),
        ])
    func text(input: String, output: String) {
        #expect(Prefix(input)?.description == output)
    }

    @Test(
        "refuses what is none",
        arguments: [
            "", "/", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/+8", "192.0.2.0/08", "192.0.2/24",
            "2001:db8::/129", "2001:db8::/64/3", "192.0.2.0/ 8", "x/8", "192.0.2.0/0x8",
        ])
    func refused(input: String) {
        #expect(Prefix(input) == nil)
    }

    @Test("contains addresses of its own family, bit by bit")
    func contains() {
        for length in 0...32 {
            let prefix = Prefix(IPAddress("203.0.113.77")!, length: length)
            for bit in 0..<32 {
                let other = IPAddress(v4: UInt32(IPAddress("203.0.113.77")!.low) ^ UInt32(1) << UInt32(31 - bit))
                #expect(prefix.contains(other) == (bit >= length), "\(prefix) \(other)")
            }
            #expect(!prefix.contains(IPAddress("2001:db8::")!))
        }
        let base = IPAddress("2001:db8:55:aa::77")!
        for length in 0...128 {
            let prefix = Prefix(base, length: length)
            for bit in 0..<128 {
                let mask: (UInt64, UInt64) = bit < 64 ? (1 << UInt64(63 - bit), 0) : (0, 1 << UInt64(127 - bit))
                let other = IPAddress(high: base.high ^ mask.0, low: base.low ^ mask.1)
                #expect(prefix.contains(other) == (bit >= length), "\(prefix) \(other)")
            }
        }
    }
}
