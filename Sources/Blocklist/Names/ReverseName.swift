public import Wire

/// The names under which addresses are asked for: `in-addr.arpa` (RFC 1035 section 3.5) and `ip6.arpa` (RFC 3596
/// section 2.5). In stored form.
public enum ReverseName {
    public static func name(of address: IPAddress) -> String {
        (digits(address) + [suffix(address)]).joined(separator: ".")
    }

    /// The zones that hold the addresses of a prefix and no others: one where it ends at a label, else one for each value
    /// of the label it ends in.
    public static func zones(of prefix: Prefix) -> [String] {
        let width = prefix.address.isIPv6 ? 4 : 8
        let labels = Array(digits(prefix.address).reversed().prefix(prefix.length / width))
        let rest = prefix.length % width
        let base = labels.reversed() + [suffix(prefix.address)]
        guard rest > 0 else { return [base.joined(separator: ".")] }
        let index = prefix.length / width
        let first = value(prefix.address, index)
        return (first..<first + 1 << (width - rest)).map { number in
            ([text(number, prefix.address)] + base).joined(separator: ".")
        }
    }

    private static func suffix(_ address: IPAddress) -> String { address.isIPv6 ? "ip6.arpa" : "in-addr.arpa" }

    private static func text(_ value: Int, _ address: IPAddress) -> String {
        String(value, radix: address.isIPv6 ? 16 : 10)
    }

    /// The labels from the address's last to its first.
    private static func digits(_ address: IPAddress) -> [String] {
        (0..<(address.isIPv6 ? 32 : 4)).reversed().map { text(value(address, $0), address) }
    }

    /// The octet, or of IPv6 the nibble, at a place from the front.
    private static func value(_ address: IPAddress, _ index: Int) -> Int {
        guard address.isIPv6 else { return Int(address.low >> UInt64(24 - 8 * index) & 0xff) }
        let half = index < 16 ? address.high : address.low
        return Int(half >> UInt64(60 - 4 * (index % 16)) & 0xf)
    }
}
