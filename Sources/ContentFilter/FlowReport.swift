public import Blocklist
public import Kernel
public import Wire

/// What there is to tell of a flow: for the log, and for the counting of packets.
public struct FlowReport: Sendable {
    public enum Event: Sendable {
        /// It has a verdict.
        case judged
        /// It has another verdict than before.
        case rejudged
        /// It goes on.
        case counted
        /// It is over.
        case ended
    }

    public var event: Event
    /// Never 0, never used twice.
    public var number: UInt64
    public var key: FlowKey
    /// When its first packet was read, and its last one as far as the TUN saw: nanoseconds on the monotonic clock.
    public var began: UInt64
    public var last: UInt64
    /// Packets that passed the TUN and their bytes from the IP header on.
    public var packets: UInt64
    public var bytes: UInt64
    public var isDropped: Bool
    public var reason: FlowReason
    /// As in `FlowVerdict`.
    public var list: Int32
    public var rule: Int32
    public var match: Verdict.Match
    public var labels: UInt8
    public var nameSource: NameSource?
    public var owner: Owner
    /// Nanoseconds without a packet after which it counts as over.
    public var patience: UInt64
    /// Whether the kernel was told to let it pass: it may know of more packets.
    public var isInKernel: Bool
}
