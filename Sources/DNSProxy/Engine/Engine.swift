public import Blocklist
public import Kernel
public import Wire

/// The DNS engine: a query's bytes in, an `Action` out. It asks nobody and waits for nothing.
///
/// Order of a decision: sanity → one question → local records → policy → safe search → cache → upstream. A query that has to be asked upstream is parked under
/// the slot of the exchange that asks; `complete` keeps the reply, and `nextAnswer` writes the parked queries' answers.
/// Nothing is allocated for a blocked or cached answer. One thread.
public struct Engine: ~Copyable {
    /// The last query's qname in lower case, and its header and question.
    public internal(set) var name = Name()
    public internal(set) var query = Query.none
    /// The last answer in the log's compact form.
    public internal(set) var digest = AnswerDigest()
    /// After `.ask`: the name to ask an upstream for, which is the qname or the target of the CNAMEs answered here.
    public internal(set) var asked = Name()
    /// After `.ask`: what the upstream's answer is put behind.
    var splice = Splice.none
    /// Who sent the last query.
    var asker = Asker.everybody
    /// `name` and `digest` are those of a query whose answer was spliced.
    var isSpliced = false
    /// Until when nothing is filtered, nanoseconds on the monotonic clock.
    public var pausedUntil: UInt64 = 0

    private let book: SettingsBook
    private var bookGeneration: Int
    private(set) var settings: EngineSettings
    var blocked: BlockedAnswer
    let seed: UInt64
    private(set) var policy: PolicySnapshot
    /// Counts policies, so that an answer cut by an earlier one is not trusted.
    private(set) var generation: UInt32 = 0
    var cache: Cache
    var waiting: Waiting
    var completion: Completion
    /// The question that the last query looked for in the cache.
    var key: QuestionKey
    /// Nothing was filtered when the last slot completed.
    var isWholePause = false

    /// An engine whose settings never change.
    public init(settings: EngineSettings, policy: PolicySnapshot, slots: Int) {
        self.init(settings: SettingsBook(settings), policy: policy, slots: slots)
    }

    /// - Parameters:
    ///   - settings: followed while the engine runs.
    ///   - slots: of the exchange that asks upstreams.
    public init(settings book: SettingsBook, policy: PolicySnapshot, slots: Int) {
        self.book = book
        bookGeneration = book.generation
        let settings = book.settings
        self.settings = settings
        self.policy = policy
        blocked = BlockedAnswer(blocking: settings.blocking)
        seed = UInt64.random(in: 1...UInt64.max)
        cache = Cache(byteCount: settings.cacheBytes)
        waiting = Waiting(capacity: settings.waiting, slots: slots)
        completion = Completion(slots: slots, limits: settings.limits)
        key = QuestionKey(name, query, seed: seed)
    }

    /// Answers that the cache holds.
    public var cachedAnswers: Int { cache.count }

    /// Queries that wait for an upstream.
    public var waitingQueries: Int { waiting.count }

    /// From the next query on, `policy` decides.
    public mutating func adopt(_ policy: PolicySnapshot) {
        self.policy = policy
        generation &+= 1
        blocked.forgetLists()
    }

    /// Takes the settings that are current now. What is cached stays, unless the cache has another size.
    private mutating func followSettings() {
        bookGeneration = book.generation
        let new = book.settings
        if new.cacheBytes != settings.cacheBytes { cache = Cache(byteCount: new.cacheBytes) }
        blocked = BlockedAnswer(blocking: new.blocking)
        completion.setLimits(new.limits)
        settings = new
    }

    // MARK: The order of a decision

    /// Decides over a whole DNS message. An answer is written to the front of `out`, which has room for 65,535 bytes.
    ///
    /// - Parameters:
    ///   - isStream: it came over TCP: no limit to the answer's size.
    ///   - client: who asks, by address: it is in the groups that speak of that address; nil: in none.
    ///   - owner: who asks, by program and user; matters only while the policy's `needsQueryOwner`.
    ///   - now: nanoseconds, monotonic.
    public mutating func handle(
        _ message: RawSpan, isStream: Bool, client: IPAddress? = nil, owner: Owner = .unknown, now: UInt64,
        into out: inout MutableRawSpan
    ) -> Action {
        if book.generation != bookGeneration { followSettings() }
        digest = AnswerDigest()
        splice = .none
        if let action = refuseMalformed(message, into: &out) { return action }
        let question = message.part(Query.headerByteCount, query.questionEnd - Query.headerByteCount)
        if let action = refuseKind(question, into: &out) { return action }
        if let action = answerRecord(question, isStream: isStream, now: now, into: &out) { return action }

        asker = asker(client, owner)
        let isPaused = now < pausedUntil || policy.isPaused(asker.profile)
        let verdict = isPaused ? .forward : verdict(isStream: isStream)
        if verdict.action == .block {
            return answerBlocked(verdict, question, isStream: isStream, now: now, into: &out)
        }
        if !isPaused, let action = answerSafeSearch(verdict, question, isStream: isStream, now: now, into: &out) {
            return action
        }
        let zone = policy.local.forwards.zone(of: name.bytes)
        guard policy.local.forwards.isForwarded(zone) else {
            return answerUnforwarded(verdict, question, isStream: isStream, into: &out)
        }
        setKey(name, zone)
        if let action = answerCached(verdict, isPaused: isPaused, question, isStream: isStream, now: now, into: &out) {
            return action
        }
        asked = name
        return .ask
    }

    /// Who asks, in the numbers of the policy in force.
    func asker(_ client: IPAddress?, _ owner: Owner) -> Asker {
        Asker(owner: owner, profile: client.map { policy.profile(of: $0, owner: owner) } ?? 0)
    }

    /// How many bytes an answer may have.
    func limit(_ query: Query, _ isStream: Bool) -> Int {
        if isStream { return 65535 }
        return query.hasEDNS ? Int(min(query.udpSize, settings.maximumUDPSize)) : 512
    }
}
