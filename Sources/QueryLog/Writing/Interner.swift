internal import Wire

/// Turns names and answers into the ids of their tables. One thread, inside a transaction of its connection.
///
/// They are added at the end of their tables whenever a bounded cache does not know them: no index of text is kept, whose
/// random pages would cost more than the few that stand there twice.
final class Interner {
    private let connection: Connection
    private let labels: LogLabels
    private let cachedNames: Int
    /// The epoch of the row being written, noted for the names and answers it uses.
    var epoch: Int32 = 0

    private var names: InternCache
    private var answers: InternCache
    private var regexRules: [Int32: Int64?] = [:]
    private var flowRules: [UInt64: Int64?] = [:]

    private let insertName: Statement
    private let touchName: Statement
    private let insertAnswer: Statement
    private let touchAnswer: Statement
    init(_ connection: Connection, labels: LogLabels, cachedNames: Int) throws(QueryLogError) {
        self.connection = connection
        self.labels = labels
        self.cachedNames = cachedNames
        names = InternCache(capacity: cachedNames)
        answers = InternCache(capacity: cachedNames / 4)
        insertName = try connection.prepare("INSERT INTO names (text, seen) VALUES (?,?)")
        touchName = try connection.prepare("UPDATE names SET seen = ?2 WHERE id = ?1")
        insertAnswer = try connection.prepare("INSERT INTO answers (text, seen) VALUES (?,?)")
        touchAnswer = try connection.prepare("UPDATE answers SET seen = ?2 WHERE id = ?1")
    }

    /// Tells that a transaction begins: lists and rules may have other names now.
    func start() {
        regexRules.removeAll(keepingCapacity: true)
        flowRules.removeAll(keepingCapacity: true)
    }

    /// Forgets every id, after a rollback or when someone else has changed the database.
    func forget() {
        names.removeAll()
        answers.removeAll()
        start()
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

    /// Names that `warm` reads at most, in about 50 ms.
    private static let warmNames = 65_536

    /// Fills the cache with the names that were last given ids, so that they keep them over a restart.
    func warm() throws(QueryLogError) {
        let count = min(cachedNames, Interner.warmNames)
        let find = try connection.prepare(
            "SELECT id, seen, text FROM (SELECT * FROM names ORDER BY id DESC LIMIT \(count)) ORDER BY id")
        while try find.step() {
            guard let text = find.text(2), let name = Name(text) else { continue }
            names.insert(
                name.bytes, .init(id: find.integer(0), seen: Int32(truncatingIfNeeded: find.integer(1))))
        }
    }

    /// The id of an address as an answer's text; nil for the unspecified one.
    func address(_ address: IPAddress) throws(QueryLogError) -> Int64? {
        if address.isUnspecified { return nil }
        var digest = AnswerDigest()
        digest.append(address)
        return try answer(digest.bytes)
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
    ///
    /// - Parameters:
    ///   - labels: of the matched suffix.
    ///   - qname: wire form; `name` is its id.
    func rule(
        _ match: QueryRow.Match, _ rule: Int32, labels matched: UInt8, qname: RawSpan, name: Int64
    ) throws(QueryLogError) -> Int64? {
        switch match {
        case .none: return nil
        case .exact, .suffix:
            let offset = Interner.suffixOffset(qname, labels: Int(matched))
            return offset == 0 ? name : try self.name(qname.from(offset))
        case .regex:
            if let known = regexRules[rule] { return known }
            var id: Int64?
            if let text = labels.rule(rule) { id = try ruleText(text) }
            regexRules[rule] = .some(id)
            return id
        }
    }

    /// The id of a rule for flows as written, which matched by something else than the name; nil when it has no text.
    ///
    /// - Parameters:
    ///   - list: that it is in; 0: a rule of the user.
    ///   - rule: its id, or the line in the list.
    func flowRule(list: Int32, rule: Int32) throws(QueryLogError) -> Int64? {
        let key = UInt64(UInt32(bitPattern: list)) << 32 | UInt64(UInt32(bitPattern: rule))
        if let known = flowRules[key] { return known }
        var id: Int64?
        if let text = labels.flowRule(list, rule) { id = try ruleText(text) }
        flowRules[key] = .some(id)
        return id
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
}
