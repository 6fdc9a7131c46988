import Kernel
import Wire

/// The user's rules on flows in one block of memory: the rules in the order of precedence, and a table that leads from what
/// a flow is to the few rules that can speak of it. Immutable; any thread.
///
/// What a verdict costs follows from how many *shapes* of rules there are (`FlowShape`), not from how many rules: each shape
/// is one look into the table, and under a key only rules of groups that are not in force are passed over. The rule with the
/// best precedence wins; shapes that have none as good as one already found are not looked at.
@safe
final class FlowRuleSet: Sendable {
    let view: View
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    init(_ rules: [FlowRule]) {
        let sorted = rules.map { (FlowPrecedence($0), $0) }.sorted { $0.0 < $1.0 }.map(\.1)
        let index = FlowRuleIndexBuilder(sorted, seed: .random(in: 1...(.max)))
        var names: [UInt8] = []
        let entries = sorted.map { rule in
            let wire = rule.conditions.name.map(FlowRuleIndexBuilder.wire) ?? []
            defer { names += wire }
            return FlowEntry(rule, namePlace: names.count, nameCount: wire.count)
        }
        // Where the shapes of each part begin, and behind the last where all end.
        var starts: [UInt32] = [0]
        for shapes in index.shapes { starts.append((starts.last ?? 0) + UInt32(shapes.count)) }
        var block = Block()
        let places = View.Places(
            entries: block.append(entries), slots: block.append(index.slots),
            shapes: block.append(index.shapes.flatMap(\.self)), starts: block.append(starts),
            runs: block.append(index.runs), names: block.append(names))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, block.bytes.count), alignment: Block.alignment)
        unsafe memory.copyMemory(from: block.bytes, byteCount: block.bytes.count)
        unsafe self.memory = unsafe memory
        view = unsafe View(
            memory, places, index, count: entries.count, needsOwner: entries.contains { $0.hasOwner })
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Whether a rule is asked before another.
    static func isBefore(_ left: FlowRule, _ right: FlowRule) -> Bool {
        FlowPrecedence(left) < FlowPrecedence(right)
    }

    /// Arrays behind one another.
    private struct Block {
        static let alignment = 16
        private(set) var bytes: [UInt8] = []

        /// Where the array begins.
        mutating func append<Element: BitwiseCopyable>(_ array: [Element]) -> Int {
            bytes += [UInt8](repeating: 0, count: -bytes.count & (Block.alignment - 1))
            defer { unsafe array.withUnsafeBytes { unsafe bytes += $0 } }
            return bytes.count
        }
    }
}
