/// A group of lists, rules and of those who are assigned to it.
public struct PolicyGroup: Sendable, Equatable {
    /// The group that is always there.
    public static let standard = "default"

    /// 0 to 62, 0 for `default`: its bit in a `GroupSet`.
    public var id: Int
    public var name: String
    public var enabled: Bool
    public var comment: String
    /// Microseconds since 1970, UTC.
    public var added: Int64
    /// When it is in force; empty: always.
    public var schedules: [GroupSchedule] = []
}

/// Somebody who is assigned to groups.
public struct PolicyClient: Sendable, Equatable {
    public var id: Int32
    public var subject: PolicySubject
    public var groups: GroupSet
    public var comment: String
    /// Microseconds since 1970, UTC.
    public var added: Int64
}

/// Whom or what a pause speaks of.
public enum PauseScope: Sendable, Hashable {
    case all
    /// A group by name.
    case group(String)
    case subject(PolicySubject)
}

/// Something that is not filtered for a while.
public struct PolicyPause: Sendable, Equatable {
    public var scope: PauseScope
    /// Microseconds since 1970, UTC; nil: until it is ended.
    public var until: Int64?

    public init(_ scope: PauseScope, until: Int64?) {
        self.scope = scope
        self.until = until
    }

    /// Whether it is over.
    func isOver(_ now: Int64) -> Bool { until.map { $0 <= now } ?? false }
}

/// A group at one moment: whether it is in force, and if not, why.
public enum GroupState: String, Sendable {
    case on
    case disabled
    /// Outside the times of its schedules.
    case off
    case paused

    public var text: String {
        switch self {
        case .on: "on"
        case .disabled: "disabled"
        case .off: "off at that time"
        case .paused: "paused"
        }
    }
}
