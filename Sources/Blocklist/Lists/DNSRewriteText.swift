import Wire

/// The value of `$dnsrewrite`.
///
/// Short: an address, a name (the answer is a CNAME), or `NOERROR`, `NXDOMAIN`, `REFUSED`, `SERVFAIL`. Full:
/// `RCODE;TYPE;VALUE`, where the value is that of an A, AAAA, CNAME, PTR, TXT, MX, SRV, HTTPS or SVCB record, its parts
/// divided by blanks; `NOERROR;;` is an answer without records.
enum DNSRewriteText {
    static func parse(_ text: String) -> Result<EntryOptions.Answer, LineProblem> {
        let parts = text.split(separator: ";", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        switch parts.count {
        case 1: return short(text)
        case 3: return full(parts[0], parts[1], parts[2])
        default: return .failure(.option("'$dnsrewrite' needs one value, or three divided by ';': RCODE;TYPE;VALUE"))
        }
    }

    private static func short(_ text: String) -> Result<EntryOptions.Answer, LineProblem> {
        if let answer = rcode(text) { return .success(answer) }
        if let address = IPAddress(text) {
            return .success(.records("\(address.isIPv6 ? "AAAA" : "A") \(address)"))
        }
        if !text.contains("."), text.allSatisfy({ $0.isASCII && $0.isUppercase }) {
            return .failure(.option("'$dnsrewrite' does not know '\(text.prefix(20))'"))
        }
        return name(text).map { .records("CNAME \($0)") }
    }

    private static func full(_ code: String, _ type: String, _ value: String) -> Result<
        EntryOptions.Answer, LineProblem
    > {
        guard let answer = rcode(code.uppercased()) else {
            return .failure(.option("'$dnsrewrite' does not know the rcode '\(code.prefix(20))'"))
        }
        guard answer == .nodata, !type.isEmpty || !value.isEmpty else { return .success(answer) }
        let words = value.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
        let rdata: Result<String, LineProblem> =
            switch type.uppercased() {
            case "A", "AAAA": .success(value)
            case "CNAME", "PTR": name(value)
            case "TXT": .success(quoted(value))
            case "MX": withName(words, at: 1, of: 2...2)
            case "SRV": withName(words, at: 3, of: 4...4)
            case "HTTPS", "SVCB": withName(words, at: 1, of: 2...64)
            default: .failure(.option("'$dnsrewrite' with records of type '\(type.prefix(20))' is not supported"))
            }
        return rdata.flatMap { rdata in
            let text = "\(type.uppercased()) \(rdata)"
            return ZoneRecord.parse(text).map { .records("\(QueryType.text($0.type)) \($0.rdata)") }
                .mapError { problem in .option("'$dnsrewrite' with '\(text.prefix(60))': \(problem)") }
        }
    }

    private static func rcode(_ text: String) -> EntryOptions.Answer? {
        switch text {
        case "NOERROR": .nodata
        case "NXDOMAIN": .nxdomain
        case "REFUSED": .refused
        case "SERVFAIL": .servfail
        default: nil
        }
    }

    /// A name with its last dot; `.` for the root.
    private static func name(_ text: String) -> Result<String, LineProblem> {
        if text == "." { return .success(text) }
        var name = NameText()
        if let problem = name.parse(Array(text.utf8).span) {
            return .failure(.option("'$dnsrewrite' with '\(text.prefix(60))': \(problem)"))
        }
        return .success(name.string + ".")
    }

    /// Words of which one is a name.
    private static func withName(
        _ words: [String], at place: Int, of count: ClosedRange<Int>
    ) -> Result<String, LineProblem> {
        guard count ~= words.count else {
            return .failure(.option("'$dnsrewrite' with a record of which parts are missing"))
        }
        // ldns takes the last 16 bits of a number.
        guard words[..<place].allSatisfy({ UInt16($0) != nil }) else {
            return .failure(.option("'$dnsrewrite' with a number that is none from 0 to 65535"))
        }
        return name(words[place]).map { name in
            var words = words
            words[place] = name
            return words.joined(separator: " ")
        }
    }

    /// A character string, cut to pieces of 255 bytes (RFC 1035 section 3.3.14).
    private static func quoted(_ text: String) -> String {
        let bytes = Array(text.utf8)
        return stride(from: 0, to: max(1, bytes.count), by: 255).map { start in
            let piece = bytes[start..<min(start + 255, bytes.count)].map { byte -> String in
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"): return "\\" + String(Character(Unicode.Scalar(byte)))
                case 0x20...0x7E: return String(Character(Unicode.Scalar(byte)))
                default: return "\\" + String(repeating: "0", count: 3 - String(byte).count) + String(byte)
                }
            }
            return "\"" + piece.joined() + "\""
        }.joined(separator: " ")
    }
}
