/// Zones of policy (DNS Response Policy Zones, draft-vixie-dnsop-dns-rpz-00): an owner is a trigger, its records the action.
///
/// | trigger | meaning |
/// |---|---|
/// | `name` | the name alone |
/// | `*.name` | what is below it |
/// | `24.0.2.0.192.rpz-ip` | flows to the prefix 192.0.2.0/24 |
/// | `rpz-client-ip`, `rpz-nsdname`, `rpz-nsip` | refused |
///
/// | action | meaning |
/// |---|---|
/// | `CNAME .`, `CNAME *.` | NXDOMAIN, no data |
/// | `CNAME rpz-passthru.`, or the trigger itself | allowed |
/// | `CNAME rpz-drop.`, `CNAME rpz-tcp-only.` | no answer, an answer over TCP alone |
/// | any other record | the answer |
///
/// Names in the zone lie below its apex: the owner of the SOA record, before it the origin. SOA, NS and records of DNSSEC are
/// passed over.
struct RPZParser: LineParser {
    private var name = NameText()
    private var zone = ZoneText()
    /// The apex with a dot in front and its last dot, such as `.rpz.example.`; `.` for the root.
    private var apex: String?

    init() {}

    mutating func parse(_ line: Span<UInt8>, into sink: inout some LineSink & ~Copyable) {
        let found = zone.take(line)
        if let problem = found.problem { sink.refuse(problem) }
        if let record = found.record { take(record, &sink) }
    }

    mutating func finish(into sink: inout some LineSink & ~Copyable) {
        if let problem = zone.finish() { sink.refuse(problem) }
    }

    private mutating func take(_ record: ZoneRecord, _ sink: inout some LineSink & ~Copyable) {
        switch RecordKind(record.type) {
        case .soa:
            apex = record.owner == "." ? "." : "." + record.owner
            return sink.skip()
        case .zone: return sink.skip()
        case .policy: break
        }
        if apex == nil {
            let origin = zone.context.originText
            apex = origin == "." ? "." : "." + origin
        }
        let apex = apex ?? "."
        if "." + record.owner == apex || record.owner == apex { return sink.skip() }
        guard record.owner.hasSuffix(apex), record.owner.utf8.count > apex.utf8.count else {
            return sink.refuse(.zoneRecord("outside of the zone '\(apex.dropFirst(apex == "." ? 0 : 1))'"))
        }
        guard record.isInternet else { return sink.refuse(.zoneRecord("of a class other than IN")) }
        let trigger = String(record.owner.dropLast(apex.utf8.count))
        switch RPZParser.action(record, trigger) {
        case .failure(let problem): sink.refuse(problem)
        case .success(let action): take(trigger, action, &sink)
        }
    }

    // MARK: Triggers

    private mutating func take(_ trigger: String, _ action: Action, _ sink: inout some LineSink & ~Copyable) {
        var kind: EntryKind = action.isAllowed ? .allow : []
        let last = trigger.lastIndex(of: ".").map { trigger[trigger.index(after: $0)...] } ?? trigger[...]
        switch last {
        case "rpz-ip":
            guard action.options == nil || action.options == EntryOptions.nxdomain || action.isBlock else {
                return sink.refuse(.zoneRecord("flows to an address can be cut or let through, not answered"))
            }
            switch RPZParser.prefix(trigger.dropLast(".rpz-ip".count)) {
            case .success(let prefix): return sink.address(prefix, kind)
            case .failure(let problem): return sink.refuse(problem)
            }
        case "rpz-client-ip":
            return sink.refuse(.zoneRecord("rpz-client-ip is not supported; 'webtun group' makes policy for clients"))
        case "rpz-nsdname", "rpz-nsip":
            return sink.refuse(.zoneRecord("\(last) is not supported: the servers of a name are not known here"))
        default: break
        }
        var text = trigger[...]
        if text.hasPrefix("*.") {
            text = text.dropFirst(2)
            kind.insert(.below)
        } else if text == "*" {
            return sink.refuse(.everyName)
        } else {
            kind.insert(.exact)
        }
        if let problem = name.parse(Array(text.utf8).span) { return sink.refuse(.name(problem)) }
        sink.entry(name, kind, action.options)
    }

    /// An address of a trigger: the prefix length, then the address backwards: four numbers, or eight groups of 16 bits, `zz`
    /// standing for a run of zeros.
    private static func prefix(_ text: Substring) -> Result<IPPrefix, LineProblem> {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard let length = parts.first.flatMap({ Int($0) }), parts.count >= 2 else {
            return .failure(.noPrefix("rpz-ip needs a prefix length and an address backwards"))
        }
        let groups = parts.dropFirst().reversed()
        let isIPv4 = groups.count == 4 && groups.allSatisfy { UInt8($0) != nil }
        let address = isIPv4 ? groups.joined(separator: ".") : ipv6(Array(groups))
        do {
            let prefix = try IPPrefix("\(address)/\(length)")
            return prefix.length == 0 ? .failure(.everyAddress) : .success(prefix)
        } catch {
            guard case .badPrefix(_, let reason) = error else { return .failure(.noPrefix("not an address")) }
            return .failure(.noPrefix(reason))
        }
    }

    private static func ipv6(_ groups: [Substring]) -> String {
        guard let run = groups.firstIndex(of: "zz") else { return groups.joined(separator: ":") }
        return groups[..<run].joined(separator: ":") + "::" + groups[(run + 1)...].joined(separator: ":")
    }

    // MARK: Actions

    private struct Action {
        var isAllowed = false
        var options: String?
        /// Whether it only keeps from an answer, in whatever form.
        var isBlock = false
    }

    private static func action(_ record: ZoneRecord, _ trigger: String) -> Result<Action, LineProblem> {
        if record.type == 39 { return .failure(.zoneRecord("a DNAME is no action of a policy zone")) }
        guard record.type == 5 else {
            return .success(Action(options: EntryOptions(answer: .records(record.optionText)).text))
        }
        let target = record.rdata.lowercased()
        switch target {
        case ".": return .success(Action(options: EntryOptions.nxdomain, isBlock: true))
        case "*.": return .success(Action(options: EntryOptions(answer: .nodata).text, isBlock: true))
        case "rpz-passthru.": return .success(Action(isAllowed: true))
        case "rpz-drop.": return .success(Action(options: EntryOptions(answer: .drop).text, isBlock: true))
        case "rpz-tcp-only.": return .success(Action(options: EntryOptions(answer: .truncate).text))
        case trigger + ".": return .success(Action(isAllowed: true))
        default: break
        }
        if target.hasPrefix("rpz-"), !target.dropLast().contains(".") {
            return .failure(.zoneRecord("the action '\(target.prefix(40))' is not known"))
        }
        if target.hasPrefix("*.") {
            return .failure(.zoneRecord("a CNAME to a wildcard, which puts the name before it, is not supported"))
        }
        return .success(Action(options: EntryOptions(answer: .records(record.optionText)).text))
    }

    private enum RecordKind {
        case soa
        /// Of the zone itself.
        case zone
        case policy

        init(_ type: UInt16) {
            switch type {
            case 6: self = .soa
            // NS, SIG, KEY, DS, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY, ZONEMD
            case 2, 24, 25, 43, 46, 47, 48, 50, 51, 59, 60, 63: self = .zone
            default: self = .policy
            }
        }
    }
}
