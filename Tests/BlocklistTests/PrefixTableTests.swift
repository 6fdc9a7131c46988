import CAllocations
import Foundation
import Testing
import Wire

@testable import Blocklist

/// The longest prefix that holds an address, against a search through all of them.
struct PrefixTableTests {
    /// A table in memory of its own.
    final class Built {
        let table: PrefixTable
        let byteCount: Int
        private let memory: UnsafeMutableRawPointer

        init(_ prefixes: [IPPrefix]) {
            var builder = PrefixTableBuilder()
            for (index, prefix) in prefixes.enumerated() { builder.add(prefix, source: UInt32(index + 1)) }
            let bytes = builder.finish()
            byteCount = bytes.count
            let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
            self.memory = memory
            bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            table = PrefixTable(memory)
        }

        deinit { memory.deallocate() }

        /// Source and length.
        func find(_ address: IPAddress) -> [Int]? {
            table.longest(address).map { [Int($0.source), Int($0.length)] }
        }
    }

    /// The same by going through all prefixes.
    static func naive(_ prefixes: [IPPrefix], _ address: IPAddress) -> [Int]? {
        var best: [Int]?
        for (index, prefix) in prefixes.enumerated() where prefix.contains(address) {
            if best == nil || best![1] < prefix.length { best = [index + 1, prefix.length] }
        }
        return best
    }

    static func prefix(_ text: String) -> IPPrefix {
        guard let prefix = try? IPPrefix(text) else { fatalError(text) }
        return prefix
    }

    @Test func nestedPrefixesAndTheirEdges() {
        let texts = [
            "192.0.2.0/24", "192.0.2.0/25", "192.0.2.0/32", "192.0.2.128/30", "192.0.2.255/32", "10.0.0.0/8",
            "10.255.0.0/16", "10.255.255.255", "255.255.255.255", "0.0.0.0/32", "2001:db8::/32", "2001:db8::/128",
            "2001:db8:0:1::/64", "2001:db8:ffff:ffff::/64", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/128", "fe80::/10",
        ]
        let prefixes = texts.map(PrefixTableTests.prefix)
        let built = Built(prefixes)
        #expect(built.table.count == texts.count)
        for text in [
            "192.0.2.0", "192.0.2.1", "192.0.2.127", "192.0.2.128", "192.0.2.131", "192.0.2.132", "192.0.2.254",
            "192.0.2.255", "192.0.3.0", "192.0.1.255", "10.0.0.0", "10.254.255.255", "10.255.0.0", "10.255.255.254",
            "10.255.255.255", "9.255.255.255", "11.0.0.0", "255.255.255.255", "255.255.255.254", "0.0.0.0", "0.0.0.1",
            "2001:db8::", "2001:db8::1", "2001:db8:0:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::",
            "2001:db8:ffff:ffff::", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "::", "::1",
            "febf::", "fec0::",
        ] {
            let address = IPAddress(text)!
            #expect(built.find(address) == PrefixTableTests.naive(prefixes, address), "\(text)")
        }
    }

    @Test func everyAddressAndNone() {
        let all = Built([PrefixTableTests.prefix("0.0.0.0/0"), PrefixTableTests.prefix("::/0")])
        for text in ["0.0.0.0", "127.0.0.1", "255.255.255.255"] { #expect(all.find(IPAddress(text)!) == [1, 0]) }
        for text in ["::", "2001:db8::1", "ffff::"] { #expect(all.find(IPAddress(text)!) == [2, 0]) }
        let none = Built([])
        #expect(none.table.count == 0)
        #expect(none.find(IPAddress("192.0.2.1")!) == nil)
        #expect(none.find(IPAddress("2001:db8::1")!) == nil)
    }

    @Test func ofEqualPrefixesTheFirstSpeaks() {
        let prefixes = ["192.0.2.0/24", "198.51.100.7", "192.0.2.0/24", "198.51.100.7"].map(PrefixTableTests.prefix)
        let built = Built(prefixes)
        #expect(built.table.count == 2)
        #expect(built.find(IPAddress("192.0.2.9")!) == [1, 24])
        #expect(built.find(IPAddress("198.51.100.7")!) == [2, 32])
    }

    /// What speaks when a prefix does not: every prefix that holds the address, from the longest on, equal ones in their
    /// order.
    @Test func outerPrefixesFollow() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("PrefixTableTests seed \(seed)")
        var random = Seeded(state: seed)
        for _ in 0..<40 {
            let prefixes = (0..<Int.random(in: 1...60, using: &random)).map { _ -> IPPrefix in
                let bits = random.next() & 0x8000_0181_0000_0003
                return random.next() % 2 == 0
                    ? IPPrefix(IPAddress(v4: UInt32(bits >> 32)), length: Int.random(in: 0...32, using: &random))
                    : IPPrefix(IPAddress(high: bits, low: 0), length: Int.random(in: 0...128, using: &random))
            }
            let built = Built(prefixes)
            for address in prefixes.map(\.address) {
                var found: [Int] = []
                var hit = built.table.longest(address)
                while let current = hit {
                    found.append(Int(current.source))
                    hit = built.table.outer(current.source)
                }
                let expected = prefixes.indices.filter { prefixes[$0].contains(address) }
                    .sorted { (-prefixes[$0].length, $0) < (-prefixes[$1].length, $1) }.map { $0 + 1 }
                #expect(found == expected)
            }
        }
    }

    @Test func randomPrefixes() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("PrefixTableTests seed \(seed)")
        var random = Seeded(state: seed)
        for round in 0..<60 {
            // Few bits that differ, so that prefixes nest and touch; every fourth round all bits differ.
            let spread: UInt64 = round % 4 == 3 ? .max : 0x0000_0003_8000_0181
            var prefixes: [IPPrefix] = []
            for _ in 0..<Int.random(in: 1...120, using: &random) {
                let (high, low) = (random.next() & spread, random.next() & spread)
                if Bool.random(using: &random) {
                    prefixes.append(
                        IPPrefix(
                            IPAddress(v4: UInt32(truncatingIfNeeded: high << 16 ^ low)),
                            length: Int.random(in: 0...32, using: &random)))
                } else {
                    prefixes.append(
                        IPPrefix(IPAddress(high: high, low: low), length: Int.random(in: 0...128, using: &random)))
                }
            }
            let built = Built(prefixes)
            #expect(built.table.count == Set(prefixes).count)
            // Random addresses, and those at and beside the edges of each prefix.
            var addresses: [IPAddress] = (0..<200).map { index in
                let (high, low) = (random.next() & spread, random.next() & spread)
                return index % 2 == 0
                    ? IPAddress(v4: UInt32(truncatingIfNeeded: high << 16 ^ low)) : IPAddress(high: high, low: low)
            }
            for prefix in prefixes {
                let first = prefix.address
                let mask = IPPrefix.mask(length: prefix.length, isIPv6: first.isIPv6)
                if first.isIPv6 {
                    let last = IPAddress(high: first.high | ~mask.high, low: first.low | ~mask.low)
                    addresses += [
                        first, last, IPAddress(high: first.high &- (first.low == 0 ? 1 : 0), low: first.low &- 1),
                        IPAddress(high: last.high &+ (last.low == .max ? 1 : 0), low: last.low &+ 1),
                    ]
                } else {
                    let last = first.low | ~mask.low & 0xFFFF_FFFF
                    for value in [first.low, last, first.low &- 1, last &+ 1] {
                        addresses.append(IPAddress(v4: UInt32(truncatingIfNeeded: value)))
                    }
                }
            }
            for address in addresses {
                let (found, wanted) = (built.find(address), PrefixTableTests.naive(prefixes, address))
                guard found == wanted else {
                    Issue.record("seed \(seed), round \(round), \(address): \(found ?? []), not \(wanted ?? [])")
                    return
                }
            }
        }
    }

    @Test func looksUpWithoutAllocating() {
        var random = Seeded(state: 7)
        let prefixes = (0..<20_000).map { index in
            index % 3 == 0
                ? IPPrefix(IPAddress(high: 0x2001_0db8 << 32 | random.next() >> 32, low: random.next()), length: 64)
                : IPPrefix(IPAddress(v4: UInt32(truncatingIfNeeded: random.next())), length: index % 9 + 24)
        }
        let built = Built(prefixes)
        let addresses = prefixes.map(\.address) + (0..<1000).map { IPAddress(v4: UInt32($0) << 12) }
        var hits = 0
        let before = allocations_of_this_thread()
        // Not `for … in`, which allocates in a debug build.
        var index = 0
        while index < addresses.count {
            if built.table.longest(addresses[index]) != nil { hits += 1 }
            index += 1
        }
        let after = allocations_of_this_thread()
        #expect(after - before == 0)
        #expect(hits >= prefixes.count)
    }

    @Test func aMillionAddressesTakeFewBytes() {
        var random = Seeded(state: 11)
        var prefixes = Set<UInt32>()
        while prefixes.count < 200_000 { prefixes.insert(UInt32(truncatingIfNeeded: random.next())) }
        let built = Built(prefixes.map { IPPrefix(IPAddress(v4: $0), length: 32) })
        // 262 kB of buckets, and of each address two bytes and a source.
        #expect(Double(built.byteCount - 262_148) / 200_000 < 5.5)
    }
}
