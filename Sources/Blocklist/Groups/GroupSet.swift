/// Groups, as a set of their ids: a bit for each.
public struct GroupSet: OptionSet, Hashable, BitwiseCopyable, Sendable {
    public let rawValue: UInt64

    @inlinable
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The group `default` alone: what is said of nothing and nobody in particular.
    public static let standard = GroupSet(rawValue: 1)
    /// Every group there is and will be.
    public static let every = GroupSet(rawValue: .max)

    /// Groups there can be: the last bit means all, as a stored set is negative then.
    static let capacity = 63

    init(_ id: Int) {
        self.init(rawValue: 1 << UInt64(id))
    }

    /// From the column of a table.
    init(stored: Int64) {
        self.init(rawValue: UInt64(bitPattern: stored))
    }

    var stored: Int64 { Int64(bitPattern: rawValue) }

    /// The ids, ascending.
    public var ids: [Int] { (0..<64).filter { rawValue >> UInt64($0) & 1 != 0 } }
}
