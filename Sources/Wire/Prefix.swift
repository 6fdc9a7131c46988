/// A network: an address and how many of its leading bits count (CIDR, RFC 4632 and RFC 4291 section 2.3).
public struct Prefix: Hashable, Sendable {
    /// The bits behind `length` are 0.
    public let address: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let length: Int

    /// Clears the bits behind `length`, which is brought into the range of the family.
    @inlinable
    public init(_ address: IPAddress, length: Int) {
        let width = address.isIPv6 ? 128 : 32
        let length = min(max(length, 0), width)
        self.length = length
        guard address.isIPv6 else {
            self.address = IPAddress(v4: UInt32(truncatingIfNeeded: address.low) & ~(UInt32.max >> UInt32(length)))
            return
        }
        // A shift by the whole width gives 0.
        let high = address.high & ~(UInt64.max >> UInt64(min(length, 64)))
        let low = address.low & ~(UInt64.max >> UInt64(max(length - 64, 0)))
        self.address = IPAddress(high: high, low: low)
    }

    @inlinable
    public func contains(_ address: IPAddress) -> Bool {
        address.isIPv6 == self.address.isIPv6 && Prefix(address, length: length).address == self.address
    }
}

extension Prefix: CustomStringConvertible, LosslessStringConvertible {
    /// `192.0.2.0/24`, `2001:db8::/32`.
    public var description: String { "\(address)/\(length)" }

    /// Parses `address/length`, or an address alone, which is a prefix of its whole width. Bits behind the length may be set.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { return nil }
        let width = address.byteCount * 8
        guard parts.count == 2 else {
            self.init(address, length: width)
            return
        }
        let digits = parts[1]
        guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }),
            digits.count == 1 || digits.first != "0", let length = Int(digits), length <= width
        else { return nil }
        self.init(address, length: length)
    }
}
