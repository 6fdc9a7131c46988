/// What entries say besides a name, on its way into an index: patterns, and data that several entries give together.
extension IndexBuilder {
    /// A pattern and the class of its entry.
    struct ListedPattern {
        var pattern: Pattern
        var of: Int
    }

    /// Adds a pattern, a regular expression.
    ///
    /// - Throws: `BlocklistError.badEntry` for one that no import stores.
    mutating func addPattern(_ text: UnsafeRawBufferPointer, class index: Int, line: Int) throws(BlocklistError) {
        do {
            let pattern = try Pattern(unsafe String(decoding: text, as: UTF8.self), stateLimit: PatternBudget.states)
            patterns.append(ListedPattern(pattern: pattern, of: index))
        } catch {
            throw .badEntry(classes[index].list, Int32(clamping: line), "\(error)")
        }
    }

    /// The table of the patterns: by tier, then by list, then as they came.
    func patternTable() -> [UInt8] {
        var builder = PatternTableBuilder()
        let order = patterns.indices.sorted { a, b in
            let (one, two) = (classes[patterns[a].of], classes[patterns[b].of])
            return (one.tier.rawValue, one.slot, one.list, a) < (two.tier.rawValue, two.slot, two.list, b)
        }
        for index in order { builder.add(patterns[index].pattern, tag: UInt32(patterns[index].of)) }
        return builder.finish()
    }

    /// The classes of a name, those of one list that do the same but give different records made into one that gives them
    /// all.
    mutating func joined(_ row: [UInt32]) throws(BlocklistError) -> [UInt32] {
        var result: [UInt32] = []
        var next = 0
        while next < row.count {
            let first = classes[Int(row[next])]
            var end = next + 1
            while end < row.count, first.kind.contains(.hasOptions), classes[Int(row[end])].list == first.list,
                classes[Int(row[end])].kind == first.kind
            {
                end += 1
            }
            try join(row[next..<end], into: &result)
            next = end
        }
        return result
    }

    /// Appends classes of one list and kind: those whose options can be merged as one, in the place of the first of them.
    private mutating func join(_ group: ArraySlice<UInt32>, into result: inout [UInt32]) throws(BlocklistError) {
        guard group.count > 1 else {
            result += group
            return
        }
        if let known = joinedGroups[Array(group)] {
            result += known
            return
        }
        var rest = Array(group)
        var joined: [UInt32] = []
        while let first = rest.first {
            var texts = [classes[Int(first)].options]
            var left: [UInt32] = []
            for number in rest.dropFirst() {
                let text = classes[Int(number)].options
                if EntryOptions.merged(texts + [text]) == nil { left.append(number) } else { texts.append(text) }
            }
            if texts.count > 1, let text = EntryOptions.merged(texts) {
                var merged = classes[Int(first)]
                merged.options = text
                joined.append(UInt32(try add(merged)))
            } else {
                joined.append(first)
            }
            rest = left
        }
        joinedGroups[Array(group)] = joined
        result += joined
    }
}

extension IndexBuilder.SourceClass {
    /// Where the class comes among those of lists.
    var tier: ListTier {
        ListTier(kind, isRewrite: kind.contains(.hasOptions) && EntryOptions(text: options)?.isRewrite == true)
    }
}

/// The order in which entries of lists count; the first tier with a match decides.
enum ListTier: Int, CaseIterable {
    case rewrite, importantAllow, importantDeny, allow, deny

    init(_ kind: EntryKind, isRewrite: Bool) {
        self =
            isRewrite
            ? .rewrite
            : kind.contains(.important)
                ? kind.contains(.allow) ? .importantAllow : .importantDeny : kind.contains(.allow) ? .allow : .deny
    }
}
