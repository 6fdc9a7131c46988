internal import Kernel
internal import Wire

/// How much of a query or flow the log keeps. What is not kept never leaves the process's memory.
public struct QueryLogPrivacy: Sendable, Equatable {
    /// Each keeps less than the one before.
    public enum Level: String, Sendable, CaseIterable {
        case everything
        /// Not who asked: neither address, user nor program.
        case noClients = "no-clients"
        /// Not what was asked for either: neither name, answer, rule nor remote address. Verdict, list, type and time stay.
        case noNames = "no-names"
        /// Sums an hour and outcome; no latency, no flows.
        case counters
    }

    public var level = Level.everything
    /// Bits of a client's address that are kept, the rest is written as 0; of IPv4 and of IPv6 addresses.
    public var prefix4 = 32
    public var prefix6 = 128

    public init() {}

    static let hour: Int64 = 3_600_000_000

    var keepsNames: Bool { level == .everything || level == .noClients }
    var keepsFlows: Bool { level != .counters }

    /// Takes out of a row what is not kept, but for the client's prefix.
    func apply(to row: inout QueryRow) {
        if level == .everything { return }
        row.client = IPAddress(v4: 0)
        row.clientPort = 0
        row.owner = .unknown
        if level == .noClients { return }
        row.match = .none
        row.rule = -1
        if level == .noNames { return }
        row.time -= (row.time % QueryLogPrivacy.hour + QueryLogPrivacy.hour) % QueryLogPrivacy.hour
        row.latency = -1
    }

    /// The same for a flow.
    func apply(to row: inout FlowRow) {
        if level == .everything { return }
        row.client = IPAddress(v4: 0)
        row.clientPort = 0
        row.owner = .unknown
        if level == .noClients { return }
        row.remote = IPAddress(v4: 0)
        row.match = .none
        row.rule = -1
        row.nameSource = .none
    }

    /// The client's address with the bits behind the prefix cleared.
    func client(_ address: IPAddress) -> IPAddress {
        if address.isIPv6 {
            let high = QueryLogPrivacy.mask(prefix6)
            let low = QueryLogPrivacy.mask(prefix6 - 64)
            return IPAddress(high: address.high & high, low: address.low & low)
        }
        return IPAddress(v4: UInt32(truncatingIfNeeded: address.low & QueryLogPrivacy.mask(prefix4) >> 32))
    }

    /// The upper `bits` of 64; none below 0, all above 64.
    private static func mask(_ bits: Int) -> UInt64 {
        bits <= 0 ? 0 : bits >= 64 ? .max : .max << (64 - UInt64(bits))
    }
}
