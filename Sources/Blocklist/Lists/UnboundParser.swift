/// Lines of unbound configuration (unbound.conf(5)): `local-zone: "name" type` and `local-data: "name [ttl] [class] A address"`.
///
/// Zone types that answer themselves block; `transparent` and its kin except a name, so they allow. Local data with the
/// unspecified or a loopback address blocks; other data makes local data of a list that was added with `--records`: for the
/// name alone, or, when the zone was declared `redirect` before, for all below it too. Section heads and other settings are
/// skipped.
struct UnboundParser: LineParser {
    private var name = NameText()
    /// Zones of type `redirect`.
    private var redirected: Set<String> = []

    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        var words = QuotedWords(line)
        guard let word = words.next() else { return }
        let key = line.extracting(word)
        guard key[key.count - 1] == UInt8(ascii: ":") else { return sink.refuse(.notUnbound) }
        if key.equals("local-zone:") {
            guard let zone = words.next() else { return sink.refuse(.noName) }
            guard let type = words.next(), let kind = UnboundParser.kind(line.extracting(type)) else {
                return sink.refuse(.zoneType)
            }
            take(line.extracting(zone), kind, nil, &sink)
            if sink.takesRecords, line.extracting(type).equals("redirect"), name.count > 0 {
                redirected.insert(name.string)
            }
        } else if key.equals("local-data:") {
            guard let data = words.next() else { return sink.refuse(.noName) }
            takeData(line.extracting(data), &sink)
        } else {
            sink.skip()
        }
    }

    private mutating func take(
        _ token: Span<UInt8>, _ kind: EntryKind, _ options: String?, _ sink: inout some LineSink & ~Copyable
    ) {
        if let problem = name.parse(token) { return sink.refuse(.name(problem)) }
        sink.entry(name, kind, options)
    }

    /// A resource record in the form of a zone file: owner, then TTL and class in any order, type, address.
    private mutating func takeData(_ record: Span<UInt8>, _ sink: inout some LineSink & ~Copyable) {
        var words = Words(record)
        guard let owner = words.next() else { return sink.refuse(.noName) }
        var type: Range<Int>?
        while let word = words.next() {
            let token = record.extracting(word)
            if token.equals("IN") || token.equals("in") || (token[0] &- 0x30 <= 9) { continue }
            type = word
            break
        }
        guard let type else { return sink.refuse(.noAddress) }
        let token = record.extracting(type)
        if token.equals("A") || token.equals("AAAA") || token.equals("a") || token.equals("aaaa"),
            let data = words.next(), HostsParser.address(record.extracting(data)) == .null
        {
            return take(record.extracting(owner), [], nil, &sink)
        }
        guard sink.takesRecords else { return sink.refuse(.realAddress) }
        switch ZoneRecord.parse(String(copying: record.extracting(droppingFirst: owner.upperBound))) {
        case .failure(let problem): sink.refuse(problem)
        case .success(let data):
            let options = EntryOptions(answer: .records(data.optionText)).text
            if let problem = name.parse(record.extracting(owner)) { return sink.refuse(.name(problem)) }
            sink.entry(name, redirected.contains(name.string) ? [] : .exact, options)
        }
    }

    /// nil: a type that neither blocks nor excepts, or none unbound has.
    private static func kind(_ type: Span<UInt8>) -> EntryKind? {
        if type.equals("always_null") || type.equals("always_nxdomain") || type.equals("always_refuse")
            || type.equals("always_nodata") || type.equals("always_deny") || type.equals("redirect")
            || type.equals("static") || type.equals("refuse") || type.equals("deny") || type.equals("inform_deny")
            || type.equals("inform_redirect")
        {
            return []
        }
        if type.equals("transparent") || type.equals("always_transparent") || type.equals("typetransparent") {
            return .allow
        }
        return nil
    }
}

/// The words of a line as unbound splits it: at blanks, quotes holding a word with blanks together.
private struct QuotedWords: ~Escapable {
    private let line: Span<UInt8>
    private var at = 0

    @_lifetime(copy line)
    init(_ line: Span<UInt8>) {
        self.line = line
    }

    /// The next word without its quotes, or nil at the end or where a comment begins.
    @_lifetime(self: copy self)
    mutating func next() -> Range<Int>? {
        while at < line.count && Words.blank(line[at]) { at += 1 }
        guard at < line.count, line[at] != UInt8(ascii: "#") else { return nil }
        let quote = line[at]
        if quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            let start = at + 1
            at = start
            while at < line.count && line[at] != quote { at += 1 }
            let end = at
            at = min(at + 1, line.count)
            return end > start ? start..<end : next()
        }
        let start = at
        while at < line.count && !Words.blank(line[at]) && line[at] != UInt8(ascii: "#") { at += 1 }
        return start..<at
    }
}
