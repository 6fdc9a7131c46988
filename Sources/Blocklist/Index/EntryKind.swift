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

    /// An address or prefix, not a name.
    public static let address = EntryKind(rawValue: 4)

    /// Among entries of one name the lowest wins: allow before deny, suffix (which says more) before exact.
    var rank: Int {
        (contains(.allow) ? 0 : 2) + (contains(.exact) ? 1 : 0)
    }
}
