import Kernel
import PacketTunnel
import Wire

/// What the kernel tells of a flow: that it is over, or what it has counted so far.
struct FlowTidings: Sendable {
    var key: FlowKey
    var record: FlowRecord
    var isOver: Bool
}

/// Goes through the kernel's table of flows, on a thread of its own, and finds the connections that have ended. What it finds is
/// told to the packet thread once; the pass after that takes it out of the kernel's table. Of long flows it tells now and then
/// what they have carried.
///
/// One thread.
struct FlowSweeper {
    /// Passes, one a second, in which every long flow has its turn once.
    static let turns = 30

    private let map: KernelFlows
    /// Told of already: key and begin, as another flow may have the key by now.
    private var told: [FlowKey: UInt64] = [:]
    private var turn = 0

    init(_ map: KernelFlows) {
        self.map = map
    }

    /// The connections that ended since the last pass, and a part of those that go on.
    ///
    /// - Parameter now: nanoseconds, monotonic.
    mutating func sweep(_ now: UInt64) -> [FlowTidings] {
        var found: [FlowTidings] = []
        var closed: [FlowKey: UInt64] = [:]
        turn = (turn + 1) % FlowSweeper.turns
        map.sweep { key, record in
            if record.ends.isClosed {
                closed[key] = record.began
                if told[key] != record.began { found.append(FlowTidings(key: key, record: record, isOver: true)) }
            } else if isTurn(of: record, now) {
                found.append(FlowTidings(key: key, record: record, isOver: false))
            }
        }
        for (key, began) in told where closed[key] == began {
            map.remove(key)
            closed[key] = nil
        }
        told = closed
        return found
    }

    /// Whether to tell of a flow: one that began a while ago, had a packet since its last turn, and whose turn it is.
    private func isTurn(of record: FlowRecord, _ now: UInt64) -> Bool {
        let interval = UInt64(FlowSweeper.turns) * 1_000_000_000
        // By the tick of about 4 ms in which it began.
        return Int((record.began >> 22) % UInt64(FlowSweeper.turns)) == turn
            && Clock.elapsed(from: record.began, to: now) > interval
            && Clock.elapsed(from: record.lastSeen, to: now) < interval
    }
}
