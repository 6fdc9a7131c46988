public import Synchronization
public import Wire

/// Which link an address belongs to: this machine's own addresses, and the prefixes of served links. A value of
/// integers; looking up allocates nothing.
public struct AddressTable: Sendable, Equatable {
    @usableFromInline struct Entry: Sendable, Equatable {
        @usableFromInline var high: UInt64
        @usableFromInline var low: UInt64
        @usableFromInline var highMask: UInt64
        @usableFromInline var lowMask: UInt64
        @usableFromInline var isIPv6: Bool
        @usableFromInline var length: Int
        @usableFromInline var ifindex: Int32
    }

    /// Longest prefixes first.
    @usableFromInline var entries: [Entry] = []

    public init() {}

    /// Adds a prefix of `length` bits. Of two equal prefixes the first one stays.
    public mutating func add(_ address: IPAddress, length: Int, ifindex: UInt32) {
        let bits = address.isIPv6 ? min(length, 128) : min(length, 32) + 96
        let highMask: UInt64 = bits >= 64 ? .max : bits == 0 ? 0 : .max << UInt64(64 - bits)
        let lowMask: UInt64 = bits <= 64 ? 0 : .max << UInt64(128 - bits)
        let entry = Entry(
            high: address.high & highMask, low: address.low & lowMask, highMask: highMask, lowMask: lowMask,
            isIPv6: address.isIPv6, length: bits, ifindex: Int32(truncatingIfNeeded: ifindex))
        let at = entries.firstIndex { $0.length < bits } ?? entries.count
        entries.insert(entry, at: at)
    }

    /// Whether it is an address of this machine.
    @inlinable
    public func isOwn(_ address: IPAddress) -> Bool {
        for index in entries.indices {
            let entry = entries[index]
            guard entry.length == 128 else { return false }
            if entry.isIPv6 == address.isIPv6, address.high == entry.high, address.low == entry.low { return true }
        }
        return false
    }

    /// The ifindex of the link, -1 when no link has the address.
    @inlinable
    public func link(of address: IPAddress) -> Int32 {
        for index in entries.indices {
            let entry = entries[index]
            if entry.isIPv6 == address.isIPv6, address.high & entry.highMask == entry.high,
                address.low & entry.lowMask == entry.low
            {
                return entry.ifindex
            }
        }
        return -1
    }
}

/// The current `AddressTable`, changed by the thread that follows the links.
///
/// A reader keeps a copy and looks at `generation` (one atomic load, no lock) before a batch; only when that has changed does it
/// take the new table, under the lock.
public final class AddressBook: Sendable {
    @usableFromInline let count = Atomic<Int>(0)
    private let current = Mutex(AddressTable())

    public init() {}

    /// Changes with every new table.
    @inlinable public var generation: Int { count.load(ordering: .acquiring) }

    public var table: AddressTable { current.withLock { $0 } }

    func publish(_ table: AddressTable) {
        let changed = current.withLock { current in
            defer { current = table }
            return current != table
        }
        if changed { count.add(1, ordering: .releasing) }
    }
}
