import Blocklist
import Kernel
import Wire

/// What local data says of a name: the steps of the chain before the policy and behind it.
struct WhyLocal {
    /// The records that the name is answered from.
    private let records: [StoredRecord]
    /// There are local records, of this or other names.
    private let areRecords: Bool
    private let qtype: UInt16
    /// What an enforced safe search answers, and whose it is; nil: it has no say.
    private let safeSearch: (engine: String, data: String)?
    /// The forward zone that holds the name.
    let zone: ForwardZone?

    init(
        _ name: DomainName, qtype: UInt16, asker: Asker, _ policy: PolicySnapshot, _ store: BlocklistStore
    ) throws {
        self.qtype = qtype
        areRecords = !policy.local.records.isEmpty
        let wire = name.wire
        let bytes = unsafe wire.span.bytes
        let zone = policy.local.forwards.zone(of: bytes)
        self.zone = zone < 0 ? nil : policy.local.forwards.zones[zone]
        let number = policy.safeSearch(for: bytes, asker: asker)
        let isRewritten = [RecordType.a.code, RecordType.aaaa.code, RecordType.cname.code, 64, 65, 255].contains(qtype)
        if number >= 0, isRewritten {
            let engine = try store.safeSearch().engines.first { $0.names.contains(name.text) }
            safeSearch = (engine?.name ?? "an engine", WhyLocal.text(policy.local.safeSearch, number))
        } else {
            safeSearch = nil
        }
        guard let place = policy.local.records.find(bytes) else {
            records = []
            return
        }
        let all = try store.records()
        var owner = name.text
        if place.isWildcard {
            let above = all.map(\.name).filter { $0.hasPrefix("*.") && name.text.hasSuffix($0.dropFirst()) }
            owner = above.max { $0.count < $1.count } ?? owner
        }
        records = all.filter { $0.name == owner }
    }

    /// The records of a set as text.
    private static func text(_ table: SafeSearchTable, _ number: Int) -> String {
        let set = table.bytes(number)
        var words: [String] = []
        var at = 0
        while let item = RecordSet.item(of: set, at: at) {
            var data: [UInt8] = []
            for place in item.data..<item.end { data.append(set.u8(place)) }
            let type = RecordType(item.type)
            words.append("\(type) \(RecordText.text(type: type, data: data))")
            at = item.end
        }
        return words.joined(separator: ", ")
    }

    /// Whether local records answer the name, whatever the policy says.
    var hasRecords: Bool { !records.isEmpty }

    /// Whether no upstream is asked: the records end here, or the zone is never forwarded.
    var endsHere: Bool {
        if hasRecords { return !leadsOn }
        return zone?.isForwarded == false
    }

    /// Whether a CNAME leads to another name.
    private var leadsOn: Bool {
        qtype != RecordType.cname.code && qtype != RecordType.any.code && records.contains { $0.record.type == .cname }
    }

    /// The servers that are asked instead of the usual ones.
    var servers: [String]? { zone.map { $0.servers.map(\.description) } }

    /// The first step of the chain; none while there are no records at all.
    var recordSteps: [WhyChain.Step] {
        guard areRecords else { return [] }
        let texts = records.map { "\($0.name) \($0.record.ttl) \($0.record.type) \($0.record.text)" }
        return [
            WhyChain.Step(
                name: "record", text: hasRecords ? "answers: " + texts.joined(separator: "; ") : "none of yours",
                wins: hasRecords,
                members: [
                    ("found", .bool(hasRecords)), ("records", .array(texts.map(JSONValue.string))),
                    ("wins", .bool(hasRecords)),
                ])
        ]
    }

    /// The steps behind the policy.
    ///
    /// - Parameter isVoid: something before decided.
    func laterSteps(isVoid: Bool) -> [WhyChain.Step] {
        var steps: [WhyChain.Step] = []
        if let safeSearch {
            steps.append(
                WhyChain.Step(
                    name: "safesearch", text: "\(safeSearch.engine): \(safeSearch.data)", wins: !isVoid, isVoid: isVoid,
                    members: [
                        ("engine", .string(safeSearch.engine)), ("data", .string(safeSearch.data)),
                        ("wins", .bool(!isVoid)),
                    ]))
        }
        if let zone {
            let text = zone.isForwarded ? "to \(zone.servers.map(\.description).joined(separator: ", "))" : "never"
            steps.append(
                WhyChain.Step(
                    name: "forward", text: "\(zone.name) \(text)", wins: !isVoid && !zone.isForwarded, isVoid: isVoid,
                    members: [
                        ("zone", .string(zone.name)), ("forwarded", .bool(zone.isForwarded)),
                        ("servers", .array(zone.servers.map { .string($0.description) })),
                    ]))
        }
        return steps
    }
}
