import Synchronization

/// What the loop did since it started, in whole numbers.
public struct LoopCounters: Sendable, Equatable {
    /// Queries answered or asked upstream; those refused are included.
    public var queries = 0
    public var blocked = 0
    public var cached = 0
    /// Queries that were asked upstream, joined ones included.
    public var forwarded = 0
    /// SERVFAIL, because no upstream answered or too many queries waited.
    public var failed = 0
    /// FORMERR, NOTIMP, REFUSED.
    public var refused = 0
    /// Packets that are no query, or could not be read: dropped.
    public var dropped = 0
    /// Packets that are no DNS, passed on unchanged.
    public var passed = 0
    /// Packets of dropped flows, each answered by a reset or an ICMP error.
    public var rejected = 0
    /// Flows that are alive, and flows since the start by their verdict.
    public var flows = 0
    public var flowsAllowed = 0
    public var flowsDropped = 0
    /// Queries over TCP.
    public var streamed = 0
    /// Writes to the TUN that the kernel refused.
    public var writeErrors = 0
    /// Answers that the cache holds.
    public var cacheEntries = 0
    /// Queries that wait for an upstream.
    public var waiting = 0
    /// Rounds of the loop: it grows at least once a second while the loop lives.
    public var heartbeat = 0

    public init() {}
}

/// Counters on their way from the loop's thread to whoever asks: one relaxed store each, once a round.
final class PublishedCounters: Sendable {
    private let queries = Atomic<Int>(0)
    private let blocked = Atomic<Int>(0)
    private let cached = Atomic<Int>(0)
    private let forwarded = Atomic<Int>(0)
    private let failed = Atomic<Int>(0)
    private let refused = Atomic<Int>(0)
    private let dropped = Atomic<Int>(0)
    private let passed = Atomic<Int>(0)
    private let rejected = Atomic<Int>(0)
    private let flows = Atomic<Int>(0)
    private let flowsAllowed = Atomic<Int>(0)
    private let flowsDropped = Atomic<Int>(0)
    private let streamed = Atomic<Int>(0)
    private let writeErrors = Atomic<Int>(0)
    private let cacheEntries = Atomic<Int>(0)
    private let waiting = Atomic<Int>(0)
    private let heartbeat = Atomic<Int>(0)

    /// The loop's thread.
    func publish(_ counters: LoopCounters) {
        queries.store(counters.queries, ordering: .relaxed)
        blocked.store(counters.blocked, ordering: .relaxed)
        cached.store(counters.cached, ordering: .relaxed)
        forwarded.store(counters.forwarded, ordering: .relaxed)
        failed.store(counters.failed, ordering: .relaxed)
        refused.store(counters.refused, ordering: .relaxed)
        dropped.store(counters.dropped, ordering: .relaxed)
        passed.store(counters.passed, ordering: .relaxed)
        rejected.store(counters.rejected, ordering: .relaxed)
        flows.store(counters.flows, ordering: .relaxed)
        flowsAllowed.store(counters.flowsAllowed, ordering: .relaxed)
        flowsDropped.store(counters.flowsDropped, ordering: .relaxed)
        streamed.store(counters.streamed, ordering: .relaxed)
        writeErrors.store(counters.writeErrors, ordering: .relaxed)
        cacheEntries.store(counters.cacheEntries, ordering: .relaxed)
        waiting.store(counters.waiting, ordering: .relaxed)
        heartbeat.store(counters.heartbeat, ordering: .relaxed)
    }

    /// Any thread.
    var value: LoopCounters {
        var counters = LoopCounters()
        counters.queries = queries.load(ordering: .relaxed)
        counters.blocked = blocked.load(ordering: .relaxed)
        counters.cached = cached.load(ordering: .relaxed)
        counters.forwarded = forwarded.load(ordering: .relaxed)
        counters.failed = failed.load(ordering: .relaxed)
        counters.refused = refused.load(ordering: .relaxed)
        counters.dropped = dropped.load(ordering: .relaxed)
        counters.passed = passed.load(ordering: .relaxed)
        counters.rejected = rejected.load(ordering: .relaxed)
        counters.flows = flows.load(ordering: .relaxed)
        counters.flowsAllowed = flowsAllowed.load(ordering: .relaxed)
        counters.flowsDropped = flowsDropped.load(ordering: .relaxed)
        counters.streamed = streamed.load(ordering: .relaxed)
        counters.writeErrors = writeErrors.load(ordering: .relaxed)
        counters.cacheEntries = cacheEntries.load(ordering: .relaxed)
        counters.waiting = waiting.load(ordering: .relaxed)
        counters.heartbeat = heartbeat.load(ordering: .relaxed)
        return counters
    }
}
