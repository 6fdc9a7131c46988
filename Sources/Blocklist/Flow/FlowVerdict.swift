/// What the policy says of one flow. Integers only, so that it can be copied and logged without a reference count.
public struct FlowVerdict: Sendable, Equatable {
    public enum Action: UInt8, Sendable {
        /// Let it go. With the reason `none` nothing matched: the configured default decides.
        case allow
        /// Cut it.
        case drop
        /// The name would decide, and it may still be found: let the packet pass and ask again.
        case peek
    }

    /// What decided.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// Nothing matched.
        case none
        /// A list: of names when the flow's name matched, else of addresses.
        case list
        /// A rule of the user on names (`webtun allow`, `webtun deny`).
        case rule
        /// A rule of the user on flows (`webtun flow`).
        case flow
        /// The bypass protection (`webtun bypass`).
        case bypass
    }

    public var action: Action
    public var reason: Reason
    /// The list's id in `blocklist.db`; 0 for the user's rules, `Verdict.bypass`, or -1 when nothing matched.
    public var list: Int32
    /// Of a list of addresses the line (from 1), of a list of names what `Verdict.rule` is; the id of the rule in table `rule`
    /// (reason `rule`) or `flow` (reason `flow`); the line of the resolver data (reason `bypass`); -1 when nothing matched.
    public var rule: Int32
    /// How a rule or list of names matched the flow's name; none when something else decided.
    public var match: Verdict.Match
    /// How many labels the matched name has: it is a suffix of the flow's name. 0 for a regex and for none.
    public var labels: UInt8

    @inlinable
    public init(
        action: Action, reason: Reason, list: Int32, rule: Int32, match: Verdict.Match = .none, labels: UInt8 = 0
    ) {
        self.action = action
        self.reason = reason
        self.list = list
        self.rule = rule
        self.match = match
        self.labels = labels
    }

    /// Nothing matched: the configured default decides.
    public static var none: FlowVerdict {
        @inlinable get { FlowVerdict(action: .allow, reason: .none, list: -1, rule: -1) }
    }

    /// The name has to be found first.
    public static var peek: FlowVerdict {
        @inlinable get { FlowVerdict(action: .peek, reason: .none, list: -1, rule: -1) }
    }
}
