import Kernel
import Wire

/// The answers of upstreams, bounded in bytes.
///
/// Two halves: new answers fill the young one; when it is full the old one is emptied and the two change places. An
/// answer found in the old half is copied into the young one, so what is asked for stays and what is not goes.
/// Nothing is allocated after `init`. One thread.
struct Cache: ~Copyable {
    /// What is known of a cached answer besides its message.
    struct Facts: Sendable, Equatable {
        /// Seconds on the monotonic clock.
        var stored: UInt32
        var expires: UInt32
        var rcode: UInt16
        var upstream: SocketAddress
        /// The upstream vouched for the answer with AD.
        var isAuthentic: Bool
        /// It has SVCB or HTTPS records, as the policy numbered `generation` lets them be told.
        var hasServiceHints: Bool
        var generation: UInt32
    }

    /// A cached answer: its place in one of the halves, valid until the next insertion or lookup.
    struct Hit: Sendable, Equatable {
        var facts: Facts
        var digest: Int
        var digestCount: Int
        var chain: Int
        var chainByteCount: Int
        var message: Int
        var messageCount: Int

        var isOld: Bool

        init(_ entry: CacheHalf.Entry, at offset: Int, isOld: Bool = false) {
            self.isOld = isOld
            facts = entry.facts
            digest = offset + MemoryLayout<CacheHalf.Entry>.stride + Int(entry.nameCount)
            digestCount = Int(entry.digestCount)
            chain = digest + digestCount
            chainByteCount = Int(entry.chainCount)
            message = chain + chainByteCount
            messageCount = Int(entry.messageCount)
        }
    }

    var young: CacheHalf
    var old: CacheHalf

    /// - Parameter byteCount: of both halves together, at least 256 KiB; the indexes add an eighth to a quarter.
    init(byteCount: Int) {
        let half = (max(byteCount, 262_144) / 2) & ~7
        young = CacheHalf(capacity: half)
        old = CacheHalf(capacity: half)
    }

    /// Answers held, those that have expired but not made room yet included.
    var count: Int { young.count + old.count }

    /// Forgets everything.
    mutating func removeAll() {
        young.removeAll()
        old.removeAll()
    }

    /// Finds the answer to a question, if it has not expired at `seconds` on the monotonic clock.
    mutating func find(_ key: QuestionKey, _ name: RawSpan, seconds: UInt32) -> Hit? {
        let offset = young.find(key, name)
        if offset < 0 { return promote(key, name, seconds) }
        let entry = young.entry(offset)
        return entry.facts.expires > seconds ? Hit(entry, at: offset) : nil
    }

    /// As `find`, without making the answer younger: for people who look.
    func peek(_ key: QuestionKey, _ name: RawSpan, seconds: UInt32) -> Hit? {
        for isOld in [false, true] {
            let offset = isOld ? old.find(key, name) : young.find(key, name)
            guard offset >= 0 else { continue }
            let hit = Hit(isOld ? old.entry(offset) : young.entry(offset), at: offset, isOld: isOld)
            if hit.facts.expires > seconds { return hit }
        }
        return nil
    }

    /// Copies an answer of the old half into the young one.
    mutating func promote(_ key: QuestionKey, _ name: RawSpan, _ seconds: UInt32) -> Hit? {
        let offset = old.find(key, name)
        guard offset >= 0 else { return nil }
        let entry = old.entry(offset)
        guard entry.facts.expires > seconds else { return nil }
        let found = Hit(entry, at: offset, isOld: true)
        // The next answer to be kept turns the halves; until then this one is served from where it is.
        let copy = young.insert(copying: old, found, entry, key)
        return copy < 0 ? found : Hit(entry, at: copy)
    }

    /// The cached message: ID 0, question in lower case, no OPT record.
    @_lifetime(borrow self)
    func message(_ hit: Hit) -> RawSpan {
        hit.isOld ? old.bytes(hit.message, hit.messageCount) : young.bytes(hit.message, hit.messageCount)
    }

    /// The answer in the compact form of the log.
    @_lifetime(borrow self)
    func digest(_ hit: Hit) -> RawSpan {
        hit.isOld ? old.bytes(hit.digest, hit.digestCount) : young.bytes(hit.digest, hit.digestCount)
    }

    /// The targets of the answer's CNAMEs in order, in wire form and lower case, one behind the other.
    @_lifetime(borrow self)
    func chain(_ hit: Hit) -> RawSpan {
        hit.isOld ? old.bytes(hit.chain, hit.chainByteCount) : young.bytes(hit.chain, hit.chainByteCount)
    }

    /// Keeps an answer; an older one of the same question is forgotten. One over half of a half is not kept.
    mutating func insert(
        _ key: QuestionKey, _ name: RawSpan, _ facts: Facts, digest: RawSpan, chain: RawSpan, message: RawSpan
    ) {
        let bytes = CacheHalf.byteCount(
            name: name.byteCount, digest: digest.byteCount, chain: chain.byteCount, message: message.byteCount)
        guard bytes <= young.capacity / 2, message.byteCount <= 65535, digest.byteCount <= 255 else { return }
        if !young.hasRoom(bytes) { turn() }
        let entry = CacheHalf.Entry(
            hash: key.hash, facts: facts, messageCount: UInt16(message.byteCount),
            chainCount: UInt16(chain.byteCount), qtype: key.qtype, qclass: key.qclass, nameCount: UInt8(name.byteCount),
            digestCount: UInt8(digest.byteCount),
            bits: key.bits)
        _ = young.insert(entry, key, name: name, digest: digest, chain: chain, message: message)
    }

    /// The young half becomes the old one; the old one is emptied.
    private mutating func turn() {
        old.removeAll()
        swap(&young, &old)
    }
}
