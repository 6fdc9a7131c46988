import Kernel

/// The compiled patterns of all regex rules in one block of memory, the allowing ones first.
@safe
final class PatternSet: Sendable {
    /// One pattern of the set.
    fileprivate struct Entry {
        var start: UInt16
        var allow: Bool
        var rule: Int32
        /// Whose queries it speaks of.
        var owner: OwnerCondition
        /// The groups of the rule.
        var groups: GroupSet
        /// Columns of the table: byte classes and the end of the name.
        var width: Int
        /// Where its 256 byte classes are, in bytes; its table follows.
        var place: Int
    }

    struct Builder {
        private var patterns: [(pattern: Pattern, allow: Bool, rule: Int32, owner: OwnerCondition, groups: GroupSet)] =
            []

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
        let entries = MemoryLayout<Entry>.stride * patterns.count
        let size = patterns.reduce(entries) { $0 + 256 + $1.pattern.table.count * 2 }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, size), alignment: 16)
        var place = entries
        for (index, item) in patterns.enumerated() {
            let entry = Entry(
                start: item.pattern.start, allow: item.allow, rule: item.rule, owner: item.owner, groups: item.groups,
                width: item.pattern.classCount + 1,
                place: place)
            unsafe (memory + index * MemoryLayout<Entry>.stride).storeBytes(of: entry, as: Entry.self)
            unsafe item.pattern.classes.withUnsafeBytes {
                unsafe (memory + place).copyMemory(from: $0.baseAddress!, byteCount: 256)
            }
            unsafe item.pattern.table.withUnsafeBytes {
                if $0.count > 0 {
                    unsafe (memory + place + 256).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
                }
            }
            place += 256 + item.pattern.table.count * 2
        }
        unsafe self.memory = unsafe memory
        view = unsafe View(memory, patterns.count)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// The set's memory, borrowed.
    @safe
    struct View: @unchecked Sendable {
        private let memory: UnsafeRawPointer
        let count: Int

        fileprivate init(_ memory: UnsafeRawPointer, _ count: Int) {
            unsafe self.memory = unsafe memory
            self.count = count
        }

        /// The first pattern that matches a text. Linear in its length times the patterns; does not allocate.
        func match(_ text: UnsafeRawPointer, _ length: Int, _ owner: Owner, _ groups: GroupSet) -> Verdict? {
            for index in 0..<count {
                let entry = unsafe (memory + index * MemoryLayout<Entry>.stride).load(as: Entry.self)
                guard !entry.groups.isDisjoint(with: groups), entry.owner.isEmpty || entry.owner.holds(owner) else {
                    continue
                }
                let classes = unsafe memory + entry.place
                let table = unsafe classes + 256
                var state = entry.start
                var at = 0
                while at < length && state < Pattern.dead {
                    let byte = unsafe Int(text.load(fromByteOffset: at, as: UInt8.self))
                    let column = unsafe Int(classes.load(fromByteOffset: byte, as: UInt8.self))
                    state = unsafe table.load(
                        fromByteOffset: (Int(state) * entry.width + column) * 2, as: UInt16.self)
                    at += 1
                }
                if state < Pattern.dead {
                    state = unsafe table.load(
                        fromByteOffset: (Int(state) * entry.width + entry.width - 1) * 2, as: UInt16.self)
                }
                if state == Pattern.accept {
                    return Verdict(
                        action: entry.allow ? .allow : .block, match: .regex, list: 0, rule: entry.rule, labels: 0)
                }
            }
            return nil
        }
    }
}
