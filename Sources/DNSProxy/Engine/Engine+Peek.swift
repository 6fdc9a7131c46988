import Blocklist
public import Kernel
public import Wire

/// What the cache knows of a question.
public struct CachedQuestion: Sendable, Equatable {
    /// Seconds for which it is kept still, and since when it is.
    public var left: UInt32
    public var age: UInt32
    public var rcode: UInt16
    public var upstream: SocketAddress
    /// Its CNAME chain leads to a name that is blocked, for whoever is in no group.
    public var isChainBlocked: Bool
}

extension Engine {
    /// What the cache holds of a question of class IN, whatever bits it was asked with. For people who look: nothing changes.
    ///
    /// - Parameter now: nanoseconds, monotonic.
    public func peek(_ name: borrowing Name, qtype: UInt16, now: UInt64) -> CachedQuestion? {
        let salt = policy.local.forwards.salt(policy.local.forwards.zone(of: name.bytes))
        let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
        var query = Query.none
        query.qtype = qtype
        query.qclass = 1
        for bits in UInt8(0)..<4 {
            query.dnssecOK = bits & 1 != 0
            // CD (RFC 4035 section 3.2.2).
            query.flags = bits & 2 != 0 ? Flags.cd : 0
            let key = QuestionKey(name, query, seed: seed ^ salt)
            guard let hit = cache.peek(key, name.bytes, seconds: seconds) else { continue }
            // A rule that allows the qname allows what it leads to.
            let isJudged = policy.verdict(for: name.bytes, qtype: qtype).action == .forward
            let verdict = policy.verdict(forChain: cache.chain(hit), qtype: qtype, asker: .everybody)
            return CachedQuestion(
                left: hit.facts.expires - seconds, age: seconds &- hit.facts.stored, rcode: hit.facts.rcode,
                upstream: hit.facts.upstream, isChainBlocked: isJudged && verdict.action == .block)
        }
        return nil
    }
}
