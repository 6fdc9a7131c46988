import Blocklist
import Wire

/// The stage of the policy: its word over the qname, and the answer to a blocked one.
extension Engine {
    /// What the policy says of the qname to who asks.
    func verdict(isStream: Bool) -> Verdict {
        let verdict = policy.verdict(for: name.bytes, qtype: query.qtype, asker: asker)
        // A list that sends its clients to TCP has nothing against a query that came this way.
        return isStream && verdict.answer == .truncate ? .forward : verdict
    }

    /// The answer that a list has for the name, or that of the blocking mode.
    mutating func answerBlocked(
        _ verdict: Verdict, _ question: RawSpan, isStream: Bool, now: UInt64, into out: inout MutableRawSpan
    ) -> Action {
        if verdict.answer == .records,
            let action = answerListed(verdict, question, isStream: isStream, now: now, into: &out)
        {
            return action
        }
        return .answer(block(verdict, Reason(verdict), question, &out))
    }

    /// The answer to the last query when a verdict blocks it.
    mutating func block(
        _ verdict: Verdict, _ reason: Reason, _ question: RawSpan, _ out: inout MutableRawSpan
    ) -> Answer {
        blocked.answer(verdict, reason, query, question, in: policy, into: &out)
    }
}

extension PolicySnapshot {
    /// What the policy says of the targets of a qname's CNAMEs, when no rule speaks of the qname itself: the first that is
    /// blocked blocks the answer, the first that is allowed lets it pass.
    ///
    /// Does not allocate.
    ///
    /// - Parameter chain: the targets in order, in wire form and lower case, one behind the other.
    /// - Returns: the verdict that blocks, else `.forward`.
    func verdict(forChain chain: RawSpan, qtype: UInt16, asker: Asker) -> Verdict {
        var at = 0
        while at < chain.byteCount {
            let end = Query.skipName(chain, at)
            guard end > at else { return .forward }
            let found = verdict(for: chain.part(at, end - at), qtype: qtype, asker: asker)
            if found.action == .allow { return .forward }
            // A CNAME may lead to a name that is answered otherwise than upstream would.
            if found.action == .block, !found.givesAnswer { return found }
            at = end
        }
        return .forward
    }
}
