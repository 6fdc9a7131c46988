/// A user's rule on flows that begin on this machine or behind it. Every condition that is there must hold.
public struct FlowRule: Sendable, Equatable {
    public var id: Int32
    public var action: UserRule.Action
    public var conditions: FlowConditions
    public var comment: String
    /// Microseconds since 1970, UTC.
    public var added: Int64
    /// The groups it belongs to.
    public var groups = GroupSet.standard
}

/// What a flow must be like for a rule to speak of it; nil: whatever.
public struct FlowConditions: Sendable, Hashable {
    /// Where the flow goes.
    public var remote: IPPrefix?
    /// The remote port; only protocols with ports have one.
    public var ports: ClosedRange<UInt16>?
    /// The IP protocol's number (IANA, Protocol Numbers).
    public var proto: UInt8?
    /// The name that the flow goes to, in stored form.
    public var name: String?
    /// Whether `name` stands for itself alone; else also for what is below it.
    public var isExact = false
    public var owner = RuleOwner()

    public init() {}
}

/// Whose queries or flows a rule speaks of; empty: everybody's.
public struct RuleOwner: Sendable, Hashable {
    /// A program: its path when it begins with a slash, else the last component of the path; nil: every program.
    public var app: String?
    /// A user as named when the rule was made.
    public var user: String?
    /// The user's number; nil: every user.
    public var uid: UInt32?

    public init() {}

    /// - Throws: `BlocklistError.badArgument` for a program or a user that cannot be.
    public init(app: String?, user: String?) throws(BlocklistError) {
        if let app {
            guard !app.isEmpty, !app.utf8.contains(0), app.utf8.first == UInt8(ascii: "/") || !app.contains("/") else {
                throw .badArgument("'\(app)' is no program: give its name, or its path from / on")
            }
            guard !app.hasSuffix("/") else { throw .badArgument("'\(app)' is a directory's name, not a program's") }
        }
        self.app = app
        guard let user else { return }
        self.user = user
        uid = try UserNames.number(user)
    }

    public var isEmpty: Bool { app == nil && uid == nil }
}

extension FlowConditions: CustomStringConvertible {
    /// As `webtun flow deny` takes them: `203.0.113.0/24 --port 8000-8010 --proto 6`.
    public var description: String {
        var parts: [String] = []
        if let remote { parts.append("\(remote)") }
        if let name { parts.append(isExact ? "\(name) --exact" : name) }
        if let ports {
            parts.append("--port \(ports.lowerBound)" + (ports.count > 1 ? "-\(ports.upperBound)" : ""))
        }
        if let proto { parts.append("--proto \(proto)") }
        if let app = owner.app { parts.append("--app \(app)") }
        if let user = owner.user { parts.append("--user \(user)") }
        return parts.joined(separator: " ")
    }
}
