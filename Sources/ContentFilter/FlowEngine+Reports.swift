public import Wire

/// What there is to tell of flows, and how they end. Pulled by whoever owns the engine.
extension FlowEngine {
    /// Flows in the table.
    public var liveFlows: Int { table.live }

    /// The next thing to tell, or `nil`. Ask after every packet, and after `expire`, `finish` and `endAll`.
    public mutating func nextReport() -> FlowReport? {
        if judged >= 0 {
            let slot = judged
            judged = -1
            return report(slot, isRejudged ? .rejudged : .judged)
        }
        while let slot = table.oldest(.ended) {
            if table[slot].generation == 0 {
                // It ended before it told its name. The tail of a connection that was forgotten already is no flow.
                guard table[slot].isOpened else {
                    table.release(slot)
                    continue
                }
                table[slot].generation = generation
                table[slot].reason = .unnamed
                counters.flowsAllowed += 1
                return report(slot, .judged)
            }
            let report = report(slot, .ended)
            table.release(slot)
            return report
        }
        return nil
    }

    private mutating func report(_ slot: Int, _ event: FlowReport.Event) -> FlowReport {
        roomUsed = table.copyName(slot, into: &room)
        let flow = table[slot]
        return FlowReport(
            event: event, number: flow.number, key: flow.key, began: flow.began, last: table.seen(slot),
            packets: flow.packets, bytes: flow.bytes, isDropped: flow.isDropped, reason: flow.reason,
            list: flow.list, rule: flow.rule, match: flow.match, labels: flow.labels, nameSource: flow.nameSource,
            owner: flow.owner,
            patience: table.phase(slot).timeout, isInKernel: flow.isInKernel)
    }

    /// The name of the flow last reported, in wire form; empty when it has none.
    public var reportedName: RawSpan {
        @_lifetime(borrow self)
        get { unsafe room.span.bytes.extracting(first: roomUsed) }
    }

    // MARK: Idle flows

    /// A flow that the TUN has seen no packet of for so long that it counts as over, or `nil`. When the kernel knows better,
    /// `keep` it, else `end` it, before asking for the next one.
    public mutating func nextIdle(now: UInt64) -> FlowReport? {
        for phase in FlowTable.Phase.allCases {
            guard let slot = table.expired(phase, now: now) else { continue }
            idle = slot
            return report(slot, .ended)
        }
        return nil
    }

    /// The flow of `nextIdle` is alive: it is asked for again when its time is over once more.
    public mutating func keepIdle(now: UInt64) {
        table.touch(idle, phase: table.phase(idle), now: now)
    }

    /// The flow of `nextIdle` is over.
    public mutating func endIdle(now: UInt64) {
        end(idle, now)
    }

    // MARK: Flows that end

    /// The kernel has seen the end of a flow.
    public mutating func finish(_ key: FlowKey, now: UInt64) {
        if let slot = table.find(key) { end(slot, now) }
    }

    /// What there is to tell of a flow that goes on; `nil` when it is not known or has no verdict yet.
    public mutating func count(_ key: FlowKey) -> FlowReport? {
        guard let slot = table.find(key), table[slot].generation != 0 else { return nil }
        return report(slot, .counted)
    }

    /// Ends flows so that `count` new ones find room: those least missed.
    public mutating func makeRoom(for count: Int, now: UInt64) {
        let wanted = min(count, table.capacity / 2)
        while table.free + table.ended < wanted, let slot = table.victim {
            counters.flowsEvicted += 1
            end(slot, now)
        }
    }

    /// Ends all flows.
    public mutating func endAll(now: UInt64) {
        while let slot = table.victim { end(slot, now) }
    }
}
