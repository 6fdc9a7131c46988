/// The user's rules, ready for lookups: names in a small index of the same make as the lists', and regular expressions.
/// Immutable; made anew for every change of a rule, which takes milliseconds.
final class Overlay: Sendable {
    /// The database's count of rule changes when this was made.
    let version: UInt64
    let image: IndexImage
    let patterns: PatternSet
    let flows: FlowRuleSet

    /// - Parameter seed: that of the index it is consulted with, so that a name is hashed once for both.
    init(_ rules: [UserRule], flows: [FlowRule] = [], version: UInt64, seed: UInt64) throws {
        self.flows = FlowRuleSet(flows)
        self.version = version
        let highest = rules.map { Int($0.id) }.max() ?? 0
        let classes = (0..<4).map {
            IndexBuilder.SourceClass(list: 0, kind: EntryKind(rawValue: $0), title: "", lines: highest)
        }
        var builder = try IndexBuilder(.init(seed: seed), classes, expected: rules.count)
        var patterns = PatternSet.Builder()
        for rule in rules {
            if rule.match == .regex {
                // A pattern that some other program wrote into the database may be wrong: it is left out.
                if let pattern = try? Pattern(rule.name) {
                    patterns.add(pattern, allow: rule.action == .allow, rule: rule.id)
                }
                continue
            }
            let kind: EntryKind =
                (rule.action == .allow ? EntryKind.allow : []).union(rule.match == .exact ? .exact : [])
            guard let name = try? DomainName(rule.name).text else { continue }
            var text = name
            try text.withUTF8 { bytes in
                try unsafe builder.add(UnsafeRawBufferPointer(bytes), class: Int(kind.rawValue), line: Int(rule.id))
            }
        }
        image = try IndexImage(bytes: builder.build(into: IndexSink()))
        self.patterns = patterns.finish()
    }
}
