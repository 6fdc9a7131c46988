import Wire

/// The queries that wait for an upstream, in lists by the exchange's slot. Their memory is fixed and is touched only as
/// far as it is needed. One thread.
@safe
struct Waiting: ~Copyable {
    /// A query that waits: what its answer needs.
    struct Parked {
        var origin: Origin
        var query: Query
        /// CNAMEs stand before the upstream's answer.
        var splice: Splice
        /// The next query of the same slot, or -1.
        var next: Int32
        /// The question as the client spelled it, for the answer: qname, qtype, qclass.
        var question: InlineArray<260, UInt8>
        var questionByteCount: Int

        mutating func keep(_ bytes: RawSpan) {
            var span = question.mutableSpan
            var target = unsafe span.mutableBytes
            target.put(0, bytes)
        }
    }

    private let pool: UnsafeMutablePointer<Parked>
    private let capacity: Int
    private let heads: UnsafeMutablePointer<Int32>
    private let slots: Int
    /// Parked values never used so far start here.
    private var fresh = 0
    private var free: Int32 = -1
    private(set) var count = 0

    init(capacity: Int, slots: Int) {
        self.capacity = capacity
        self.slots = slots
        unsafe pool = .allocate(capacity: capacity)
        unsafe heads = .allocate(capacity: slots)
        unsafe heads.initialize(repeating: -1, count: slots)
    }

    deinit {
        unsafe pool.deallocate()
        unsafe heads.deallocate()
    }

    /// Adds a query to a slot's list. `false` when the pool is used up.
    mutating func park(_ slot: Int, _ query: Query, _ question: RawSpan, _ origin: Origin, _ splice: Splice) -> Bool {
        precondition(slot >= 0 && slot < slots && question.byteCount <= 260)
        let place: Int
        if free >= 0 {
            place = Int(free)
            free = unsafe pool[place].next
        } else if fresh < capacity {
            place = fresh
            fresh += 1
        } else {
            return false
        }
        var parked = unsafe Parked(
            origin: origin, query: query, splice: splice, next: heads[slot], question: InlineArray(repeating: 0),
            questionByteCount: question.byteCount)
        parked.keep(question)
        unsafe (pool + place).initialize(to: parked)
        unsafe heads[slot] = Int32(place)
        count += 1
        return true
    }

    /// Takes one query out of a slot's list.
    mutating func take(_ slot: Int) -> Parked? {
        precondition(slot >= 0 && slot < slots)
        let place = unsafe Int(heads[slot])
        guard place >= 0 else { return nil }
        let parked = unsafe pool[place]
        unsafe heads[slot] = parked.next
        unsafe pool[place].next = free
        free = Int32(place)
        count -= 1
        return parked
    }
}
