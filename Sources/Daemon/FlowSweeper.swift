import Kernel
import PacketTunnel
import Wire

/// A flow that the kernel saw the end of.
struct FlowEnd: Sendable {
    var key: FlowKey
    var record: FlowRecord
}

/// Goes through the kernel's table of flows, on a thread of its own, and finds the connections that have ended. What it finds is
/// told to the packet thread once; the pass after that takes it out of the kernel's table.
///
/// One thread.
struct FlowSweeper {
    private let map: FlowMap
    /// Told of already: key and begin, as another flow may have the key by now.
    private var told: [FlowKey: UInt64] = [:]

    init(_ map: FlowMap) {
        self.map = map
    }

    /// The connections that ended since the last pass.
    mutating func sweep() -> [FlowEnd] {
        var found: [FlowEnd] = []
        var closed: [FlowKey: UInt64] = [:]
        map.sweep { key, record in
            guard record.ends.isClosed else { return }
            closed[key] = record.began
            if told[key] != record.began { found.append(FlowEnd(key: key, record: record)) }
        }
        for (key, began) in told where closed[key] == began {
            map.remove(key)
            closed[key] = nil
        }
        told = closed
        return found
    }
}
