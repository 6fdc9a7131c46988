/// The deadlines of the slots, the earliest first: a binary heap that knows where each slot is.
///
/// No allocation after `init`; O(log n) a change.
struct UpstreamDeadlines {
    private var heap: [Int32]
    private var times: [UInt64]
    private var places: [Int32]

    init(capacity: Int) {
        heap = []
        heap.reserveCapacity(capacity)
        times = Array(repeating: 0, count: capacity)
        places = Array(repeating: -1, count: capacity)
    }

    /// The slot whose deadline is the earliest.
    var first: Int? { heap.isEmpty ? nil : Int(heap[0]) }

    var firstTime: UInt64? { heap.isEmpty ? nil : times[Int(heap[0])] }

    mutating func set(_ slot: Int, _ time: UInt64) {
        times[slot] = time
        if places[slot] < 0 {
            places[slot] = Int32(heap.count)
            heap.append(Int32(slot))
        }
        raise(Int(places[slot]))
        sink(Int(places[slot]))
    }

    mutating func remove(_ slot: Int) {
        let place = Int(places[slot])
        guard place >= 0 else { return }
        let last = heap.removeLast()
        places[slot] = -1
        guard place < heap.count else { return }
        heap[place] = last
        places[Int(last)] = Int32(place)
        raise(place)
        sink(Int(places[Int(last)]))
    }

    private mutating func raise(_ start: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard times[Int(heap[place])] < times[Int(heap[parent])] else { return }
            exchange(place, parent)
            place = parent
        }
    }

    private mutating func sink(_ start: Int) {
        var place = start
        while true {
            var least = place
            for child in 2 * place + 1...2 * place + 2
            where child < heap.count && times[Int(heap[child])] < times[Int(heap[least])] {
                least = child
            }
            if least == place { return }
            exchange(place, least)
            place = least
        }
    }

    private mutating func exchange(_ one: Int, _ other: Int) {
        heap.swapAt(one, other)
        places[Int(heap[one])] = Int32(one)
        places[Int(heap[other])] = Int32(other)
    }
}
