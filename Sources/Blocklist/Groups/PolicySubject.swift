import Wire

/// Somebody who asks, as people name him.
public enum PolicySubject: Sendable, Hashable {
    /// An address or a prefix.
    case address(IPPrefix)
    case mac(MACAddress)
    /// A user as named, and the number.
    case user(String, UInt32)
    /// A program: its path when it begins with a slash, else the last component of the path.
    case app(String)

    /// Reads an address, a prefix or a MAC address.
    ///
    /// - Throws: `BlocklistError.badArgument`, `.badPrefix`.
    public init(client text: String) throws(BlocklistError) {
        if let mac = try MACAddress(text) {
            self = .mac(mac)
        } else if text.contains("/") || IPAddress(text) != nil {
            self = .address(try IPPrefix(text))
        } else {
            throw .badArgument(
                "'\(text)' is no address, prefix or MAC address; write 192.0.2.7, 192.0.2.0/24 or 02:00:00:00:00:07")
        }
    }

    /// - Throws: `BlocklistError.badArgument` for a user that this machine does not have.
    public init(user: String) throws(BlocklistError) {
        self = .user(user, try UserNames.number(user))
    }

    /// - Throws: `BlocklistError.badArgument` for what cannot be a program.
    public init(app: String) throws(BlocklistError) {
        _ = try RuleOwner(app: app, user: nil)
        self = .app(app)
    }

    /// `address`, `mac`, `user` or `app`.
    public var kind: String {
        switch self {
        case .address: "address"
        case .mac: "mac"
        case .user: "user"
        case .app: "app"
        }
    }

    /// As it is written.
    public var text: String {
        switch self {
        case .address(let prefix): prefix.description
        case .mac(let mac): mac.description
        case .user(let name, _): name
        case .app(let name): name
        }
    }

    var uid: UInt32? {
        guard case .user(_, let number) = self else { return nil }
        return number
    }

    /// From the columns of a table; nil for what no webtun writes.
    init?(kind: String, subject: String, uid: UInt32?) {
        switch kind {
        case "address":
            guard let prefix = try? IPPrefix(subject) else { return nil }
            self = .address(prefix)
        case "mac":
            guard let mac = (try? MACAddress(subject)) ?? nil else { return nil }
            self = .mac(mac)
        case "user":
            guard let uid else { return nil }
            self = .user(subject, uid)
        case "app": self = .app(subject)
        default: return nil
        }
    }

    /// Whose queries and flows that are, as a condition on owners; nil for addresses.
    var owner: OwnerCondition? {
        var owner = RuleOwner()
        switch self {
        case .address, .mac: return nil
        case .user(_, let uid): owner.uid = uid
        case .app(let name): owner.app = name
        }
        return OwnerCondition(owner)
    }
}

/// The hardware address of a device on an Ethernet link.
public struct MACAddress: Sendable, Hashable, CustomStringConvertible {
    /// The 48 bits, the first octet highest.
    public let value: UInt64

    /// - Parameter octets: six of them, as on the link; nil for any other number.
    public init?(octets: some Collection<UInt8>) {
        guard octets.count == 6 else { return nil }
        value = octets.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads `02:00:00:00:00:07` or `02-00-00-00-00-07`; nil for what does not look like one at all.
    ///
    /// - Throws: `BlocklistError.badArgument` for what looks like one and is none of a device.
    public init?(_ text: String) throws(BlocklistError) {
        for separator in [":", "-"] as [Character] {
            let parts = text.split(separator: separator, omittingEmptySubsequences: false)
            guard parts.count == 6, parts.allSatisfy({ 1...2 ~= $0.utf8.count }) else { continue }
            let octets = parts.compactMap { UInt8($0, radix: 16) }
            guard octets.count == 6, let mac = MACAddress(octets: octets), parts.allSatisfy({ $0.utf8.count == 2 })
            else { throw .badArgument("'\(text)' is no MAC address; write six pairs of digits, 02:00:00:00:00:07") }
            guard octets[0] & 1 == 0, mac.value != 0 else {
                throw .badArgument("'\(text)' is the address of no device: it is a group's, or all zeros")
            }
            self = mac
            return
        }
        return nil
    }

    public var description: String {
        (0..<6).map { index in
            let digits = String(value >> (40 - 8 * UInt64(index)) & 0xFF, radix: 16)
            return digits.utf8.count == 1 ? "0" + digits : digits
        }.joined(separator: ":")
    }
}
