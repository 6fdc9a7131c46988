/// A list as `blocklist.db` has it.
public struct BlockList: Sendable, Equatable {
    public var id: Int32
    public var name: String
    /// Absolute path of the file it is read from, or the address it is fetched from.
    public var source: String
    /// As asked for: `auto`, or a `ListFormat`.
    public var format: String
    /// The format it was last read in.
    public var detected: String?
    public var allow: Bool
    public var exact: Bool
    /// Whether data of its own, such as real addresses in a hosts file, is taken as local data.
    public var records = false
    public var enabled: Bool
    /// Seconds from one fetching to the next; nil: when asked to.
    public var every: Int64?
    /// Percent of its names that it may lose when fetched.
    public var maxShrink: Int
    /// When it is to be fetched next: microseconds since 1970, UTC.
    public var due: Int64?
    /// Lines of the file.
    public var lines: Int
    /// Names taken.
    public var entries: Int
    /// Names passed over, such as `localhost`.
    public var skipped: Int
    /// Lines (or single names of a line) refused.
    public var refused: Int
    /// Microseconds since 1970, UTC.
    public var added: Int64
    /// When the entries were last read.
    public var updated: Int64?
    /// When reading was last tried.
    public var checked: Int64?
    /// Why the last try failed; the entries are then those of the last good one.
    public var error: String?
    /// The groups it belongs to.
    public var groups = GroupSet.standard
}

/// A user's rule.
public struct UserRule: Sendable, Equatable {
    public enum Match: String, Sendable, CaseIterable { case exact, suffix, regex }
    public enum Action: String, Sendable, CaseIterable { case allow, deny }

    /// Stands for every name in a rule for a program or a user.
    public static let everyName = "."

    public var id: Int32
    public var match: Match
    public var action: Action
    /// A name in stored form, or the regular expression as given; `.` in a rule for a program or user: every name.
    public var name: String
    public var comment: String
    /// Microseconds since 1970, UTC.
    public var added: Int64
    /// Whose queries it speaks of.
    public var owner = RuleOwner()
    /// The groups it belongs to.
    public var groups = GroupSet.standard
}

/// A refused line.
public struct Refusal: Sendable, Equatable {
    /// From 1.
    public var line: Int
    /// The line, at most 200 bytes of it, control characters replaced.
    public var text: String
    public var reason: String
}

/// What an import did.
public struct ImportReport: Sendable, Equatable {
    public var list: Int32
    public var name: String
    public var source: String
    public var format: ListFormat
    public var lines = 0
    public var entries = 0
    public var skipped = 0
    public var refused = 0
    /// The first refused lines; `refused` counts all.
    public var refusals: [Refusal] = []
}

/// How far long work has come.
public struct WorkProgress: Sendable, Equatable {
    /// `fetching` counts bytes that came, its total is -1 while unknown; `reading` counts bytes of the file, `compiling`
    /// names, `comparing` and `copying` rows.
    public enum Phase: Sendable { case fetching, reading, compiling, comparing, copying }
    public var phase: Phase
    public var done: Int64
    public var total: Int64
}

public typealias ProgressHandler = (WorkProgress) -> Void
