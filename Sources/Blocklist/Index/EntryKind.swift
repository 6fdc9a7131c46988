/// What an entry of a list, or a rule, does: block a name and everything below it, unless one of these says otherwise.
public struct EntryKind: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Allows instead of blocking.
    public static let allow = EntryKind(rawValue: 1)
    /// Stands for the name alone, not for names below it.
    public static let exact = EntryKind(rawValue: 2)
    /// Stands for the names below, not for the name itself.
    public static let below = EntryKind(rawValue: 4)
    /// Comes before every entry without it, those of allow lists too.
    public static let important = EntryKind(rawValue: 8)

    /// An address or prefix, not a name.
    public static let address = EntryKind(rawValue: 16)
    /// Asks more of a query than its name: column `options` of table `entry`.
    public static let hasOptions = EntryKind(rawValue: 32)
    /// A regular expression, not a name.
    public static let pattern = EntryKind(rawValue: 64)

    /// Kinds there can be.
    static let count: UInt8 = 128

    /// Among entries of one name the lowest wins: important ones first, allow before deny, suffix (which says more)
    /// before the others.
    var rank: Int {
        (contains(.important) ? 0 : 8) + (contains(.allow) ? 0 : 4) + (contains(.exact) ? 1 : contains(.below) ? 2 : 0)
    }

    /// Whether an entry of this kind speaks of a query: `isWhole` when its name is the query's, not one above it.
    @inline(__always)
    func covers(isWhole: Bool) -> Bool {
        rawValue & (isWhole ? EntryKind.below : EntryKind.exact).rawValue == 0
    }
}
