import Kernel
import Wire

extension FlowRuleSet {
    /// The rules' memory, borrowed. A rule's number is its place in the order of precedence.
    @safe
    struct View: @unchecked Sendable {
        /// Where the parts of the memory begin.
        struct Places {
            var entries: Int
            var slots: Int
            var shapes: Int
            var starts: Int
            var runs: Int
            var names: Int
        }

        private let memory: UnsafeRawPointer
        private let places: Places
        let count: Int
        /// Whether any rule speaks of a program or a user, or of a name.
        let needsOwner: Bool
        let needsName: Bool
        private let seed: UInt64
        private let slotMask: Int
        /// Labels of the longest name.
        private let deepest: Int

        @unsafe
        init(
            _ memory: UnsafeRawPointer, _ places: Places, _ index: FlowRuleIndexBuilder, count: Int, needsOwner: Bool
        ) {
            unsafe self.memory = unsafe memory
            self.places = places
            self.count = count
            self.needsOwner = needsOwner
            needsName = index.deepest > 0
            seed = index.seed
            slotMask = index.slots.count - 1
            deepest = index.deepest
        }

        /// The first rule that speaks of a flow; nil for none. Does not allocate.
        ///
        /// - Parameter name: wire form in lower case; nil while it may still be found: where it could change the outcome the
        ///   verdict is `peek`.
        func match(_ facts: FlowFacts, _ name: RawSpan?) -> FlowVerdict? {
            guard count > 0 else { return nil }
            let unnamed = first(.unnamed, facts, before: count)
            guard let name else { return matchUnnamed(facts, unnamed) }
            let number = needsName ? firstNamed(facts, name, before: unnamed) : unnamed
            return number < count ? verdict(entry(number)) : nil
        }

        /// A name could still allow what is forbidden, and forbid what is allowed or what no rule speaks of.
        ///
        /// - Parameter unnamed: the first rule without a name that speaks of the flow, or `count`.
        private func matchUnnamed(_ facts: FlowFacts, _ unnamed: Int) -> FlowVerdict? {
            let decided = unnamed < count ? verdict(entry(unnamed)) : nil
            guard needsName else { return decided }
            if first(.anyName(allow: true), facts, before: unnamed) < unnamed { return .peek }
            if decided?.action == .drop { return decided }
            return first(.anyName(allow: false), facts, before: unnamed) < unnamed ? .peek : decided
        }

        private func verdict(_ entry: FlowEntry) -> FlowVerdict {
            FlowVerdict(action: entry.allow ? .allow : .drop, reason: .flow, list: 0, rule: entry.rule)
        }

        /// The first rule that speaks of a query's name and owner; nil for none. Of a set whose rules have no other
        /// conditions.
        ///
        /// Not a part of the verdict's own code: few have such rules, and all would pay for the room that it needs.
        ///
        /// - Parameter name: wire form of the query's name.
        @inline(never)
        func match(_ query: QueryText, _ name: RawSpan, _ owner: Owner, _ groups: GroupSet) -> Verdict? {
            let facts = FlowFacts(owner: owner, groups: groups)
            let unnamed = first(.unnamed, facts, before: count)
            let number = firstNamed(facts, query, name, before: unnamed)
            guard number < count else { return nil }
            let entry = entry(number)
            return Verdict(
                action: entry.allow ? .allow : .block, match: entry.isExact ? .exact : .suffix, list: 0,
                rule: entry.rule, labels: entry.labels)
        }

        /// Whether a denying rule speaks of a name, whatever else it asks for.
        func denies(_ name: RawSpan) -> Bool {
            guard needsName else { return false }
            return unsafe withUnsafeTemporaryAllocation(byteCount: QueryText.scratch, alignment: 16) { memory in
                guard let query = unsafe QueryText(name, memory) else { return false }
                var walk = query.suffixes(seed: seed)
                while walk.nextDepth <= deepest, let suffix = walk.next() {
                    let found = search(
                        .denied(suffix.depth), FlowFacts(), suffix.place, isWhole: suffix.isWhole, before: count
                    ) { has($0, name.from(suffix.start)) }
                    if found < count { return true }
                }
                return false
            }
        }

        // MARK: The table

        /// The first rule of a part that speaks of a flow, whatever name the rule has; `limit` when none before it does.
        private func first(_ part: FlowShape.Part, _ facts: FlowFacts, before limit: Int) -> Int {
            search(part, facts, 0, isWhole: true, before: limit) { entry($0).holds(facts) }
        }

        /// The first rule with a name that speaks of a flow; `limit` when none before it does.
        private func firstNamed(_ facts: FlowFacts, _ name: RawSpan, before limit: Int) -> Int {
            unsafe withUnsafeTemporaryAllocation(byteCount: QueryText.scratch, alignment: 16) { memory in
                guard let query = unsafe QueryText(name, memory) else { return limit }
                return firstNamed(facts, query, name, before: limit)
            }
        }

        private func firstNamed(_ facts: FlowFacts, _ query: QueryText, _ name: RawSpan, before limit: Int) -> Int {
            var best = limit
            var walk = query.suffixes(seed: seed)
            while walk.nextDepth <= deepest, let suffix = walk.next() {
                best = search(.named(suffix.depth), facts, suffix.place, isWhole: suffix.isWhole, before: best) {
                    entry($0).holds(facts) && has($0, name.from(suffix.start))
                }
            }
            return best
        }

        /// The first rule of a part, of those with a flow's keys, that fits; `limit` when none before it does.
        ///
        /// - Parameter name: the hash of the suffix that is looked for; 0 for none.
        @inline(__always)
        private func search(
            _ part: FlowShape.Part, _ facts: FlowFacts, _ name: UInt64, isWhole: Bool, before limit: Int,
            _ fits: (Int) -> Bool
        ) -> Int {
            let starts = unsafe memory + places.starts + Int(part.number) * 4
            var place = unsafe Int(starts.load(as: UInt32.self))
            let end = unsafe Int(starts.load(fromByteOffset: 4, as: UInt32.self))
            var best = limit
            while place < end {
                let shape = unsafe (memory + places.shapes + place * MemoryLayout<FlowShape.Compiled>.stride)
                    .load(as: FlowShape.Compiled.self)
                // Those that follow begin later still.
                guard shape.first < best else { break }
                place += 1
                if shape.fits(facts, isWhole: isWhole) {
                    best = search(shape.key(facts, name: name), before: best, fits)
                }
            }
            return best
        }

        /// The first rule under a key that fits; `limit` when none before it does.
        @inline(__always)
        private func search(_ key: UInt64, before limit: Int, _ fits: (Int) -> Bool) -> Int {
            var slot = Int(truncatingIfNeeded: key) & slotMask
            while true {
                let word = unsafe (memory + places.slots + slot * 8).load(as: UInt64.self)
                if word == 0 { return limit }
                slot = (slot + 1) & slotMask
                guard word >> 32 == key >> 32 else { continue }
                var run = unsafe memory + places.runs + (Int(word & 0xFFFF_FFFF) - 1) * 4
                while true {
                    let rule = unsafe run.load(as: UInt32.self)
                    let number = Int(rule & ~FlowRuleIndexBuilder.last)
                    guard number < limit else { break }
                    if fits(number) { return number }
                    if rule & FlowRuleIndexBuilder.last != 0 { break }
                    unsafe run += 4
                }
            }
        }

        @inline(__always)
        private func entry(_ number: Int) -> FlowEntry {
            unsafe (memory + places.entries + number * MemoryLayout<FlowEntry>.stride).load(as: FlowEntry.self)
        }

        /// Whether a rule's name is this one.
        @inline(__always)
        private func has(_ number: Int, _ name: RawSpan) -> Bool {
            let entry = entry(number)
            let start = unsafe memory + places.names + Int(entry.namePlace)
            return unsafe name.matches(UnsafeRawBufferPointer(start: start, count: Int(entry.nameCount)).bytes)
        }
    }
}
