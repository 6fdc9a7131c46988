internal import Kernel
internal import Wire

/// Turns what is few into the ids of small tables: where queries and flows come from, what became of them, who asked, and
/// the mnemonics of types. One thread, inside a transaction of its connection.
///
/// Ids are looked up anew in every transaction, so a list or link that was renamed appears with its new name.
final class FewInterner {
    private let connection: Connection
    private let labels: LogLabels
    private let privacy: QueryLogPrivacy

    private var sources = FewIDs<SourceKey>()
    private var outcomes = FewIDs<OutcomeKey>()
    private var flowOutcomes = FewIDs<FlowOutcomeKey>()
    private var processes = FewIDs<Owner>()
    private var qtypes: Set<UInt16> = []
    /// Who asked, by socket: looked up once in a transaction, as asking the kernel for every row would cost more than writing.
    private var askers: [Asker: Int64?] = [:]

    /// Sockets looked up in one transaction; what many more ask in a flood has nobody's name on it.
    private static let lookups = 1024

    private let findSource: Statement
    private let insertSource: Statement
    private let findOutcome: Statement
    private let insertOutcome: Statement
    private let findFlowOutcome: Statement
    private let insertFlowOutcome: Statement
    private let findProcess: Statement
    private let insertProcess: Statement
    private let insertQtype: Statement

    private struct Asker: Hashable {
        var client: IPAddress
        var port: UInt16
        var transport: QueryRow.Transport
    }

    private struct SourceKey: Hashable {
        var client: IPAddress
        var link: Int32
        var proto: UInt8
    }

    private struct OutcomeKey: Hashable {
        var upstream: IPAddress
        var list: Int32
        var port: UInt16
        var rcode: Int16
        var verdict: QueryRow.Verdict
        var reason: QueryRow.Reason
        var dnssec: QueryRow.DNSSEC
        var cached: Bool
    }

    private struct FlowOutcomeKey: Hashable {
        var list: Int32
        var verdict: FlowRow.Verdict
        var reason: FlowRow.Reason
        var nameSource: FlowRow.NameSource
    }

    init(_ connection: Connection, labels: LogLabels, privacy: QueryLogPrivacy) throws(QueryLogError) {
        self.connection = connection
        self.labels = labels
        self.privacy = privacy
        findSource = try connection.prepare(
            "SELECT id FROM sources WHERE client IS ? AND link IS ? AND transport = ?")
        insertSource = try connection.prepare("INSERT INTO sources (client, link, transport) VALUES (?,?,?)")
        findOutcome = try connection.prepare(
            """
            SELECT id FROM outcomes WHERE verdict = ? AND reason IS ? AND list IS ? AND rcode IS ? AND upstream IS ? \
            AND cached = ? AND dnssec IS ?
            """)
        insertOutcome = try connection.prepare(
            "INSERT INTO outcomes (verdict, reason, list, rcode, upstream, cached, dnssec) VALUES (?,?,?,?,?,?,?)")
        findFlowOutcome = try connection.prepare(
            "SELECT id FROM flow_outcomes WHERE verdict = ? AND reason IS ? AND list IS ? AND name_source IS ?")
        insertFlowOutcome = try connection.prepare(
            "INSERT INTO flow_outcomes (verdict, reason, list, name_source) VALUES (?,?,?,?)")
        findProcess = try connection.prepare(
            "SELECT id FROM processes WHERE pid IS ?2 AND uid IS ?1 AND app IS ?3 AND certainty IS ?4")
        insertProcess = try connection.prepare("INSERT INTO processes (uid, pid, app, certainty) VALUES (?,?,?,?)")
        insertQtype = try connection.prepare("INSERT OR REPLACE INTO qtypes (code, name) VALUES (?,?)")
    }

    /// Tells that a transaction begins.
    func start() {
        sources.removeAll()
        outcomes.removeAll()
        flowOutcomes.removeAll()
        processes.removeAll()
        askers.removeAll(keepingCapacity: true)
    }

    /// Forgets everything, after a rollback or when someone else has changed the database.
    func forget() {
        start()
        qtypes.removeAll()
    }

    func source(_ row: borrowing QueryRow) throws(QueryLogError) -> Int64 {
        let proto = row.transport == .tcp ? IPProtocol.tcp : IPProtocol.udp
        return try source(SourceKey(client: privacy.client(row.client), link: row.link, proto: proto))
    }

    func source(_ row: borrowing FlowRow) throws(QueryLogError) -> Int64 {
        try source(SourceKey(client: privacy.client(row.client), link: row.link, proto: row.proto))
    }

    private func source(_ key: SourceKey) throws(QueryLogError) -> Int64 {
        let hint = Int(truncatingIfNeeded: key.client.low) &+ Int(key.link) &* 8 &+ Int(key.proto)
        return try sources.id(key, hint: hint) { () throws(QueryLogError) in
            let client = key.client.isUnspecified ? nil : key.client.description
            return try find(findSource, orInsert: insertSource) { statement in
                statement.bind(1, client)
                statement.bind(2, key.link < 0 ? nil : labels.link(key.link))
                statement.bind(3, IPProtocol.name(key.proto))
            }
        }
    }

    func outcome(_ row: borrowing QueryRow) throws(QueryLogError) -> Int64 {
        let key = OutcomeKey(
            upstream: row.upstream, list: row.list, port: row.upstreamPort, rcode: row.rcode, verdict: row.verdict,
            reason: row.reason, dnssec: row.dnssec, cached: row.cached)
        let hint = Int(key.list) &* 2 &+ Int(key.rcode) &* 5 &+ Int(key.verdict.rawValue) &* 11 &+ (key.cached ? 17 : 0)
        return try outcomes.id(key, hint: hint) { () throws(QueryLogError) in
            try find(findOutcome, orInsert: insertOutcome) { statement in
                statement.bind(1, "\(key.verdict)")
                statement.bind(2, key.reason == .none ? nil : "\(key.reason)")
                statement.bind(3, key.list <= 0 ? nil : labels.list(key.list))
                statement.bind(4, key.rcode < 0 ? nil : RCode(UInt16(key.rcode)).description)
                statement.bind(5, FewInterner.upstream(key.upstream, key.port))
                statement.bind(6, key.cached ? 1 : 0)
                statement.bind(7, key.dnssec == .none ? nil : "\(key.dnssec)")
            }
        }
    }

    func outcome(_ row: borrowing FlowRow) throws(QueryLogError) -> Int64 {
        let key = FlowOutcomeKey(
            list: row.list, verdict: row.verdict, reason: row.reason, nameSource: row.nameSource)
        let hint = Int(key.list) &* 2 &+ Int(key.reason.rawValue) &* 3 &+ Int(key.nameSource.rawValue)
        return try flowOutcomes.id(key, hint: hint) { () throws(QueryLogError) in
            try find(findFlowOutcome, orInsert: insertFlowOutcome) { statement in
                statement.bind(1, "\(key.verdict)")
                statement.bind(2, key.reason == .none ? nil : "\(key.reason)")
                statement.bind(3, key.list <= 0 ? nil : labels.list(key.list))
                statement.bind(4, key.nameSource == .none ? nil : "\(key.nameSource)")
            }
        }
    }

    /// `192.0.2.1`, with the port when it is not 53: `192.0.2.1:5353`, `[2001:db8::1]:5353`.
    static func upstream(_ address: IPAddress, _ port: UInt16) -> String? {
        if address.isUnspecified { return nil }
        if port == 53 { return address.description }
        return address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    /// Who asked, as far as it is known or can be found out.
    func process(_ row: borrowing QueryRow) throws(QueryLogError) -> Int64? {
        if row.owner != .unknown { return try process(row.owner) }
        guard !row.client.isUnspecified else { return nil }
        let asker = Asker(client: row.client, port: row.clientPort, transport: row.transport)
        if let known = askers[asker] { return known }
        guard askers.count < FewInterner.lookups else { return nil }
        let id = try process(labels.owner(row))
        askers[asker] = .some(id)
        return id
    }

    func process(_ owner: Owner) throws(QueryLogError) -> Int64? {
        if owner == .unknown { return nil }
        return try processes.id(owner, hint: Int(owner.pid)) { () throws(QueryLogError) in
            try find(findProcess, orInsert: insertProcess) { statement in
                statement.bind(1, owner.uid == -1 ? nil : Int64(UInt32(bitPattern: owner.uid)))
                statement.bind(2, owner.pid == -1 ? nil : Int64(owner.pid))
                statement.bind(3, labels.app(owner))
                statement.bind(4, owner.certainty == .none ? nil : "\(owner.certainty)")
            }
        }
    }

    /// The code itself; makes sure that its mnemonic is known to the view.
    func qtype(_ code: UInt16) throws(QueryLogError) -> Int64 {
        if qtypes.insert(code).inserted {
            insertQtype.bind(1, Int64(code))
            insertQtype.bind(2, RecordType(code).description)
            try insertQtype.run()
        }
        return Int64(code)
    }

    private func find(
        _ find: borrowing Statement, orInsert insert: borrowing Statement, _ bind: (borrowing Statement) -> Void
    ) throws(QueryLogError) -> Int64 {
        bind(find)
        defer { find.reset() }
        if try find.step() { return find.integer(0) }
        bind(insert)
        try insert.run()
        return connection.lastInsertedID
    }
}

/// Protocol numbers of the IP header, and their names in the log (IANA "Protocol Numbers").
enum IPProtocol {
    static let tcp: UInt8 = 6
    static let udp: UInt8 = 17

    private static let names: [UInt8: String] = [
        1: "icmp", 2: "igmp", 4: "ipip", 6: "tcp", 17: "udp", 33: "dccp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah",
        58: "icmpv6", 89: "ospf", 132: "sctp", 136: "udplite",
    ]

    /// The name, or the number as text.
    static func name(_ number: UInt8) -> String { names[number] ?? "\(number)" }

    /// Whether the protocol has ports.
    static func hasPorts(_ number: UInt8) -> Bool { [6, 17, 33, 132, 136].contains(number) }
}
