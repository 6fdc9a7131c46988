import TestPackets
import Testing
import Wire

@testable import ContentFilter

@Suite struct FlowTableTests {
    private static let second: UInt64 = 1_000_000_000

    private func key(_ number: Int) -> FlowKey {
        FlowKey(
            source: IPAddress(v4: 0xc000_0207), sourcePort: UInt16(number % 50),
            destination: IPAddress(v4: 0xc633_6401),
            destinationPort: UInt16(number / 50), proto: Packet.Number.tcp)
    }

    /// The table and a dictionary get the same operations.
    @Test(arguments: [1, 3, 64, 1000])
    func itIsADictionaryWithLimits(capacity: Int) {
        let seed = UInt64.random(in: 1 ... .max)
        var generator = SeededGenerator(seed)
        var table = FlowTable(capacity: capacity, nameBytes: capacity * 40, seed: (generator.next(), generator.next()))
        var reference: [FlowKey: (slot: Int, name: [UInt8])] = [:]
        for step in 0..<20_000 {
            let key = key(Int.random(in: 0..<capacity * 2, using: &generator))
            let now = UInt64(step)
            #expect(table.find(key) == reference[key]?.slot, "seed \(seed), step \(step)")
            if let known = reference[key], Bool.random(using: &generator) {
                table.end(known.slot, now: now)
                #expect(table.find(key) == nil && table[known.slot].key == key)
                table.release(known.slot)
                reference[key] = nil
            } else if reference[key] == nil {
                let slot = table.insert(key, phase: .tcp, now: now)
                #expect((slot == nil) == (reference.count == capacity), "seed \(seed), step \(step)")
                guard let slot else { continue }
                reference[key] = (slot, [])
            } else if let known = reference[key] {
                let count = Int.random(in: 1...60, using: &generator)
                let name = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
                table.setName(known.slot, name.span.bytes)
                // Without room for it the flow has no name.
                reference[key] = (known.slot, table[known.slot].name == 0 ? [] : name)
            }
            #expect(table.live == reference.count)
        }
        var room = InlineArray<256, UInt8>(repeating: 0)
        for (key, known) in reference {
            #expect(table.find(key) == known.slot, "seed \(seed)")
            #expect(table[known.slot].key == key)
            let count = table.copyName(known.slot, into: &room)
            #expect((0..<count).map { room[$0] } == known.name, "seed \(seed)")
        }
    }

    @Test func namesAreGivenBack() {
        var table = FlowTable(capacity: 10, nameBytes: 32 * 20, seed: (1, 2))
        let long = [UInt8](repeating: 7, count: 255)
        for round in 0..<1000 {
            let slot = table.insert(key(round), phase: .udp, now: UInt64(round))!
            table.setName(slot, long.span.bytes)
            #expect(table[slot].nameByteCount == 255)
            table.setName(slot, long.span.bytes)
            #expect(table[slot].nameByteCount == 255)
            table.end(slot, now: UInt64(round))
            table.release(slot)
        }
    }

    @Test func whatIsSilentForTooLongExpires() {
        var table = FlowTable(capacity: 10, nameBytes: 320, seed: (1, 2))
        let first = table.insert(key(1), phase: .udp, now: 0)!
        let second = table.insert(key(2), phase: .udp, now: 10 * FlowTableTests.second)!
        #expect(table.expired(.udp, now: 119 * FlowTableTests.second) == nil)
        #expect(table.expired(.udp, now: 120 * FlowTableTests.second) == first)
        table.touch(first, phase: .udp, now: 121 * FlowTableTests.second)
        #expect(table.expired(.udp, now: 130 * FlowTableTests.second) == second)
        #expect(table.expired(.tcp, now: .max) == nil)
        #expect(table.seen(first) == 121 * FlowTableTests.second)
    }

    @Test func theLeastMissedGoesFirst() {
        var table = FlowTable(capacity: 4, nameBytes: 320, seed: (1, 2))
        let phases: [FlowTable.Phase] = [.tcp, .dropped, .udp, .closing]
        let slots = phases.enumerated().map { table.insert(key($0.offset), phase: $0.element, now: 1)! }
        #expect(table.insert(key(9), phase: .tcp, now: 2) == nil)
        for (done, expected) in [3, 1, 2, 0].enumerated() {
            #expect(table.victim == slots[expected])
            table.end(slots[expected], now: 3)
            #expect(table.oldest(.ended) == slots[expected] && table.free == done)
            table.release(slots[expected])
            #expect(table.oldest(.ended) == nil && table.free == done + 1)
        }
        #expect(table.victim == nil && table.live == 0)
    }
}
