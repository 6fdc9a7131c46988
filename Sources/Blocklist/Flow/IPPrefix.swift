public import Wire

/// A `Prefix` as people write it in rules and lists: a single address has no length, and no bits may be set behind the
/// length (CIDR, RFC 4632 section 3.1, RFC 4291 section 2.3).
public struct IPPrefix: Hashable, Sendable, CustomStringConvertible {
    private let prefix: Prefix

    /// The first address: the bits behind `length` are 0.
    public var address: IPAddress { prefix.address }
    /// Bits that count: 0 to 32, for IPv6 to 128.
    public var length: Int { prefix.length }

    /// The prefix of so many bits that holds an address.
    public init(_ address: IPAddress, length: Int) {
        prefix = Prefix(address, length: length)
    }

    /// Reads `203.0.113.7`, `203.0.113.0/24` or the same for IPv6.
    ///
    /// - Throws: `BlocklistError.badPrefix` with the reason.
    public init(_ text: String) throws(BlocklistError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else {
            throw .badPrefix(text, "not an address; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32")
        }
        let bits = address.byteCount * 8
        guard parts.count == 2 else {
            self.init(address, length: bits)
            return
        }
        guard parts[1].utf8.allSatisfy({ $0 &- 0x30 < 10 }), parts[1].utf8.count <= 3, let length = Int(parts[1]),
            length <= bits
        else { throw .badPrefix(text, "the number behind the slash is 0 to \(bits)") }
        self.init(address, length: length)
        guard self.address == address else {
            throw .badPrefix(text, "has bits behind the prefix; write \(self)")
        }
    }

    /// The ones of a prefix, as the halves of an address.
    static func mask(length: Int, isIPv6: Bool) -> (high: UInt64, low: UInt64) {
        // A shift by 64 or more gives 0.
        if isIPv6 {
            return (length == 0 ? 0 : ~0 << UInt64(max(0, 64 - length)), length <= 64 ? 0 : ~0 << UInt64(128 - length))
        }
        return (0, 0xFFFF_FFFF & ~0 << UInt64(32 - length))
    }

    /// Whether the prefix is a single address.
    public var isAddress: Bool { length == address.byteCount * 8 }

    public func contains(_ other: IPAddress) -> Bool { prefix.contains(other) }

    /// Without the length when it is a single address.
    public var description: String { isAddress ? "\(address)" : "\(address)/\(length)" }
}
