import Blocklist
public import Kernel
public import Wire

/// The last stage: queries that wait for an upstream, what its reply becomes, and their answers.
extension Engine {
    /// After `.ask`: keeps the query until its slot completes. `false` when too many wait already: then `fail` it.
    public mutating func park(_ slot: Int, _ message: RawSpan, _ origin: Origin) -> Bool {
        let question = message.part(Query.headerByteCount, query.questionEnd - Query.headerByteCount)
        completion.remember(slot, asked, key)
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
        isWholePause = now < pausedUntil
        guard completion.admit(reply, name, slot, isWholePause ? nil : policy) else { return }
        digest = AnswerDigest(message: completion.message)
        let admitted = completion.facts
        guard admitted.ttl > 0 else { return }
        let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
        let facts = Cache.Facts(
            stored: seconds, expires: seconds &+ admitted.ttl, rcode: admitted.rcode, upstream: upstream,
            isAuthentic: admitted.isAuthentic, hasServiceHints: admitted.hasServiceHints,
            generation: isWholePause ? generation &- 1 : generation)
        Engine.keep(&cache, completion.key(slot), name, facts, digest, completion)
    }

    private static func keep(
        _ cache: inout Cache, _ key: QuestionKey, _ name: borrowing Name, _ facts: Cache.Facts,
        _ digest: borrowing AnswerDigest, _ completion: borrowing Completion
    ) {
        cache.insert(
            key, name.bytes, facts, digest: digest.bytes, chain: completion.chain, message: completion.message)
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
        asker = asker(parked.origin.client, parked.origin.owner)
        let question = unsafe parked.question.span.bytes.part(0, parked.questionByteCount)
        let isStream = parked.origin.isStream
        if parked.splice != .none {
            isSpliced = true
            return (parked.origin, spliceCompletion(parked.splice, question, isStream: isStream, into: &out))
        }
        if isSpliced {
            isSpliced = false
            name = completion.name(completion.slot)
            digest = completion.isAdmitted ? AnswerDigest(message: completion.message) : AnswerDigest()
        }
        guard completion.isAdmitted else {
            return (parked.origin, fail(query, question, .failed, &out))
        }
        return (parked.origin, answerCompletion(question, isStream: isStream, into: &out))
    }

    /// The answer of a query that waited for its own name: judged for who asked it, by the policy in force now.
    private mutating func answerCompletion(
        _ question: RawSpan, isStream: Bool, into out: inout MutableRawSpan
    ) -> Answer {
        let isPaused = isWholePause || policy.isPaused(asker.profile)
        var verdict = Verdict.forward
        if !isPaused {
            verdict = policy.verdict(for: name.bytes, qtype: query.qtype, asker: asker)
            if verdict.givesAnswer { verdict = .forward }
            // A rule that came while the question was in flight.
            if verdict.action == .block { return block(verdict, Reason(verdict), question, &out) }
            if verdict.action == .forward {
                let found = policy.verdict(forChain: completion.chain, qtype: query.qtype, asker: asker)
                if found.action == .block { return block(found, .cname, question, &out) }
            }
        }
        let byteCount = Reply.composeUpstream(
            &out, query, question: question, message: completion.message, elapsed: 0, limit: limit(query, isStream))
        var answer = Answer(
            byteCount, isPaused ? .paused : Reason(verdict), RCode(completion.facts.rcode), verdict)
        answer.isAuthentic = completion.facts.isAuthentic
        answer.upstream = completion.upstream
        return answer
    }
}
