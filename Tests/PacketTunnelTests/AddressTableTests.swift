import PacketTunnel
import TestPackets
import Testing
import Wire

@Suite("AddressTable")
struct AddressTableTests {
    func address(_ text: String) -> IPAddress { IPAddress(text)! }

    @Test("the longest prefix has the word")
    func longest() {
        var table = AddressTable()
        table.add(address("192.0.2.1"), length: 24, ifindex: 3)
        table.add(address("192.0.2.1"), length: 32, ifindex: 4)
        table.add(address("2001:db8::1"), length: 64, ifindex: 5)
        table.add(address("2001:db8::1"), length: 128, ifindex: 6)
        #expect(table.link(of: address("192.0.2.1")) == 4)
        #expect(table.link(of: address("192.0.2.255")) == 3)
        #expect(table.link(of: address("192.0.3.0")) == -1)
        #expect(table.link(of: address("2001:db8::1")) == 6)
        #expect(table.link(of: address("2001:db8::ffff")) == 5)
        #expect(table.link(of: address("2001:db8:0:1::")) == -1)
    }

    @Test("of two equal prefixes the first stays")
    func first() {
        var table = AddressTable()
        table.add(address("192.0.2.9"), length: 24, ifindex: 3)
        table.add(address("192.0.2.1"), length: 24, ifindex: 4)
        #expect(table.link(of: address("192.0.2.7")) == 3)
    }

    @Test("families are told apart")
    func families() {
        var table = AddressTable()
        table.add(address("0.0.0.0"), length: 0, ifindex: 3)
        #expect(table.link(of: address("198.51.100.1")) == 3)
        #expect(table.link(of: address("2001:db8::1")) == -1)
        #expect(table.link(of: address("::")) == -1)
        table.add(address("::"), length: 0, ifindex: 4)
        #expect(table.link(of: address("2001:db8::1")) == 4)
        #expect(table.link(of: address("198.51.100.1")) == 3)
    }

    /// A prefix bit by bit.
    struct Naive {
        var entries: [(bits: [Bool], isIPv6: Bool, ifindex: UInt32)] = []

        static func bits(_ address: IPAddress) -> [Bool] {
            let first: UInt64 = address.isIPv6 ? 0 : 96
            return (first..<128).map { (place: UInt64) -> Bool in
                let word = place < 64 ? address.high : address.low
                return word >> (63 - place % 64) & 1 == 1
            }
        }

        func link(of address: IPAddress) -> Int32 {
            let bits = Naive.bits(address)
            var best: (length: Int, ifindex: UInt32)?
            for entry in entries where entry.isIPv6 == address.isIPv6 && bits.starts(with: entry.bits) {
                if best.map({ $0.length < entry.bits.count }) ?? true { best = (entry.bits.count, entry.ifindex) }
            }
            return best.map { Int32($0.ifindex) } ?? -1
        }
    }

    @Test("finds what a comparison bit by bit finds")
    func differential() {
        let seed = UInt64.random(in: 0 ... .max)
        print("AddressTableTests: seed \(seed)")
        var random = SeededGenerator(seed)
        for _ in 0..<200 {
            var table = AddressTable()
            var naive = Naive()
            // Few different bits, so that prefixes meet.
            func some() -> IPAddress {
                let bit = UInt64(1) << UInt64.random(in: 0...31, using: &random)
                if Bool.random(using: &random) { return IPAddress(v4: UInt32(bit) & 0x8080_0101) }
                return IPAddress(high: bit << 32 & 0x8000_0001_0000_0000, low: bit & 0x8000_0001)
            }
            for number in 1...UInt32.random(in: 1...12, using: &random) {
                let address = some()
                let length = Int.random(in: 0...address.byteCount * 8, using: &random)
                table.add(address, length: length, ifindex: number)
                let bits = Array(Naive.bits(address).prefix(length))
                naive.entries.append((bits, address.isIPv6, number))
            }
            for _ in 0..<50 {
                let address = some()
                #expect(table.link(of: address) == naive.link(of: address))
            }
        }
    }
}
