public import Wire

/// An address, or all addresses that begin with the same bits (CIDR, RFC 4632 section 3.1, RFC 4291 section 2.3).
public struct IPPrefix: Hashable, Sendable, CustomStringConvertible {
    /// The first address: the bits behind `length` are 0.
    public let address: IPAddress
    /// Bits that count: 0 to 32, for IPv6 to 128.
    public let length: Int

    /// The prefix of so many bits that holds an address.
    public init(_ address: IPAddress, length: Int) {
        self.length = length
        let mask = IPPrefix.mask(length: length, isIPv6: address.isIPv6)
        self.address =
            address.isIPv6
            ? IPAddress(high: address.high & mask.high, low: address.low & mask.low)
            : IPAddress(v4: UInt32(truncatingIfNeeded: address.low & mask.low))
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

    public func contains(_ other: IPAddress) -> Bool {
        other.isIPv6 == address.isIPv6 && IPPrefix(other, length: length).address == address
    }

    /// Without the length when it is a single address.
    public var description: String { isAddress ? "\(address)" : "\(address)/\(length)" }
}
