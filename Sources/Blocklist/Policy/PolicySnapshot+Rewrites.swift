/// `$dnsrewrite` entries and the patterns of lists.
extension PolicySnapshot {
    /// What a rewrite of the lists says of a query: of names the longest that no exception takes back, then of patterns the
    /// first. Not for every query: rows of classes are looked up again.
    func rewritten(_ query: QueryText, _ qtype: UInt16, _ profile: UInt16) -> Verdict? {
        let named = rewrite(query, qtype, profile, exceptionOf: -1)
        if named.number >= 0 {
            return Verdict(list: lists[named.number], named.depth, options.answer(named.number))
        }
        let limit = patternTiers.start(of: .importantAllow)
        let number = unsafe listPatterns.match(query.text(1), query.end - 1, limit: limit) { tag in
            let found = lists[tag]
            return !found.kind.contains(.allow) && speaks(found, query, qtype, profile)
                && !isTakenBack(tag, query, qtype, profile)
        }
        return number.map { verdict(ofPattern: $0) }
    }

    /// Whether an exception takes a rewrite back.
    private func isTakenBack(_ number: Int, _ query: QueryText, _ qtype: UInt16, _ profile: UInt16) -> Bool {
        if rewrite(query, qtype, profile, exceptionOf: number).number >= 0 { return true }
        let limit = patternTiers.start(of: .importantAllow)
        return unsafe listPatterns.match(query.text(1), query.end - 1, limit: limit) { tag in
            let found = lists[tag]
            return found.kind.contains(.allow) && options.takesBack(tag, number) && speaks(found, query, qtype, profile)
        } != nil
    }

    /// The class of the longest name with a rewrite that is not taken back, or with an exception of a rewrite; -1 for none.
    ///
    /// - Parameter exceptionOf: the class that is to be taken back; -1: a rewrite is wanted.
    private func rewrite(
        _ query: QueryText, _ qtype: UInt16, _ profile: UInt16, exceptionOf: Int
    ) -> (number: Int, depth: Int) {
        var best = (number: -1, depth: 0)
        var walk = query.suffixes(seed: lists.seed)
        while let suffix = walk.next() {
            let depth = suffix.depth
            guard lists.lists(depth: depth) else { continue }
            let place = suffix.place
            let set = lists.find(place, head: lists.head(place), check: suffix.check)
            guard set >= 0 else { continue }
            let row = lists.row(set)
            var member = 0
            while member < row.count {
                let found = lists[row, member]
                member += 1
                guard found.kind.contains(.hasOptions), options.isRewrite(found.number),
                    found.kind.contains(.allow) == (exceptionOf >= 0), found.kind.covers(isWhole: suffix.isWhole),
                    speaks(found, query, qtype, profile)
                else { continue }
                if exceptionOf >= 0 {
                    if options.takesBack(found.number, exceptionOf) { return (found.number, depth) }
                } else if best.depth < depth, !isTakenBack(found.number, query, qtype, profile) {
                    best = (found.number, depth)
                }
            }
        }
        return best
    }

    /// The first pattern of a tier before `limit` that speaks of a query, rewrites aside.
    func pattern(below limit: Int, _ query: QueryText, _ qtype: UInt16, _ profile: UInt16) -> Verdict? {
        let number = unsafe listPatterns.match(query.text(1), query.end - 1, limit: limit) { tag in
            let found = lists[tag]
            return speaks(found, query, qtype, profile)
                && !(found.kind.contains(.hasOptions) && options.isRewrite(found.number))
        }
        return number.map { verdict(ofPattern: $0) }
    }

    private func verdict(ofPattern number: Int) -> Verdict {
        let found = lists[listPatterns.tag(number)]
        var verdict = Verdict(list: found, 0, options.answer(found.number))
        verdict.match = .regex
        return verdict
    }

    private func speaks(_ found: IndexView.Class, _ query: QueryText, _ qtype: UInt16, _ profile: UInt16) -> Bool {
        profiles.lists(profile).contains(found.slot)
            && (!found.kind.contains(.hasOptions) || options.applies(found.number, qtype: qtype, query))
    }
}

/// Where the patterns of each tier begin in the table of the lists' patterns.
struct PatternTiers {
    private var starts = InlineArray<5, Int>(repeating: 0)
    /// Whether some pattern is a rewrite, or an exception of one.
    var hasRewrites: Bool { starts[ListTier.importantAllow.rawValue] > 0 }

    init(_ lists: IndexView, _ options: ClassOptions.View) {
        let table = lists.patterns
        for number in 0..<table.count {
            let found = lists[table.tag(number)]
            let tier = ListTier(found.kind, isRewrite: options.isRewrite(found.number))
            for later in tier.rawValue + 1..<5 { starts[later] = number + 1 }
        }
    }

    func start(of tier: ListTier) -> Int { starts[tier.rawValue] }
}
