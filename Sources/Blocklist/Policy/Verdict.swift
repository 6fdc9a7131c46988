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

    /// How a blocked query is answered.
    public enum Answer: UInt8, Sendable {
        /// As the blocking mode says.
        case configured
        case nxdomain
        case nodata
        case refused
        case servfail
        /// Not at all.
        case drop
        /// Over UDP with TC and nothing else, over TCP as if nothing had matched.
        case truncate
        /// With `PolicySnapshot.records`.
        case records
    }

    /// The list that the bypass protection stands for.
    public static let bypass: Int32 = -2

    public var action: Action
    public var match: Match
    /// The list's id in `blocklist.db`; 0 for a user rule, `Verdict.bypass`, or -1 when nothing matched.
    public var list: Int32
    /// The user rule's id, the number of the class of the list's entries in the index (`IndexView.Class`), or the line
    /// number in the resolver data (from 1); -1 when nothing matched.
    public var rule: Int32
    /// How many labels the matched name has: it is the query name's suffix of that many labels. 0 for a regex.
    public var labels: UInt8
    public var answer: Answer

    @inlinable
    public init(
        action: Action, match: Match, list: Int32, rule: Int32, labels: UInt8, answer: Answer = .configured
    ) {
        self.action = action
        self.match = match
        self.list = list
        self.rule = rule
        self.labels = labels
        self.answer = answer
    }

    /// Whether the verdict says how a name is answered, not that it is forbidden: a CNAME may lead to such a name.
    @inlinable public var givesAnswer: Bool { answer == .records || answer == .truncate }

    /// Nothing matched.
    public static var forward: Verdict {
        @inlinable get { Verdict(action: .forward, match: .none, list: -1, rule: -1, labels: 0) }
    }
}
