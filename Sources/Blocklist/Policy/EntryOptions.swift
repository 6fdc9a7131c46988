/// What an entry of a list says besides its name, as column `options` of table `entry` keeps it.
///
/// The canonical text is a row of options with a blank between them, always in this order, so that equal options have equal
/// texts:
///
/// | option | meaning |
/// |---|---|
/// | `badfilter` | takes back the entry that is the same without this option |
/// | `denyallow=a.example|b.example` | not for these names and what is below them |
/// | `dnstype=A|~AAAA` | for queries of these types only; with `~` for all but these |
/// | `answer=…` | how a query that the entry blocks is answered |
/// | `rewrite=…` | as `answer`, before the other entries of lists; `rewrite` alone, of an exception: for every rewrite |
///
/// An answer is a word (`nxdomain`, `nodata`, `refused`, `servfail`, `drop`, `truncate`) or records, a line each, as
/// `[TTL] TYPE RDATA` (RFC 1035 section 5.1 without the owner).
struct EntryOptions: Equatable, Sendable {
    /// How a query is answered.
    enum Answer: Equatable, Sendable {
        case nxdomain, nodata, refused, servfail
        /// Not at all.
        case drop
        /// Over UDP by an empty message with TC, so that the client asks over TCP.
        case truncate
        /// With local data; see the canonical text.
        case records(String)

        var text: String {
            switch self {
            case .nxdomain: "nxdomain"
            case .nodata: "nodata"
            case .refused: "refused"
            case .servfail: "servfail"
            case .drop: "drop"
            case .truncate: "truncate"
            case .records(let text): text
            }
        }

        init(text: String) {
            switch text {
            case "nxdomain": self = .nxdomain
            case "nodata": self = .nodata
            case "refused": self = .refused
            case "servfail": self = .servfail
            case "drop": self = .drop
            case "truncate": self = .truncate
            default: self = .records(text)
            }
        }
    }

    /// `$badfilter`
    var isTakingBack = false
    /// Names in stored form, sorted.
    var denyallow: [String] = []
    /// Query types that the entry is for, sorted; empty: all.
    var types: [UInt16] = []
    /// Query types that it is not for, sorted.
    var exceptedTypes: [UInt16] = []
    var answer: Answer?
    /// `$dnsrewrite`: before the other entries of lists.
    var isRewrite = false

    static let nxdomain = "answer=nxdomain"
    /// Seconds, of records that say none.
    static let defaultTTL: UInt32 = 300
    /// Names that `denyallow` may have.
    static let mostNames = 32

    init() {}

    init(answer: Answer) {
        self.answer = answer
    }

    /// The canonical text; nil when there is nothing to say.
    var text: String? {
        var parts: [String] = []
        if isTakingBack { parts.append("badfilter") }
        if !denyallow.isEmpty { parts.append("denyallow=" + denyallow.joined(separator: "|")) }
        if !types.isEmpty || !exceptedTypes.isEmpty {
            let all = types.map(QueryType.text) + exceptedTypes.map { "~" + QueryType.text($0) }
            parts.append("dnstype=" + all.joined(separator: "|"))
        }
        if isRewrite {
            parts.append(answer.map { "rewrite=" + $0.text } ?? "rewrite")
        } else if let answer {
            parts.append("answer=" + answer.text)
        }
        return parts.isEmpty ? nil : parts.joined(separator: " ")
    }

    /// Reads a canonical text. nil for what no import writes.
    init?(text: String) {
        var rest = Substring(text)
        func value(_ key: String) -> Substring? {
            guard rest.hasPrefix(key) else { return nil }
            let end = rest.firstIndex(of: " ") ?? rest.endIndex
            defer { rest = end < rest.endIndex ? rest[rest.index(after: end)...] : "" }
            return rest[..<end].dropFirst(key.count)
        }
        if let rest = value("badfilter") {
            guard rest.isEmpty else { return nil }
            isTakingBack = true
        }
        if let names = value("denyallow=") { denyallow = names.split(separator: "|").map(String.init) }
        if let all = value("dnstype=") {
            for word in all.split(separator: "|") {
                guard let type = QueryType.number(word.drop { $0 == "~" }) else { return nil }
                if word.hasPrefix("~") { exceptedTypes.append(type) } else { types.append(type) }
            }
        }
        if rest.hasPrefix("answer=") {
            answer = Answer(text: String(rest.dropFirst("answer=".count)))
        } else if rest.hasPrefix("rewrite") {
            isRewrite = true
            let value = rest.dropFirst("rewrite".count)
            guard value.isEmpty || value.hasPrefix("=") else { return nil }
            answer = value.isEmpty ? nil : Answer(text: String(value.dropFirst()))
        } else if !rest.isEmpty {
            return nil
        }
    }

    /// The options of several entries of one name and list in one, when all they differ in is their records: those of all.
    static func merged(_ texts: [String]) -> String? {
        guard var first = texts.first.flatMap({ EntryOptions(text: $0) }), case .records(var records)? = first.answer
        else { return nil }
        for text in texts.dropFirst() {
            guard var next = EntryOptions(text: text), case .records(let more)? = next.answer else { return nil }
            next.answer = first.answer
            guard next == first else { return nil }
            let known = records.split(separator: "\n")
            for line in more.split(separator: "\n") where !known.contains(line) { records += "\n" + line }
        }
        first.answer = .records(records)
        return first.text
    }
}

/// Query types by name and number.
enum QueryType {
    /// Those that lists speak of by name; others are written `TYPE1234` (RFC 3597 section 5).
    private static let names: [(String, UInt16)] = [
        ("A", 1), ("NS", 2), ("CNAME", 5), ("SOA", 6), ("PTR", 12), ("HINFO", 13), ("MX", 15), ("TXT", 16), ("RP", 17),
        ("AFSDB", 18), ("SIG", 24), ("KEY", 25), ("AAAA", 28), ("LOC", 29), ("SRV", 33), ("NAPTR", 35), ("KX", 36),
        ("CERT", 37), ("DNAME", 39), ("APL", 42), ("DS", 43), ("SSHFP", 44), ("IPSECKEY", 45), ("RRSIG", 46),
        ("NSEC", 47), ("DNSKEY", 48), ("DHCID", 49), ("NSEC3", 50), ("NSEC3PARAM", 51), ("TLSA", 52), ("SMIMEA", 53),
        ("HIP", 55), ("CDS", 59), ("CDNSKEY", 60), ("OPENPGPKEY", 61), ("CSYNC", 62), ("ZONEMD", 63), ("SVCB", 64),
        ("HTTPS", 65), ("SPF", 99), ("EUI48", 108), ("EUI64", 109), ("ANY", 255), ("URI", 256), ("CAA", 257),
    ]
    private static let numbers = [String: UInt16](uniqueKeysWithValues: names)

    static func number(_ text: some StringProtocol) -> UInt16? {
        let text = text.uppercased()
        if let number = numbers[text] { return number }
        guard text.hasPrefix("TYPE"), let number = UInt16(text.dropFirst(4)), number > 0 else { return nil }
        return number
    }

    static func text(_ number: UInt16) -> String {
        names.first { $0.1 == number }?.0 ?? "TYPE\(number)"
    }
}
