/// What the policy says of one name. Integers only, so that it can be copied and logged without a reference count.
public struct Verdict: Sendable, Equatable {
    /// What to do with the query. `forward`: nothing matched.
    public enum Action: UInt8, Sendable {
        case forward
        case allow
        case block
    }

    /// How the rule matched.
    public enum Match: UInt8, Sendable {
        case none
        case exact
        case suffix
        case regex
    }

    public var action: Action
    public var match: Match
    /// The list's id in `blocklist.db`; 0 for a user rule, -1 when nothing matched.
    public var list: Int32
    /// The user rule's id, or the line number in the list (from 1); -1 when nothing matched.
    public var rule: Int32
    /// How many labels the matched name has: it is the query name's suffix of that many labels. 0 for a regex.
    public var labels: UInt8

    @inlinable
    public init(action: Action, match: Match, list: Int32, rule: Int32, labels: UInt8) {
        self.action = action
        self.match = match
        self.list = list
        self.rule = rule
        self.labels = labels
    }

    /// Nothing matched.
    public static var forward: Verdict {
        @inlinable get { Verdict(action: .forward, match: .none, list: -1, rule: -1, labels: 0) }
    }
}
