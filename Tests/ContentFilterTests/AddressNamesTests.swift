import CAllocations
import TestPackets
import Testing
import Wire

@testable import ContentFilter

@Suite struct AddressNamesTests {
    private static let second: UInt64 = 1_000_000_000
    private let client = IPAddress("192.0.2.7")!

    private func find(_ names: borrowing AddressNames, _ address: String, _ client: IPAddress? = nil, now: UInt64 = 1)
        -> String?
    {
        var name = Name()
        let found = names.find(client: client ?? self.client, IPAddress(address)!, into: &name, now: now)
        return found ? name.description : nil
    }

    private func wire(_ name: String) -> [UInt8] { array(Name(name)!.bytes) }

    /// An answer to a question of one name with records owned by it.
    private func message(_ name: String, qtype: Int = 1, _ records: [(type: Int, ttl: Int, data: [UInt8])]) -> [UInt8] {
        var bytes: [UInt8] = [0, 7, 0x81, 0x80, 0, 1, 0, UInt8(records.count), 0, 0, 0, 0]
        bytes += wire(name) + TestPackets.big16(qtype) + [0, 1]
        for record in records {
            bytes += [0xc0, 12] + TestPackets.big16(record.type) + [0, 1] + TestPackets.big32(record.ttl)
            bytes += TestPackets.big16(record.data.count) + record.data
        }
        return bytes
    }

    private func learned(_ message: [UInt8], grace: UInt64 = 0) -> AddressNames {
        var names = AddressNames(capacity: 64, grace: grace)
        names.learn(client: client, message.span.bytes, now: 1)
        return names
    }

    @Test func addressesOfAnAnswer() {
        // A CNAME first: the addresses stand for the name asked for.
        let names = learned(
            message(
                "WWW.a.example",
                [
                    (5, 60, wire("cdn.example")), (1, 60, [198, 51, 100, 1]), (1, 60, [198, 51, 100, 2]),
                    (28, 60, TestPackets.address("2001:db8::1")), (1, 60, [0, 0, 0, 0]), (1, 60, [1, 2, 3]),
                    (16, 60, [1, 65]),
                ]))
        for address in ["198.51.100.1", "198.51.100.2", "2001:db8::1"] {
            #expect(find(names, address) == "www.a.example")
        }
        #expect(find(names, "0.0.0.0") == nil && find(names, "198.51.100.3") == nil && find(names, "1.2.3.0") == nil)
        #expect(find(names, "198.51.100.1", IPAddress("192.0.2.8")!) == nil)
    }

    @Test func hintsOfServiceBindings() {
        // RFC 9460: priority 1, target ".", alpn, ipv4hint with two addresses, ipv6hint with one.
        let parameters: [UInt8] =
            [0, 1, 0, 3, 2, 0x68, 0x33, 0, 4, 0, 8, 198, 51, 100, 1, 198, 51, 100, 2, 0, 6, 0, 16]
            + TestPackets.address("2001:db8::1")
        let https = message("a.example", qtype: 65, [(65, 60, [0, 1, 0] + parameters), (1, 60, [198, 51, 100, 9])])
        let names = learned(https)
        for address in ["198.51.100.1", "198.51.100.2", "2001:db8::1", "198.51.100.9"] {
            #expect(find(names, address) == "a.example")
        }
        // A port's own record (RFC 9460 section 2.3), with a target that has a name.
        let svcb = message("_8443._https.b.example", qtype: 65, [(64, 60, [0, 1] + wire("t.example") + parameters)])
        #expect(find(learned(svcb), "198.51.100.2") == "b.example")
    }

    @Test func cutAndBrokenMessages() {
        let whole = message(
            "a.example", qtype: 65,
            [(65, 60, [0, 1, 0, 0, 4, 0, 4, 198, 51, 100, 1]), (1, 60, [198, 51, 100, 2])])
        for count in 0..<whole.count {
            let names = learned(Array(whole[..<count]))
            #expect(find(names, "198.51.100.2") == nil, "\(count) bytes")
        }
        var query = whole
        query[2] = 1
        #expect(find(learned(query), "198.51.100.2") == nil)
        // A parameter that goes beyond its record ends only that record.
        var long = whole
        long[long.count - 16 - 5] = 99
        #expect(find(learned(long), "198.51.100.1") == nil && find(learned(long), "198.51.100.2") == "a.example")
        // A name of underscores only is no host.
        #expect(find(learned(message("_dns", [(1, 60, [198, 51, 100, 1])])), "198.51.100.1") == nil)
    }

    @Test func timeRunsOut() {
        let names = learned(message("a.example", [(1, 60, [198, 51, 100, 1])]), grace: 10 * AddressNamesTests.second)
        #expect(find(names, "198.51.100.1", now: 70 * AddressNamesTests.second) == "a.example")
        #expect(find(names, "198.51.100.1", now: 70 * AddressNamesTests.second + 2) == nil)
    }

    @Test func theLastNameCounts() {
        var names = AddressNames(capacity: 64)
        let address = IPAddress("198.51.100.1")!
        for name in ["a.example", "b.example", "b.example", "a.example"] {
            names.learn(client: client, address, name: wire(name).span.bytes, ttl: 1, now: 1)
            #expect(find(names, "198.51.100.1") == name)
        }
    }

    /// Against a dictionary: what is found is never wrong, and what was learned lately is found.
    @Test func boundedAndRight() {
        let seed = UInt64.random(in: 0 ... .max)
        print("AddressNamesTests: seed \(seed)")
        var generator = SeededGenerator(seed)
        var names = AddressNames(capacity: 1024)
        var known: [IPAddress: String] = [:]
        var lately: [IPAddress] = []
        for step in 0..<20_000 {
            let address = IPAddress(v4: UInt32.random(in: 0..<4_000, using: &generator))
            let label = String(repeating: "x", count: Int.random(in: 1...60, using: &generator))
            let name = "\(label).n\(Int.random(in: 0..<50, using: &generator)).example"
            names.learn(client: client, address, name: wire(name).span.bytes, ttl: 100, now: UInt64(step))
            known[address] = name
            lately.append(address)
            if lately.count > 8 { lately.removeFirst() }
            for asked in lately + [IPAddress(v4: UInt32.random(in: 0..<4_000, using: &generator))] {
                let found = find(names, asked.description, now: UInt64(step))
                #expect(found == known[asked] || found == nil && !lately.contains(asked), "seed \(seed), step \(step)")
            }
        }
    }

    @Test func nothingAllocates() {
        var names = AddressNames(capacity: 1024)
        let answer = message(
            "www.a.example", [(1, 60, [198, 51, 100, 1]), (28, 60, TestPackets.address("2001:db8::1"))])
        let address = IPAddress("2001:db8::1")!
        var found = 0
        var name = Name()
        for round in 0..<3_000 {
            let before = allocations_of_this_thread()
            names.learn(client: IPAddress(v4: UInt32(round)), answer.span.bytes, now: 1)
            if names.find(client: IPAddress(v4: UInt32(round)), address, into: &name, now: 2) { found += 1 }
            let count = allocations_of_this_thread() - before
            #expect(round == 0 || count == 0)
        }
        #expect(found == 3_000)
    }
}
