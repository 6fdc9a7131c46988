/// The numbers `0..<count`, each in exactly one of a few queues, ordered by the time it was last moved: timeouts of many
/// entries without a timer for each.
///
/// One thread. Nothing allocates after `init`; every operation takes constant time.
public struct IdleQueues: Sendable {
    @usableFromInline
    struct Node: Sendable {
        @usableFromInline var previous: Int32
        @usableFromInline var next: Int32
        @usableFromInline var queue: Int32
        @usableFromInline var time: UInt64

        @inlinable
        init(alone index: Int) {
            previous = Int32(truncatingIfNeeded: index)
            next = previous
            queue = 0
            time = 0
        }
    }

    /// A node for each number, then one head for each queue: rings, so that no end is a special case.
    @usableFromInline var nodes: [Node]
    public let count: Int

    /// All numbers start in queue 0, in ascending order, with time 0.
    public init(count: Int, queues: Int) {
        self.count = count
        nodes = (0..<count + queues).map { Node(alone: $0) }
        for index in 0..<count { link(index, 0) }
    }

    /// Takes a number out of its queue and puts it at the end of another, or of the same.
    ///
    /// - Parameter time: nanoseconds of `Clock.monotonic`; never less than at an earlier call.
    @inlinable
    public mutating func move(_ index: Int, to queue: Int, at time: UInt64) {
        let (previous, next) = (nodes[index].previous, nodes[index].next)
        nodes[Int(previous)].next = next
        nodes[Int(next)].previous = previous
        nodes[index].time = time
        link(index, queue)
    }

    @inlinable
    mutating func link(_ index: Int, _ queue: Int) {
        let head = count + queue
        let last = nodes[head].previous
        nodes[index].queue = Int32(truncatingIfNeeded: queue)
        nodes[index].previous = last
        nodes[index].next = Int32(truncatingIfNeeded: head)
        nodes[Int(last)].next = Int32(truncatingIfNeeded: index)
        nodes[head].previous = Int32(truncatingIfNeeded: index)
    }

    /// The number that was moved to `queue` the longest time ago; `nil` when the queue is empty.
    @inlinable
    public func oldest(of queue: Int) -> Int? {
        next(after: count + queue)
    }

    /// The number behind `index` in its queue; `nil` at the end.
    @inlinable
    public func next(after index: Int) -> Int? {
        let next = Int(nodes[index].next)
        return next < count ? next : nil
    }

    @inlinable
    public func queue(of index: Int) -> Int { Int(nodes[index].queue) }

    /// When the number was last moved.
    @inlinable
    public func time(of index: Int) -> UInt64 { nodes[index].time }
}
