import Blocklist
import Kernel
import Wire

/// The stage of the cache. It holds what upstreams said, for all who ask: the policy is asked before it, and over what a
/// chain of CNAMEs leads to once more for each answer.
extension Engine {
    /// The key under which an answer is kept: another one for each set of servers that are asked.
    ///
    /// - Parameter zone: the forward zone that holds the name.
    mutating func setKey(_ name: borrowing Name, _ zone: Int) {
        key = QuestionKey(name, query, seed: seed ^ policy.local.forwards.salt(zone))
    }

    /// The answer that the cache has for `name` under `key`. Nil: an upstream has to be asked.
    mutating func answerCached(
        _ verdict: Verdict, isPaused: Bool, _ question: RawSpan, isStream: Bool, now: UInt64,
        into out: inout MutableRawSpan
    ) -> Action? {
        let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
        guard let hit = cache.find(key, name.bytes, seconds: seconds), isPaused || isCurrent(hit.facts) else {
            return nil
        }
        if hit.chainByteCount > 0, !isPaused, verdict.action == .forward {
            let found = policy.verdict(forChain: cache.chain(hit), qtype: query.qtype, asker: asker)
            if found.action == .block { return .answer(blockChain(hit, found, question, &out)) }
        }
        let byteCount = Reply.composeUpstream(
            &out, query, question: question, message: cache.message(hit), elapsed: seconds &- hit.facts.stored,
            limit: limit(query, isStream))
        digest = AnswerDigest(copying: cache.digest(hit))
        var answer = Answer(byteCount, isPaused ? .paused : Reason(verdict), RCode(hit.facts.rcode), verdict)
        answer.isCached = true
        answer.isAuthentic = hit.facts.isAuthentic
        answer.upstream = hit.facts.upstream
        return .answer(answer)
    }

    /// Whether the policy in force would have let the same of an upstream's answer into the cache. Service bindings that
    /// another one cut, or that came uncut in a pause, are asked for anew.
    func isCurrent(_ facts: Cache.Facts) -> Bool {
        !facts.hasServiceHints || facts.generation == generation
    }

    /// The answer to a name whose CNAME chain leads to a blocked one.
    private mutating func blockChain(
        _ hit: Cache.Hit, _ verdict: Verdict, _ question: RawSpan, _ out: inout MutableRawSpan
    ) -> Answer {
        digest = AnswerDigest(copying: cache.digest(hit))
        var answer = block(verdict, .cname, question, &out)
        answer.isCached = true
        return answer
    }
}
