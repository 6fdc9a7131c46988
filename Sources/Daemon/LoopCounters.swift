import Synchronization

/// What the loop did since it started, in whole numbers: stored properties of type `Int` and nothing else.
public struct LoopCounters: Sendable, Equatable, BitwiseCopyable {
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

/// Counters on their way from the loop's thread to whoever asks: one relaxed store a counter, once a round.
///
/// `LoopCounters` is the only list of them: it is a row of integers, and is copied as such, word by word.
@safe
final class PublishedCounters: Sendable {
    private static let capacity = 64
    private static let count = MemoryLayout<LoopCounters>.size / MemoryLayout<Int>.size
    private let words = InlineArray<64, Atomic<Int>> { _ in Atomic(0) }

    init() {
        precondition(
            MemoryLayout<LoopCounters>.size % MemoryLayout<Int>.size == 0
                && PublishedCounters.count <= PublishedCounters.capacity)
    }

    /// The loop's thread.
    func publish(_ counters: LoopCounters) {
        unsafe withUnsafeBytes(of: counters) { bytes in
            for index in 0..<PublishedCounters.count {
                let value = unsafe bytes.load(fromByteOffset: index * MemoryLayout<Int>.size, as: Int.self)
                words[index].store(value, ordering: .relaxed)
            }
        }
    }

    /// Any thread. Each counter is whole; two of them may be of different rounds.
    var value: LoopCounters {
        var counters = LoopCounters()
        unsafe withUnsafeMutableBytes(of: &counters) { bytes in
            for index in 0..<PublishedCounters.count {
                let value = words[index].load(ordering: .relaxed)
                unsafe bytes.storeBytes(of: value, toByteOffset: index * MemoryLayout<Int>.size, as: Int.self)
            }
        }
        return counters
    }
}
