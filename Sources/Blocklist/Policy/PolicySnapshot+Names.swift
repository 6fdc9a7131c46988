import Kernel

/// The verdict on a name by the indexes of lists, rules and the bypass protection, which know nothing of who asks.
extension PolicySnapshot {
    @inline(__always)
    func decide(_ query: QueryText, _ qtype: UInt16, _ profile: UInt16, _ groups: GroupSet) -> Verdict {
        var best = Best()
        var batch = query.batch
        var walk = query.suffixes(seed: lists.seed)
        while let suffix = walk.next() {
            let (place, depth) = (suffix.place, suffix.depth)
            // Below most names of two labels nothing is listed.
            if depth == ParentFilter.depth, !hasBelow(place) { walk.stop() }
            guard lists.lists(depth: depth) || rules.lists(depth: depth) || bypassNames.lists(depth: depth) else {
                continue
            }
            batch.append(.init(place: place, check: suffix.check, head: lists.head(place), depth: depth))
            if batch.isFull {
                judge(batch, query, qtype, profile, &best)
                batch.removeAll()
            }
        }
        judge(batch, query, qtype, profile, &best)
        if let user = best.user { return user }
        if patterns.count > 0, let verdict = unsafe patterns.match(query.text(1), query.end - 1, .unknown, groups) {
            return verdict
        }
        if best.hasRewrite || patternTiers.hasRewrites, let verdict = rewritten(query, qtype, profile) {
            return verdict
        }
        if listPatterns.count > 0,
            let verdict = pattern(below: best.tier.map { patternTiers.start(of: $0) } ?? .max, query, qtype, profile)
        {
            return verdict
        }
        return best.listed ?? best.bypass ?? .forward
    }

    /// Whether a name of two labels may have listed names, or names with a rule, below it.
    @inline(__always)
    private func hasBelow(_ place: UInt64) -> Bool {
        lists.hasBelow(place) || rules.hasBelow(place) || bypassNames.hasBelow(place)
    }

    @inline(__always)
    private func judge(
        _ batch: SuffixBatch, _ query: QueryText, _ qtype: UInt16, _ profile: UInt16, _ best: inout Best
    ) {
        var index = 0
        while index < batch.count {
            let suffix = batch[index]
            index += 1
            let depth = suffix.depth
            let set = lists.find(suffix.place, head: suffix.head, check: suffix.check)
            if set >= 0 { judge(lists.row(set), depth, query, qtype, profile, &best) }
            if rules.lists(depth: depth) {
                let set = rules.find(suffix.place, head: rules.head(suffix.place), check: suffix.check)
                if set >= 0 { judge(rule: rules.row(set), depth, isWhole: depth == query.labels, profile, &best) }
            }
            if bypassNames.lists(depth: depth) {
                let set = bypassNames.find(suffix.place, head: bypassNames.head(suffix.place), check: suffix.check)
                if set >= 0 { best.bypass = Verdict(bypass: bypassNames[bypassNames.row(set), 0], depth) }
            }
        }
    }

    /// The classes of lists that have a name: of each tier the first that speaks of the query counts.
    private func judge(
        _ row: IndexView.Row, _ depth: Int, _ query: QueryText, _ qtype: UInt16, _ profile: UInt16, _ best: inout Best
    ) {
        let inForce = profiles.lists(profile)
        let isWhole = depth == query.labels
        var seen: UInt8 = 0
        var index = 0
        while index < row.count {
            let found = lists[row, index]
            index += 1
            let tier = Best.tier(found.kind)
            let hasOptions = found.kind.contains(.hasOptions)
            guard hasOptions || seen & tier == 0, found.kind.covers(isWhole: isWhole), inForce.contains(found.slot)
            else { continue }
            var answer = Verdict.Answer.configured
            if hasOptions {
                guard options.applies(found.number, qtype: qtype, query) else { continue }
                if options.isRewrite(found.number) {
                    best.hasRewrite = true
                    continue
                }
                guard seen & tier == 0 else { continue }
                answer = options.answer(found.number)
            }
            seen |= tier
            best.take(Verdict(list: found, depth, answer), found.kind)
        }
    }

    /// The user's rules on a name: the first in force that speaks of the query counts.
    private func judge(
        rule row: IndexView.Row, _ depth: Int, isWhole: Bool, _ profile: UInt16, _ best: inout Best
    ) {
        let inForce = profiles.rules(profile)
        var index = 0
        while index < row.count {
            let found = rules[row, index]
            index += 1
            guard found.kind.covers(isWhole: isWhole), inForce.contains(found.slot) else { continue }
            best.user = Verdict(rule: found, depth)
            return
        }
    }

    /// The longest match of each tier so far.
    private struct Best {
        var user: Verdict?
        var bypass: Verdict?
        /// Whether a rewrite of the lists, or an exception of one, speaks of the query.
        var hasRewrite = false
        private var importantAllow: Verdict?
        private var importantDeny: Verdict?
        private var allow: Verdict?
        private var deny: Verdict?

        /// A bit for the tier that a class belongs to.
        @inline(__always)
        static func tier(_ kind: EntryKind) -> UInt8 {
            1 << (kind.rawValue & EntryKind.allow.rawValue | (kind.rawValue & EntryKind.important.rawValue) >> 2)
        }

        @inline(__always)
        mutating func take(_ verdict: Verdict, _ kind: EntryKind) {
            if kind.contains(.important) {
                if kind.contains(.allow) { importantAllow = verdict } else { importantDeny = verdict }
            } else {
                if kind.contains(.allow) { allow = verdict } else { deny = verdict }
            }
        }

        /// What the lists say.
        var listed: Verdict? { importantAllow ?? importantDeny ?? allow ?? deny }

        /// The tier that says it.
        var tier: ListTier? {
            if importantAllow != nil { return .importantAllow }
            if importantDeny != nil { return .importantDeny }
            return allow != nil ? .allow : deny != nil ? .deny : nil
        }
    }
}

extension Verdict {
    /// Of a class of a list.
    @inline(__always)
    init(list found: IndexView.Class, _ depth: Int, _ answer: Answer) {
        self.init(found.kind, list: found.list, rule: Int32(truncatingIfNeeded: found.number), depth)
        self.answer = found.kind.contains(.allow) ? .configured : answer
    }

    /// Of a rule of the user, which is a class of its own.
    @inline(__always)
    fileprivate init(rule found: IndexView.Class, _ depth: Int) {
        self.init(found.kind, list: 0, rule: found.list, depth)
    }

    /// Of a name of the bypass protection, which is a class of its own.
    @inline(__always)
    fileprivate init(bypass found: IndexView.Class, _ depth: Int) {
        self.init(
            action: .block, match: .suffix, list: Verdict.bypass, rule: found.list, labels: UInt8(depth),
            answer: Answer(rawValue: UInt8(truncatingIfNeeded: found.slot)) ?? .configured)
    }

    @inline(__always)
    private init(_ kind: EntryKind, list: Int32, rule: Int32, _ depth: Int) {
        self.init(
            action: kind.contains(.allow) ? .allow : .block, match: kind.contains(.exact) ? .exact : .suffix,
            list: list,
            rule: rule, labels: UInt8(depth))
    }
}
