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
    public private(set) var query = Query.none
    /// The last answer in the log's compact form.
    public internal(set) var digest = AnswerDigest()
    /// After `.ask`: the name to ask an upstream for, which is the qname or the target of the CNAMEs answered here.
    public internal(set) var asked = Name()
    /// After `.ask`: what the upstream's answer is put behind.
    var splice = Splice.none
    /// Who sent the last query.
    var asker = Asker.everybody
    /// `name` and `digest` are those of a query whose answer was spliced.
    private var isSpliced = false
    /// Until when nothing is filtered, nanoseconds on the monotonic clock.
    public var pausedUntil: UInt64 = 0

    private let book: SettingsBook
    private var bookGeneration: Int
    private(set) var settings: EngineSettings
    private var blocked: BlockedAnswer
    private let seed: UInt64
    private(set) var policy: PolicySnapshot
    /// Counts policies, so that a CNAME chain judged by an earlier one is not trusted.
    private(set) var generation: UInt32 = 0
    private var lists = ListTexts()
    var cache: Cache
    private var waiting: Waiting
    private(set) var completion: Completion
    private(set) var key: QuestionKey
    /// Nothing was judged when the last slot completed.
    private var isWholePause = false

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

    /// What the cache holds of a question of class IN, whatever bits it was asked with. For people who look: nothing changes.
    ///
    /// - Parameter now: nanoseconds, monotonic.
    public func peek(_ name: borrowing Name, qtype: UInt16, now: UInt64) -> CachedQuestion? {
        cache.peek(name, qtype: qtype, seed: seed, seconds: UInt32(truncatingIfNeeded: now / 1_000_000_000))
    }

    /// From the next query on, `policy` decides.
    public mutating func adopt(_ policy: PolicySnapshot) {
        self.policy = policy
        generation &+= 1
        lists = ListTexts()
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

    // MARK: A query

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
        switch Query.parse(message, name: &name) {
        case .unanswerable:
            return .drop
        case .faulty(let query, let rcode):
            return .answer(refuse(query, message, rcode, &out))
        case .query(let query):
            self.query = query
        }
        let question = message.part(Query.headerByteCount, query.questionEnd - Query.headerByteCount)
        if let answer = refuseKind(question, &out) { return .answer(answer) }

        splice = .none
        if let action = answerRecord(question, isStream: isStream, now: now, into: &out) { return action }

        asker = asker(client, owner)
        let isPaused = now < pausedUntil || policy.isPaused(asker.profile)
        var verdict = isPaused ? .forward : policy.verdict(for: name.bytes, qtype: query.qtype, asker: asker)
        // A list that sends its clients to TCP has nothing against a query that came this way.
        if isStream, verdict.answer == .truncate { verdict = .forward }
        if verdict.action == .block {
            if verdict.answer == .records,
                let action = answerListed(verdict, question, isStream: isStream, now: now, into: &out)
            {
                return action
            }
            return .answer(block(verdict, Reason(verdict), query, question, &out))
        }
        if !isPaused,
            let action = answerSafeSearch(verdict, question, isStream: isStream, now: now, into: &out)
        {
            return action
        }
        let zone = policy.local.forwards.zone(of: name.bytes)
        guard policy.local.forwards.isForwarded(zone) else {
            return answerUnforwarded(verdict, question, isStream: isStream, into: &out)
        }
        setKey(name, zone)
        let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
        guard let hit = cache.find(key, name.bytes, seconds: seconds) else { return ask() }
        if hit.facts.hasChain, !isPaused {
            // A chain that another policy judged, or that was not judged because of a pause, is asked for anew. So is one
            // that may be judged otherwise for another asker.
            if hit.facts.generation != generation || hit.facts.profile != asker.profile || policy.judgesOwners {
                return ask()
            }
            if hit.facts.verdict.action == .block { return .answer(blockChain(hit, question, &out)) }
        }
        let byteCount = Reply.composeUpstream(
            &out, query, question: question, message: cache.message(hit), elapsed: seconds &- hit.facts.stored,
            limit: limit(query, isStream))
        digest = AnswerDigest(copying: cache.digest(hit))
        var answer = Answer(byteCount, reason(of: verdict, isPaused), RCode(hit.facts.rcode), verdict)
        answer.isCached = true
        answer.isAuthentic = hit.facts.isAuthentic
        answer.upstream = hit.facts.upstream
        return .answer(answer)
    }

    /// The key under which an answer is kept: another one for each set of servers that are asked.
    ///
    /// - Parameter zone: the forward zone that holds the name.
    mutating func setKey(_ name: borrowing Name, _ zone: Int) {
        key = QuestionKey(name, query, seed: seed ^ policy.local.forwards.salt(zone))
    }

    private mutating func ask() -> Action {
        asked = name
        return .ask
    }

    /// Who asks, in the numbers of the policy in force.
    private func asker(_ client: IPAddress?, _ owner: Owner) -> Asker {
        Asker(owner: owner, profile: client.map { policy.profile(of: $0, owner: owner) } ?? 0)
    }

    func limit(_ query: Query, _ isStream: Bool) -> Int {
        if isStream { return 65535 }
        return query.hasEDNS ? Int(min(query.udpSize, settings.maximumUDPSize)) : 512
    }

    private func reason(of verdict: Verdict, _ isPaused: Bool) -> Reason {
        isPaused ? .paused : Reason(verdict)
    }

    /// FORMERR, NOTIMP, BADVERS: what `Query.parse` says.
    private mutating func refuse(
        _ query: Query, _ message: RawSpan, _ rcode: RCode, _ out: inout MutableRawSpan
    ) -> Answer {
        self.query = query
        if rcode != .badVersion { name = Name() }
        let end = rcode == .badVersion ? query.questionEnd : Query.headerByteCount
        let question = message.part(Query.headerByteCount, end - Query.headerByteCount)
        let byteCount = Reply.composeEmpty(
            &out, query, question: question, rcode: rcode, error: nil, text: RawSpan())
        return Answer(byteCount, rcode == .formatError ? .malformed : .unsupported, rcode)
    }

    /// REFUSED: zone transfers, and the classes ANY and NONE.
    private func refuseKind(_ question: RawSpan, _ out: inout MutableRawSpan) -> Answer? {
        let isTransfer = query.qtype == RecordType.axfr.code || query.qtype == RecordType.ixfr.code
        guard isTransfer || query.qclass >= 254 || query.qclass == 0 else { return nil }
        let byteCount = Reply.composeEmpty(
            &out, query, question: question, rcode: .refused, error: .notSupported, text: RawSpan())
        return Answer(byteCount, .refused, .refused)
    }

    private mutating func block(
        _ verdict: Verdict, _ reason: Reason, _ query: Query, _ question: RawSpan, _ out: inout MutableRawSpan
    ) -> Answer {
        if verdict.answer == .drop {
            var answer = Answer(0, reason, .refused, verdict)
            answer.isSilent = true
            return answer
        }
        let rcode = blocked.rcode(verdict.answer)
        var at = Reply.composeHead(&out, query, question, rcode)
        if verdict.answer == .truncate {
            out.put16(2, out.get16(2) | Flags.tc)
            if query.hasEDNS { at = Reply.composeOPT(&out, at: at, query, rcode, nil, RawSpan()) }
            return Answer(at, reason, rcode, verdict)
        }
        at = blocked.compose(&out, at: at, qtype: query.qtype, qclass: query.qclass, verdict.answer)
        if query.hasEDNS {
            let place = lists.place(of: verdict.list, in: policy)
            at = Reply.composeOPT(&out, at: at, query, rcode, .blocked, lists.text(place))
        }
        return Answer(at, reason, rcode, verdict)
    }

    /// The answer to a name whose CNAME chain is known to lead to a blocked one.
    private mutating func blockChain(_ hit: Cache.Hit, _ question: RawSpan, _ out: inout MutableRawSpan) -> Answer {
        digest = AnswerDigest(copying: cache.digest(hit))
        var answer = block(hit.facts.verdict, .cname, query, question, &out)
        answer.isCached = true
        return answer
    }

    // MARK: Upstream

    /// After `.ask`: keeps the query until its slot completes. `false` when too many wait already: then `fail` it.
    public mutating func park(_ slot: Int, _ message: RawSpan, _ origin: Origin) -> Bool {
        let question = message.part(Query.headerByteCount, query.questionEnd - Query.headerByteCount)
        completion.remember(slot, asked, key, origin)
        return waiting.park(slot, query, question, origin, splice)
    }

    /// After `.ask`: SERVFAIL with an extended error, when no upstream can be asked.
    public mutating func fail(_ message: RawSpan, _ reason: Reason, into out: inout MutableRawSpan) -> Answer {
        let question = message.part(Query.headerByteCount, query.questionEnd - Query.headerByteCount)
        return fail(query, question, reason, &out)
    }

    func fail(_ query: Query, _ question: RawSpan, _ reason: Reason, _ out: inout MutableRawSpan) -> Answer {
        let error: ExtendedError = reason == .overload ? .other : completion.error
        let byteCount = Reply.composeEmpty(
            &out, query, question: question, rcode: .serverFailure, error: error, text: RawSpan())
        return Answer(byteCount, reason, .serverFailure)
    }

    /// The upstream's reply to a slot: what ldns admits enters the cache and becomes the answer of `nextAnswer`.
    ///
    /// - Parameter upstream: who answered, for the log.
    public mutating func complete(_ slot: Int, reply: RawSpan, upstream: SocketAddress, now: UInt64) {
        completion.begin(slot, upstream)
        isSpliced = false
        name = completion.name(slot)
        let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
        isWholePause = now < pausedUntil
        guard completion.admit(reply, name, slot, isWholePause ? nil : policy) else { return }
        // By what holds for one who asked; each of the others is judged by what holds for him.
        let profile = completion.profile(slot, policy)
        let isPaused = isWholePause || policy.isPaused(profile)
        completion.judge(name, policy, Asker(profile: profile), isPaused: isPaused)
        digest = AnswerDigest(message: completion.message)
        // That a chain is blocked is worth keeping; a blocked qname never gets as far as the cache.
        guard completion.facts.ttl > 0, !completion.isBlocked || completion.reason == .cname else { return }
        let facts = Cache.Facts(
            stored: seconds, expires: seconds &+ completion.facts.ttl, rcode: completion.facts.rcode,
            upstream: upstream, isAuthentic: completion.facts.isAuthentic,
            hasChain: completion.facts.dependsOnPolicy, generation: isPaused ? generation &- 1 : generation,
            profile: profile,
            verdict: completion.isBlocked ? completion.verdict : .forward)
        Engine.keep(&cache, completion.key(slot), name, facts, digest, completion)
    }

    private static func keep(
        _ cache: inout Cache, _ key: QuestionKey, _ name: borrowing Name, _ facts: Cache.Facts,
        _ digest: borrowing AnswerDigest, _ completion: borrowing Completion
    ) {
        cache.insert(key, name.bytes, facts, digest: digest.bytes, message: completion.message)
    }

    /// No upstream answered a slot.
    public mutating func complete(_ slot: Int, failure: ExtendedError) {
        completion.begin(slot, .none)
        isSpliced = false
        name = completion.name(slot)
        digest = AnswerDigest()
        completion.error = failure
    }

    /// Writes the answer of the next query that waited for the completed slot; `name`, `query` and `digest` are its.
    public mutating func nextAnswer(into out: inout MutableRawSpan) -> (origin: Origin, answer: Answer)? {
        guard let parked = waiting.take(completion.slot) else { return nil }
        query = parked.query
        let question = unsafe parked.question.span.bytes.part(0, parked.questionByteCount)
        if parked.splice != .none {
            isSpliced = true
            return (
                parked.origin,
                spliceCompletion(
                    parked.splice, asker(parked.origin.client, parked.origin.owner), question,
                    isStream: parked.origin.isStream, into: &out)
            )
        }
        if isSpliced {
            isSpliced = false
            name = completion.name(completion.slot)
            digest = completion.isAdmitted ? AnswerDigest(message: completion.message) : AnswerDigest()
        }
        guard completion.isAdmitted else {
            return (parked.origin, fail(query, question, .failed, &out))
        }
        // Queries of several askers may have waited for the same answer.
        if policy.needsQueryAsker, !isWholePause {
            let asker = asker(parked.origin.client, parked.origin.owner)
            completion.judge(
                completion.name(completion.slot), policy, asker, isPaused: policy.isPaused(asker.profile))
        }
        if completion.isBlocked {
            return (parked.origin, block(completion.verdict, completion.reason, query, question, &out))
        }
        let byteCount = Reply.composeUpstream(
            &out, query, question: question, message: completion.message, elapsed: 0,
            limit: limit(query, parked.origin.isStream))
        var answer = Answer(
            byteCount, reason(of: completion.verdict, completion.isPaused), RCode(completion.facts.rcode),
            completion.verdict)
        answer.isAuthentic = completion.facts.isAuthentic
        answer.upstream = completion.upstream
        return (parked.origin, answer)
    }
}
