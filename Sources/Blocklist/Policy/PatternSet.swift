import Kernel

/// The compiled patterns of all regex rules in one block of memory, the allowing ones first.
@safe
final class PatternSet: Sendable {
    /// What a pattern of the set belongs to.
    private struct Rule {
        var allow: Bool
        var rule: Int32
        /// Whose queries it speaks of.
        var owner: OwnerCondition
        /// The groups of the rule.
        var groups: GroupSet
    }

    struct Builder {
        private var patterns: [(pattern: Pattern, allow: Bool, rule: Int32, owner: OwnerCondition, groups: GroupSet)] = []

        mutating func add(_ pattern: Pattern, allow: Bool, rule: Int32, owner: OwnerCondition, groups: GroupSet) {
            patterns.append((pattern, allow, rule, owner, groups))
        }

        func finish() -> PatternSet {
            PatternSet(patterns.filter(\.allow) + patterns.filter { !$0.allow })
        }
    }

    let view: View
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    private init(
        _ patterns: [(pattern: Pattern, allow: Bool, rule: Int32, owner: OwnerCondition, groups: GroupSet)]
    ) {
        var builder = PatternTableBuilder()
        for (index, item) in patterns.enumerated() { builder.add(item.pattern, tag: UInt32(index)) }
        let table = builder.finish()
        let rulesAt = (table.count + 15) & ~15
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: rulesAt + patterns.count * MemoryLayout<Rule>.stride, alignment: 16)
        unsafe table.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        for (index, item) in patterns.enumerated() {
            unsafe (memory + rulesAt + index * MemoryLayout<Rule>.stride).storeBytes(
                of: Rule(allow: item.allow, rule: item.rule, owner: item.owner, groups: item.groups),
                as: Rule.self)
        }
        unsafe self.memory = unsafe memory
        view = unsafe View(memory, rulesAt: rulesAt)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// The set's memory, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let table: PatternTable.View
        private let rules: UnsafeRawPointer

        var count: Int { table.count }

        fileprivate init(_ memory: UnsafeRawPointer, rulesAt: Int) {
            table = unsafe PatternTable.View(memory)
            unsafe rules = unsafe memory + rulesAt
        }

        /// The first pattern that matches a text. Does not allocate.
        ///
        /// - Parameter text: four bytes behind it can be read.
        func match(_ text: UnsafeRawPointer, _ length: Int, _ owner: Owner, _ groups: GroupSet) -> Verdict? {
            let found = unsafe table.match(text, length, limit: .max) { tag in
                let rule = self.rule(tag)
                return !rule.groups.isDisjoint(with: groups) && (rule.owner.isEmpty || rule.owner.holds(owner))
            }
            guard let found else { return nil }
            let rule = self.rule(table.tag(found))
            return Verdict(action: rule.allow ? .allow : .block, match: .regex, list: 0, rule: rule.rule, labels: 0)
        }

        private func rule(_ tag: Int) -> PatternSet.Rule {
            unsafe (rules + tag * MemoryLayout<Rule>.stride).load(as: Rule.self)
        }
    }
}
