/// Lines of dnsmasq configuration (dnsmasq(8)): `address=/name/…/[address]`, `local=/name/…/`, `server=/name/…/[server]`.
///
/// What blocks: `local=`, `server=` without a server, and `address=` with nothing, `#`, `0.0.0.0`, `::` or a loopback
/// address. `server=/name/#` excepts a name (it is asked of the usual servers), so it allows. A real address makes local data
/// for the name and all below it, of a list that was added with `--records`. A real server makes a forwarding rule, which a
/// blocklist is not: refused. Other settings are skipped.
struct DnsmasqParser: LineParser {
    private var name = NameText()

    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        var words = Words(line)
        guard let word = words.next(whole: true) else { return }
        var token = line.extracting(word)
        if token.starts("--") { token = token.extracting(droppingFirst: 2) }
        let isAddress = token.starts("address=")
        guard isAddress || token.starts("local=") || token.starts("server=") else {
            // Settings that a configuration has beside its names, such as `no-resolv`.
            return DnsmasqParser.isSetting(token) ? sink.skip() : sink.refuse(.notDnsmasq)
        }
        var start = 0
        while token[start] != UInt8(ascii: "=") { start += 1 }
        start += 1
        guard start < token.count, token[start] == UInt8(ascii: "/") else {
            return isAddress ? sink.refuse(.noName) : sink.skip()
        }
        var last = token.count - 1
        while token[last] != UInt8(ascii: "/") { last -= 1 }
        guard last > start else { return sink.refuse(.notDnsmasq) }
        switch DnsmasqParser.effect(token.extracting((last + 1)..<token.count), isAddress: isAddress) {
        case .block: take(token.extracting((start + 1)..<last), [], nil, &sink)
        case .except: take(token.extracting((start + 1)..<last), .allow, nil, &sink)
        case .record:
            let address = token.extracting((last + 1)..<token.count)
            guard sink.takesRecords, let record = HostsParser.record(address) else { return sink.refuse(.realAddress) }
            take(token.extracting((start + 1)..<last), [], record, &sink)
        case .forwarding: sink.refuse(.forwarding)
        }
    }

    private enum Effect { case block, except, record, forwarding }

    /// What stands behind the last slash does.
    private static func effect(_ target: Span<UInt8>, isAddress: Bool) -> Effect {
        if target.isEmpty { return .block }
        if target.equals("#") { return isAddress ? .block : .except }
        if isAddress { return HostsParser.address(target) == .null ? .block : .record }
        return .forwarding
    }

    /// Names between slashes.
    private mutating func take(
        _ names: Span<UInt8>, _ kind: EntryKind, _ options: String?, _ sink: inout some LineSink & ~Copyable
    ) {
        var start = 0
        for index in 0...names.count where index == names.count || names[index] == UInt8(ascii: "/") {
            var token = names.extracting(start..<index)
            start = index + 1
            if token.equals("#") {
                sink.refuse(.everyName)
                continue
            }
            if token.starts("*.") {
                token = token.extracting(droppingFirst: 2)
            } else if token.starts(".") {
                token = token.extracting(droppingFirst: 1)
            }
            if let problem = name.parse(token) {
                sink.refuse(.name(problem))
            } else {
                sink.entry(name, kind, options)
            }
        }
    }

    /// Whether a word looks like a setting of dnsmasq: lower-case letters and hyphens, then nothing or `=`.
    private static func isSetting(_ token: Span<UInt8>) -> Bool {
        var hyphens = 0
        for index in token.indices {
            switch token[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): break
            case UInt8(ascii: "-"): hyphens += 1
            case UInt8(ascii: "="): return index > 1
            default: return false
            }
        }
        return hyphens > 0
    }
}
