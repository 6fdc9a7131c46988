/// A response code: 4 bits of the header, 8 more in the OPT record (RFC 6895 section 2.3).
public struct RCode: Hashable, Sendable, CustomStringConvertible {
    public let code: UInt16

    @inlinable
    public init(_ code: UInt16) {
        self.code = code
    }

    public static let noError = RCode(0)
    public static let formatError = RCode(1)
    public static let serverFailure = RCode(2)
    public static let nameError = RCode(3)
    public static let notImplemented = RCode(4)
    public static let refused = RCode(5)
    public static let badVersion = RCode(16)

    private static let mnemonics = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
        "NOTZONE", "DSOTYPENI",
    ]

    /// The IANA mnemonic, or `RCODE` and the number.
    public var description: String {
        if code == 16 { return "BADVERS" }
        return Int(code) < RCode.mnemonics.count ? RCode.mnemonics[Int(code)] : "RCODE\(code)"
    }
}

/// A record or query type (IANA, Resource Record TYPEs).
public struct RecordType: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    public let code: UInt16

    @inlinable
    public init(_ code: UInt16) {
        self.code = code
    }

    public static let a = RecordType(1)
    public static let ns = RecordType(2)
    public static let cname = RecordType(5)
    public static let soa = RecordType(6)
    public static let aaaa = RecordType(28)
    public static let opt = RecordType(41)
    public static let ixfr = RecordType(251)
    public static let axfr = RecordType(252)
    public static let any = RecordType(255)

    private static let mnemonics: [UInt16: String] = [
        1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 11: "WKS", 12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX",
        16: "TXT", 17: "RP", 18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR",
        36: "KX", 37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG",
        47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP",
        59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF",
        108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 256: "URI",
        257: "CAA", 32768: "TA", 32769: "DLV",
    ]

    /// The IANA mnemonic, or `TYPE` and the number (RFC 3597 section 5).
    public var description: String { RecordType.mnemonics[code] ?? "TYPE\(code)" }

    /// Reads a mnemonic in any case, or `TYPE123`.
    public init?(_ text: String) {
        let wanted = text.uppercased()
        if let found = RecordType.mnemonics.first(where: { $0.value == wanted }) {
            code = found.key
        } else if wanted.hasPrefix("TYPE"), wanted.utf8.dropFirst(4).allSatisfy({ $0 >= 48 && $0 <= 57 }),
            let number = UInt16(wanted.dropFirst(4))
        {
            code = number
        } else {
            return nil
        }
    }
}
