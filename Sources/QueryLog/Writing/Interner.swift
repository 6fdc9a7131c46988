internal import Kernel
internal import Wire

/// Turns what rows have in common into the ids of small tables. One thread, inside a transaction of its connection.
///
/// Names and answers are added at the end of their tables whenever a bounded cache does not know them: no index of text
/// is kept, whose random pages would cost more than the few that stand there twice. Sources, outcomes and processes are few; their ids
/// are looked up anew in every transaction, so a list or link that was renamed appears with its new name.
final class Interner {
    private let connection: Connection
    private let labels: LogLabels
    private let cachedNames: Int
    /// The epoch of the row being written, noted for the names and answers it uses.
    var epoch: Int32 = 0

    private var names: InternCache
    private var answers: InternCache
    private var sources: [SourceKey: Int64] = [:]
    private var outcomes: [OutcomeKey: Int64] = [:]
    private var processes: [Owner: Int64] = [:]
    private var regexRules: [Int32: Int64?] = [:]
    private var qtypes: Set<UInt16> = []
    private var lastSource: (key: SourceKey, id: Int64)?
    private var lastOutcome: (key: OutcomeKey, id: Int64)?

    private let insertName: Statement
    private let touchName: Statement
    private let insertAnswer: Statement
    private let touchAnswer: Statement
    private let findSource: Statement
    private let insertSource: Statement
    private let findOutcome: Statement
    private let insertOutcome: Statement
    private let findProcess: Statement
    private let insertProcess: Statement
    private let insertQtype: Statement

    struct SourceKey: Hashable {
        var client: IPAddress
        var link: Int32
        var transport: QueryRow.Transport
    }

    struct OutcomeKey: Hashable {
        var upstream: IPAddress
        var list: Int32
        var port: UInt16
        var rcode: Int16
        var verdict: QueryRow.Verdict
        var reason: QueryRow.Reason
        var dnssec: QueryRow.DNSSEC
        var cached: Bool
    }

    init(_ connection: Connection, labels: LogLabels, cachedNames: Int) throws(QueryLogError) {
        self.connection = connection
        self.labels = labels
        self.cachedNames = cachedNames
        names = InternCache(capacity: cachedNames)
        answers = InternCache(capacity: cachedNames / 2)
        insertName = try connection.prepare("INSERT INTO names (text, seen) VALUES (?,?)")
        touchName = try connection.prepare("UPDATE names SET seen = ?2 WHERE id = ?1")
        insertAnswer = try connection.prepare("INSERT INTO answers (text, seen) VALUES (?,?)")
        touchAnswer = try connection.prepare("UPDATE answers SET seen = ?2 WHERE id = ?1")
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
        findProcess = try connection.prepare("SELECT id FROM processes WHERE pid IS ?2 AND uid IS ?1 AND app IS ?3")
        insertProcess = try connection.prepare("INSERT INTO processes (uid, pid, app) VALUES (?,?,?)")
        insertQtype = try connection.prepare("INSERT OR REPLACE INTO qtypes (code, name) VALUES (?,?)")
    }

    /// Tells that a transaction begins.
    func start() {
        forgetFew()
    }

    /// Forgets every id, after a rollback.
    func forget() {
        names.removeAll()
        answers.removeAll()
        qtypes.removeAll()
        forgetFew()
    }

    private func forgetFew() {
        sources.removeAll(keepingCapacity: true)
        outcomes.removeAll(keepingCapacity: true)
        processes.removeAll(keepingCapacity: true)
        regexRules.removeAll(keepingCapacity: true)
        lastSource = nil
        lastOutcome = nil
    }

    // MARK: - Names and answers

    /// The id of a wire-form name.
    func name(_ wire: RawSpan) throws(QueryLogError) -> Int64 {
        if let entry = names.find(wire), try isAlive(entry, touchName) {
            if entry.seen != epoch { names.insert(wire, .init(id: entry.id, seen: epoch)) }
            return entry.id
        }
        return try addName(Name.text(wire), key: wire)
    }

    /// The id of a rule as written, which need not be a name.
    private func ruleText(_ text: String) throws(QueryLogError) -> Int64 {
        // No label is that long, so it is no key of a name.
        let key = [0xff] + Array(text.utf8)
        if let entry = unsafe names.find(key.span.bytes), try isAlive(entry, touchName) { return entry.id }
        return try unsafe addName(text, key: key.span.bytes)
    }

    private func addName(_ text: String, key: RawSpan) throws(QueryLogError) -> Int64 {
        insertName.bind(1, text)
        insertName.bind(2, Int64(epoch))
        try insertName.run()
        let id = connection.lastInsertedID
        names.insert(key, .init(id: id, seen: epoch))
        return id
    }

    /// Fills the cache with the names that were last given ids, so that they keep them over a restart.
    func warm() throws(QueryLogError) {
        let find = try connection.prepare(
            "SELECT id, seen, text FROM (SELECT * FROM names ORDER BY id DESC LIMIT \(cachedNames)) ORDER BY id")
        while try find.step() {
            guard let text = find.text(2), let name = Name(text) else { continue }
            names.insert(
                name.bytes, .init(id: find.integer(0), seen: Int32(truncatingIfNeeded: find.integer(1))))
        }
    }

    /// The id of an `AnswerDigest`; nil for an empty one.
    func answer(_ digest: RawSpan) throws(QueryLogError) -> Int64? {
        if digest.byteCount == 0 { return nil }
        if let entry = answers.find(digest), try isAlive(entry, touchAnswer) {
            if entry.seen != epoch { answers.insert(digest, .init(id: entry.id, seen: epoch)) }
            return entry.id
        }
        insertAnswer.bind(1, AnswerDigest.text(digest))
        insertAnswer.bind(2, Int64(epoch))
        try insertAnswer.run()
        let id = connection.lastInsertedID
        answers.insert(digest, .init(id: id, seen: epoch))
        return id
    }

    /// Notes that the entry was used in this epoch. False when retention has removed it meanwhile.
    private func isAlive(_ entry: InternCache.Entry, _ touch: borrowing Statement) throws(QueryLogError) -> Bool {
        if entry.seen >= epoch { return true }
        touch.bind(1, entry.id)
        touch.bind(2, Int64(epoch))
        try touch.run()
        return connection.changes > 0
    }

    /// The id of the rule's name: the matched suffix of the qname, or a regex rule as written.
    func rule(_ row: borrowing QueryRow, qname: RawSpan, name: Int64) throws(QueryLogError) -> Int64? {
        switch row.match {
        case .none: return nil
        case .exact, .suffix:
            let offset = Interner.suffixOffset(qname, labels: Int(row.labels))
            return offset == 0 ? name : try self.name(qname.from(offset))
        case .regex:
            let rule = row.rule
            if let known = regexRules[rule] { return known }
            var id: Int64?
            if let text = labels.rule(rule) { id = try ruleText(text) }
            regexRules[rule] = .some(id)
            return id
        }
    }

    /// Where the last `labels` labels of a wire-form name begin.
    static func suffixOffset(_ name: RawSpan, labels: Int) -> Int {
        var total = 0
        var at = 0
        while at < name.byteCount, name.u8(at) != 0 {
            total += 1
            at += 1 + Int(name.u8(at))
        }
        at = 0
        while total > labels {
            at += 1 + Int(name.u8(at))
            total -= 1
        }
        return min(at, name.byteCount)
    }

    // MARK: - The few

    func source(_ row: borrowing QueryRow) throws(QueryLogError) -> Int64 {
        let key = SourceKey(client: row.client, link: row.link, transport: row.transport)
        if let last = lastSource, last.key == key { return last.id }
        let id: Int64
        if let known = sources[key] {
            id = known
        } else {
            let client = key.client.isUnspecified ? nil : key.client.description
            id = try find(findSource, orInsert: insertSource) { statement in
                statement.bind(1, client)
                statement.bind(2, key.link < 0 ? nil : labels.link(key.link))
                statement.bind(3, "\(key.transport)")
            }
            sources[key] = id
        }
        lastSource = (key, id)
        return id
    }

    func outcome(_ row: borrowing QueryRow) throws(QueryLogError) -> Int64 {
        let key = OutcomeKey(
            upstream: row.upstream, list: row.list, port: row.upstreamPort, rcode: row.rcode, verdict: row.verdict,
            reason: row.reason, dnssec: row.dnssec, cached: row.cached)
        if let last = lastOutcome, last.key == key { return last.id }
        let id: Int64
        if let known = outcomes[key] {
            id = known
        } else {
            id = try find(findOutcome, orInsert: insertOutcome) { statement in
                statement.bind(1, "\(key.verdict)")
                statement.bind(2, key.reason == .none ? nil : "\(key.reason)")
                statement.bind(3, key.list <= 0 ? nil : labels.list(key.list))
                statement.bind(4, key.rcode < 0 ? nil : RCode(UInt16(key.rcode)).description)
                statement.bind(5, Interner.upstream(key.upstream, key.port))
                statement.bind(6, key.cached ? 1 : 0)
                statement.bind(7, key.dnssec == .unchecked ? nil : "\(key.dnssec)")
            }
            outcomes[key] = id
        }
        lastOutcome = (key, id)
        return id
    }

    /// `192.0.2.1`, with the port when it is not 53: `192.0.2.1:5353`, `[2001:db8::1]:5353`.
    static func upstream(_ address: IPAddress, _ port: UInt16) -> String? {
        if address.isUnspecified { return nil }
        if port == 53 { return address.description }
        return address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    func process(_ owner: Owner) throws(QueryLogError) -> Int64? {
        if owner == .unknown { return nil }
        if let known = processes[owner] { return known }
        let id = try find(findProcess, orInsert: insertProcess) { statement in
            statement.bind(1, owner.uid == -1 ? nil : Int64(UInt32(bitPattern: owner.uid)))
            statement.bind(2, owner.pid == -1 ? nil : Int64(owner.pid))
            statement.bind(3, labels.app(owner))
        }
        processes[owner] = id
        return id
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
