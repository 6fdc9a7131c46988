import Kernel
import Wire

/// Puts rules on flows under keys.
struct FlowRuleIndexBuilder {
    /// Marks the last rule of a run.
    static let last: UInt32 = 1 << 31

    let seed: UInt64
    /// The shapes of each part, in the order of their first rules.
    private(set) var shapes: [[FlowShape.Compiled]]
    /// The rules under each key, one run behind the other, in the order of precedence.
    private(set) var runs: [UInt32] = []
    /// An open-addressed table by key: its upper half and where its run begins plus 1; 0 is free.
    private(set) var slots: [UInt64] = []
    /// Labels of the longest name.
    private(set) var deepest = 0

    private var known: [FlowShape: FlowShape.Compiled] = [:]
    private var placements: [(key: UInt64, rule: UInt32)] = []
    private var unnamed: Set<Conditions> = []
    private var denied: Set<DeniedName> = []

    /// All that is said of flows while their names are not known.
    private struct Conditions: Hashable {
        var conditions: FlowConditions
        var groups: GroupSet
        var allow: Bool
    }

    private struct DeniedName: Hashable {
        var name: String
        var isExact: Bool
    }

    /// - Parameter rules: in the order of precedence.
    init(_ rules: [FlowRule], seed: UInt64) {
        self.seed = seed
        shapes = Array(repeating: [], count: FlowShape.Part.count)
        for (number, rule) in rules.enumerated() { add(rule, UInt32(number)) }
        finish()
    }

    private mutating func add(_ rule: FlowRule, _ number: UInt32) {
        var conditions = rule.conditions
        guard let name = conditions.name else {
            place(conditions, number, FlowShape(part: .unnamed), name: 0)
            return
        }
        let labels = conditions.labels
        deepest = max(deepest, labels)
        let hash = FlowRuleIndexBuilder.hash(name, seed: seed)
        let isDenied = rule.action == .deny
        place(conditions, number, FlowShape(part: .named(labels), isExact: conditions.isExact), name: hash)
        if isDenied, denied.insert(DeniedName(name: name, isExact: conditions.isExact)).inserted {
            place(FlowConditions(), number, FlowShape(part: .denied(labels), isExact: conditions.isExact), name: hash)
        }
        // Of rules that differ in their names alone the first says all that can be said before the name is known.
        conditions.name = nil
        conditions.isExact = false
        let rest = Conditions(conditions: conditions, groups: rule.groups, allow: rule.action == .allow)
        if unnamed.insert(rest).inserted {
            place(conditions, number, FlowShape(part: .anyName(allow: !isDenied)), name: 0)
        }
    }

    /// Puts a rule under the keys of its conditions, of which there are several for a range of ports.
    private mutating func place(_ conditions: FlowConditions, _ number: UInt32, _ base: FlowShape, name: UInt64) {
        var shape = base
        let owner = OwnerCondition(conditions.owner)
        var facts = FlowFacts(owner: owner.example)
        shape.owner = owner.parts
        if let remote = conditions.remote {
            shape.family = remote.address.isIPv6 ? 6 : 4
            shape.length = UInt8(remote.length)
            facts.remote = remote.address
        }
        if let proto = conditions.proto {
            shape.hasProto = true
            facts.proto = proto
        }
        guard let ports = conditions.ports else {
            place(shape, number, facts, name)
            return
        }
        for block in PortBlock.blocks(of: ports) {
            shape.portShift = block.shift
            facts.port = block.first
            place(shape, number, facts, name)
        }
    }

    private mutating func place(_ shape: FlowShape, _ number: UInt32, _ facts: FlowFacts, _ name: UInt64) {
        let compiled: FlowShape.Compiled
        if let found = known[shape] {
            compiled = found
        } else {
            compiled = FlowShape.Compiled(shape, first: Int(number), seed: seed)
            known[shape] = compiled
            shapes[Int(shape.part.number)].append(compiled)
        }
        placements.append((compiled.key(facts, name: name), number))
    }

    private mutating func finish() {
        placements.sort { $0.key != $1.key ? $0.key < $1.key : $0.rule < $1.rule }
        var size = 8
        while size < placements.count * 2 { size *= 2 }
        slots = [UInt64](repeating: 0, count: size)
        runs.reserveCapacity(placements.count)
        for (index, (key, rule)) in placements.enumerated() {
            if index == 0 || placements[index - 1].key != key {
                var slot = Int(truncatingIfNeeded: key) & (size - 1)
                while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
                slots[slot] = (key >> 32) << 32 | UInt64(index + 1)
            }
            let isLast = index + 1 == placements.count || placements[index + 1].key != key
            runs.append(isLast ? rule | FlowRuleIndexBuilder.last : rule)
        }
        placements = []
    }

    /// The hash of a stored name, as a walk over the suffixes of a query name gives it.
    private static func hash(_ name: String, seed: UInt64) -> UInt64 {
        let wire = FlowRuleIndexBuilder.wire(name)
        return unsafe withUnsafeTemporaryAllocation(byteCount: QueryText.scratch, alignment: 16) { memory in
            guard let query = unsafe QueryText(wire.span.bytes, memory) else { return 0 }
            return query.hash(seed: seed)
        }
    }

    /// Wire form of a stored name.
    static func wire(_ name: String) -> [UInt8] {
        name.utf8.split(separator: NameBytes.dot).flatMap { [UInt8($0.count)] + Array($0) } + [0]
    }
}
