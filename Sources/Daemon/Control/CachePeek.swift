import DNSProxy
import Kernel
import Synchronization
import Wire

/// A look into the cache, carried to the thread that owns it and back.
final class CachePeek: Sendable {
    enum Answer: Sendable {
        case waiting
        case found(CachedQuestion?)
    }

    /// The name as text.
    let name: String
    let qtype: UInt16
    private let answer = Mutex(Answer.waiting)

    init(_ name: String, qtype: UInt16) {
        self.name = name
        self.qtype = qtype
    }

    /// On the thread that owns the engine.
    func look(_ engine: borrowing Engine, now: UInt64) {
        let found = Name(name).flatMap { engine.peek($0, qtype: qtype, now: now) }
        answer.withLock { $0 = .found(found) }
    }

    /// Waits for the thread, a second at most. nil: it did not look.
    func result() async -> Answer {
        for _ in 0..<200 {
            if case .found(let found) = answer.withLock({ $0 }) { return .found(found) }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return .waiting
    }
}

/// What the cache holds of a question, as the daemon tells it.
public struct CachedAnswer: Codable, Sendable, Equatable {
    public var isCached: Bool
    /// Seconds.
    public var ttl: UInt32?
    public var age: UInt32?
    /// The number.
    public var rcode: UInt16?
    public var upstream: String?
    /// Its CNAME chain leads to a name that is blocked.
    public var isChainBlocked: Bool?

    init(_ found: CachedQuestion?) {
        isCached = found != nil
        ttl = found?.left
        age = found?.age
        rcode = found?.rcode
        upstream = found.map { "\($0.upstream)" }
        isChainBlocked = found?.isChainBlocked
    }
}
