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

    /// Has options (`EntryOptions`).
    public static let options = EntryKind(rawValue: 32)

    /// A pattern, not a name.
    public static let pattern = EntryKind(rawValue: 64)

    /// Kinds there can be, options and patterns aside.
    static let count: UInt8 = 32

    /// Among entries of one name the lowest wins: important ones first, allow before deny, suffix (which says more)
    /// before the others.
    var rank: Int {
        (contains(.important) ? 0 : 8) + (contains(.allow) ? 0 : 4) + (contains(.exact) ? 1 : contains(.below) ? 2 : 0)
    }
}
