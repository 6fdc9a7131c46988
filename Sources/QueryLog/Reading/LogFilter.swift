public import Wire

/// Which rows of the log. Everything that is set must hold.
public struct LogFilter: Sendable, Equatable {
    public enum Verdicts: Sendable {
        /// `block`; and everything else.
        case blocked, allowed
        /// The verdicts `allow` (a rule or list lets it pass) and `forward` (nothing matched) alone.
        case passed, forwarded
    }

    public var verdicts: Verdicts?
    /// A pattern for the whole qname, as SQLite's GLOB: `*`, `?`, `[a-z]`, `[^a-z]`. Upper case is lowered.
    public var name: String?
    public var client: ClientMatch?
    /// A pattern for the path of the program or, without a `/`, for its last part; as for names, in the case it is written.
    public var app: String?
    public var qtype: RecordType?
    /// The list that decided, by its name.
    public var list: String?
    /// The mnemonic, upper case; `none`: no answer was given.
    public var rcode: String?
    /// As the view has it.
    public var upstream: String?
    /// Microseconds since 1970: not before; before.
    public var since: Int64?
    public var until: Int64?
    /// Only ids above.
    public var after: Int64?
    /// The last so many.
    public var limit: Int?

    public init(
        verdicts: Verdicts? = nil, name: String? = nil, since: Int64? = nil, until: Int64? = nil, after: Int64? = nil,
        limit: Int? = nil
    ) {
        self.verdicts = verdicts
        self.name = name
        self.since = since
        self.until = until
        self.after = after
        self.limit = limit
    }
}

/// An address, or a prefix of addresses (`192.0.2.0/24`, `2001:db8::/32`).
public struct ClientMatch: Sendable, Equatable {
    public let address: IPAddress
    /// Leading bits that count.
    public let bits: Int

    /// Nil when the text is neither, or has bits set behind the prefix.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = parts.first.flatMap({ IPAddress(String($0)) }) else { return nil }
        let all = address.isIPv6 ? 128 : 32
        var bits = all
        if parts.count == 2 {
            guard let number = Int(parts[1]), (0...all).contains(number), !parts[1].hasPrefix("+") else { return nil }
            bits = number
        }
        self.address = address
        self.bits = bits
        guard ClientMatch.prefix(address, bits) == address else { return nil }
    }

    func matches(_ other: IPAddress) -> Bool {
        other.isIPv6 == address.isIPv6 && ClientMatch.prefix(other, bits) == address
    }

    private static func prefix(_ address: IPAddress, _ bits: Int) -> IPAddress {
        // Shifts by the whole width give 0 in Swift.
        if address.isIPv6 {
            return IPAddress(
                high: address.high & (UInt64.max << UInt64(max(0, 64 - bits))),
                low: address.low & (UInt64.max << UInt64(min(64, 128 - bits))))
        }
        return IPAddress(v4: UInt32(truncatingIfNeeded: address.low) & (UInt32.max << UInt32(32 - bits)))
    }
}
