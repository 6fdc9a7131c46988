import CAllocations
import Kernel
import Testing
import Wire

@testable import Blocklist

/// The compiled rules on flows against a scan of the rules as they are written, one by one.
struct FlowRuleSetTests {
    @Test(arguments: [0, 1, 3, 20, 300, 3000], [10, 40])
    func agreesWithAScan(count: Int, share: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("rules on flows: seed \(seed), \(count) rules, \(share) % with each condition")
        var source = Source(random: Seeded(state: seed), share: share)
        let rules = (0..<count).map { source.rule(Int32($0 + 1)) }
        let set = FlowRuleSet(rules.shuffled(using: &source.random))
        let scan = Scan(rules)
        var actions: [FlowVerdict.Action: Int] = [:]
        for _ in 0..<1000 {
            let flow = source.flow()
            let name = flow.name.isEmpty && source.chance(50) ? [] : wire(flow.name)
            for isNamed in [true, false] {
                let found = set.view.match(flow.facts, isNamed ? name.span.bytes : nil)
                let wanted = scan.match(flow, isNamed: isNamed)
                #expect(found?.action == wanted?.action && found?.rule == wanted?.rule, "\(flow), named: \(isNamed)")
                if let found { actions[found.action, default: 0] += 1 }
            }
            #expect(set.view.denies(name.span.bytes) == scan.denies(flow.name), "\(flow)")
        }
        if count >= 300 { #expect(actions.count == 3) }
    }

    @Test(arguments: [1, 20, 1000])
    func agreesWithAScanOnQueries(count: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("rules on queries: seed \(seed), \(count) rules")
        var source = Source(random: Seeded(state: seed))
        let rules = (0..<count).map { source.rule(Int32($0 + 1), ofQueries: true) }
        let set = FlowRuleSet(rules.shuffled(using: &source.random))
        let scan = Scan(rules)
        var found = 0
        for _ in 0..<1000 {
            let flow = source.flow()
            let name = wire(flow.name)
            let verdict = withUnsafeTemporaryAllocation(byteCount: QueryText.scratch, alignment: 16) { memory in
                set.view.match(
                    QueryText(name.span.bytes, memory)!, name.span.bytes, flow.facts.owner, flow.facts.groups)
            }
            #expect(verdict?.rule == scan.query(flow), "\(flow)")
            if verdict != nil { found += 1 }
        }
        if count >= 20 { #expect(found > 0) }
    }

    @Test func rangesOfPortsBecomeTheFewestBlocks() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("blocks of ports: seed \(seed)")
        var random = Seeded(state: seed)
        var ranges: [ClosedRange<UInt16>] = [0...0, 0...65_535, 1...65_535, 1...65_534, 65_535...65_535, 443...443]
        for _ in 0..<50 {
            let (one, other) = (
                UInt16.random(in: 0...(.max), using: &random), UInt16.random(in: 0...(.max), using: &random)
            )
            ranges.append(min(one, other)...max(one, other))
        }
        for range in ranges {
            let blocks = PortBlock.blocks(of: range)
            var covered = [Int](repeating: 0, count: 65_536)
            for block in blocks {
                #expect(Int(block.first) % (1 << Int(block.shift)) == 0)
                for port in Int(block.first)..<Int(block.first) + 1 << Int(block.shift) { covered[port] += 1 }
            }
            #expect((0..<65_536).allSatisfy { covered[$0] == (range.contains(UInt16($0)) ? 1 : 0) }, "\(range)")
            #expect(blocks.count <= 30, "\(range)")
        }
        #expect(PortBlock.blocks(of: 0...65_535) == [PortBlock(first: 0, shift: 16)])
        #expect(PortBlock.blocks(of: 1...65_534).count == 30)
    }

    /// A name of the wire may have dots and any byte within its labels; a cut one matches nothing.
    @Test func namesOfTheWire() {
        var conditions = FlowConditions()
        conditions.name = "a.shop.example"
        let set = FlowRuleSet([FlowRule(id: 1, action: .deny, conditions: conditions, comment: "", added: 0)])
        let asked = { (name: [UInt8]) -> Int32? in
            let rule = set.view.match(FlowFacts(), name.span.bytes)?.rule
            #expect(set.view.denies(name.span.bytes) == (rule == 1))
            return rule
        }
        let whole = wire("www.a.shop.example")
        #expect(asked(whole) == 1)
        #expect(asked([6] + Array("a.shop".utf8) + [7] + Array("example".utf8) + [0]) == nil)
        for count in 0..<whole.count { #expect(asked(Array(whole[..<count])) == nil) }
        #expect(asked(Array(repeating: [1, 0x61], count: 127).flatMap(\.self) + [0]) == nil)
    }

    @Test func thousandsOfRulesDoNotAllocate() {
        var source = Source(random: Seeded(state: 3))
        let set = FlowRuleSet((1...3000).map { source.rule($0) })
        let flows = (0..<200).map { _ in source.flow() }
        let names = flows.map { wire($0.name) }
        var allocations: UInt = 0
        var found = 0
        for round in 0..<3 {
            for (flow, name) in zip(flows, names) {
                let span = name.span.bytes
                let before = allocations_of_this_thread()
                let named = set.view.match(flow.facts, span)
                let unnamed = set.view.match(flow.facts, nil)
                let isDenied = set.view.denies(span)
                let after = allocations_of_this_thread()
                if named != nil || unnamed != nil || isDenied { found += 1 }
                if round > 0 { allocations += after - before }
            }
        }
        #expect(allocations == 0)
        #expect(found > 0)
    }
}
