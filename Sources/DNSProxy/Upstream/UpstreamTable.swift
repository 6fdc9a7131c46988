import Wire

/// One message sent upstream for a question.
struct UpstreamAttempt {
    var id: UInt16 = 0
    /// Index of the socket or of the connection it went through, -1: no attempt.
    var via = -1
    /// Index of the server, -1 once the list changed.
    var server = -1
    var isStream = false
    var edns = false
    var randomCase = false
    /// Sent over a connection that had been used before, which the server may have been closing.
    var isReused = false
    var sentAt: UInt64 = 0

    var isLive: Bool { via >= 0 }
}

/// A question in flight.
struct UpstreamSlot {
    static let attempts = 4

    var question = UpstreamQuestion()
    var hash: UInt64 = 0
    var isInFlight = false
    var started: UInt64 = 0
    var attempts = InlineArray<4, UpstreamAttempt>(repeating: UpstreamAttempt())
    /// The attempt sent last, whose time runs.
    var latest = 0
    /// Bit n: server n was asked in this round; server n has given all it can give for this question.
    var asked: UInt64 = 0
    var spent: UInt64 = 0
    /// The forward zone that holds the name, -1: none; bit n: server n may be asked at all.
    var zone: Int32 = -1
    var allowed: UInt64 = 0
    /// How often the whole list was gone through.
    var round: UInt8 = 0
    /// Replies with the right ID and another question or case.
    var mismatches: UInt8 = 0
    /// The server that answered FORMERR to EDNS, -1: none.
    var plainServer = -1
    var failure = UpstreamExchange.Failure.timeout

    var liveAttempts: Int {
        var count = 0
        for index in 0..<UpstreamSlot.attempts where attempts[index].isLive { count += 1 }
        return count
    }
}

/// The questions in flight: slots, the chains that find an identical question, and the free list.
///
/// No allocation after `init`. The memory of a slot is touched when it is used for the first time, and the slot used last is
/// used next, so a quiet machine has few of them in memory.
struct UpstreamTable {
    /// Those that were ever used.
    var slots: [UpstreamSlot]
    private let capacity: Int
    private var heads: [Int32]
    private var chain: [Int32]
    private var free: [Int32]
    private let mask: UInt64

    init(capacity: Int) {
        self.capacity = capacity
        slots = []
        slots.reserveCapacity(capacity)
        var width = 64
        while width < capacity { width *= 2 }
        heads = Array(repeating: -1, count: width)
        chain = Array(repeating: -1, count: capacity)
        free = []
        free.reserveCapacity(capacity)
        mask = UInt64(width - 1)
    }

    /// The slot of the same question in flight, or -1.
    func find(_ question: UpstreamQuestion, hash: UInt64) -> Int {
        var at = heads[Int(hash & mask)]
        while at >= 0 {
            if slots[Int(at)].hash == hash, slots[Int(at)].question.isSame(as: question) { return Int(at) }
            at = chain[Int(at)]
        }
        return -1
    }

    /// A fresh slot for the question, found by `find` from now on; -1 when all are taken.
    mutating func insert(_ question: UpstreamQuestion, hash: UInt64) -> Int {
        let index: Int
        if let slot = free.popLast() {
            index = Int(slot)
            slots[index] = UpstreamSlot()
        } else if slots.count < capacity {
            index = slots.count
            slots.append(UpstreamSlot())
        } else {
            return -1
        }
        slots[index].question = question
        slots[index].hash = hash
        slots[index].isInFlight = true
        chain[index] = heads[Int(hash & mask)]
        heads[Int(hash & mask)] = Int32(index)
        return index
    }

    /// The question is done: it is not found any more, and the slot stays taken until `release`.
    mutating func remove(_ slot: Int) {
        guard slots[slot].isInFlight else { return }
        slots[slot].isInFlight = false
        let bucket = Int(slots[slot].hash & mask)
        if heads[bucket] == Int32(slot) {
            heads[bucket] = chain[slot]
        } else {
            var at = Int(heads[bucket])
            while at >= 0, chain[at] != Int32(slot) { at = Int(chain[at]) }
            if at >= 0 { chain[at] = chain[slot] }
        }
        chain[slot] = -1
    }

    mutating func release(_ slot: Int) {
        free.append(Int32(slot))
    }

    var inFlight: Int { slots.count - free.count }
}
