public import Wire

/// The kernel's own table of flows in full mode, whichever it is: it counts, and it keeps the packets of allowed flows in the
/// kernel.
///
/// Any thread. `lookup`, `allow` and `remove` are one call to the kernel each and allocate nothing.
public enum KernelFlows: Sendable {
    /// Of the `link` back end.
    case map(FlowMap)
    /// Of the `route` back end.
    case tracked(TrackedFlows)

    /// What is known of a flow; `nil`: nothing.
    ///
    /// - Parameter key: in the direction of the flow's first packet.
    public func lookup(_ key: FlowKey) -> FlowRecord? {
        switch self {
        case .map(let flows): flows.lookup(key)
        case .tracked(let flows): flows.lookup(key)
        }
    }

    /// Lets the flow's packets pass in the kernel, in both directions, until the epoch changes.
    ///
    /// - Returns: false when the kernel does not know the flow: its next packet comes to user space again.
    @discardableResult
    public func allow(_ key: FlowKey) -> Bool {
        switch self {
        case .map(let flows): flows.allow(key)
        case .tracked(let flows): flows.allow(key)
        }
    }

    /// Forgets the flow: its next packet comes to user space.
    public func remove(_ key: FlowKey) {
        switch self {
        case .map(let flows): flows.remove(key)
        case .tracked(let flows): flows.remove(key)
        }
    }

    /// The epoch of the verdicts that hold.
    public var epoch: UInt32 {
        switch self {
        case .map(let flows): flows.epoch
        case .tracked(let flows): flows.epoch
        }
    }

    /// Begins another epoch: the next packet of every flow comes to user space, to be judged anew. What was counted stays.
    public func setEpoch(_ epoch: UInt32) {
        switch self {
        case .map(let flows): flows.setEpoch(epoch)
        case .tracked(let flows): flows.setEpoch(epoch)
        }
    }

    /// Goes through all flows, in no order. Flows that begin or end meanwhile may be missed or come twice. Allocates.
    public func sweep(_ body: (FlowKey, FlowRecord) -> Void) {
        switch self {
        case .map(let flows): flows.sweep(body)
        case .tracked(let flows): flows.sweep(body)
        }
    }
}
