import Kernel

/// What is known of one upstream server: round-trip time, health, and what it cannot do. Times in nanoseconds of
/// `Clock.monotonic`.
struct UpstreamServer {
    let address: SocketAddress

    /// Smoothed round-trip time and its variation (RFC 6298 section 2); 0 before the first reply.
    private(set) var smoothed: UInt64 = 0
    private var variation: UInt64 = 0
    /// Timeouts and refused connections since the last reply.
    private(set) var failures: UInt8 = 0
    /// While not 0 the server is down; from then on one question may be sent to it as well, as a probe.
    private(set) var retryAt: UInt64 = 0
    private(set) var lastReply: UInt64 = 0
    /// Asked without EDNS until then: it answered FORMERR to EDNS and well without.
    private var plainUntil: UInt64 = 0
    /// Asked in small letters until then: it does not echo the case.
    private var smallLettersUntil: UInt64 = 0
    private var caseMismatches: UInt8 = 0
    /// The ID and socket of the last probe, whose late reply still tells that the server lives; -1: none.
    var probeID: UInt16 = 0
    var probeSocket = -1

    private static let millisecond: UInt64 = 1_000_000
    private static let initialTimeout = 400 * millisecond
    private static let timeouts = 250 * millisecond...1200 * millisecond
    /// So many failures in a row and the server is down.
    private static let failuresToDown = 3
    /// So many replies in a row with another case and the server is asked in small letters.
    private static let mismatchesToSmallLetters = 3
    /// How long a limitation is remembered.
    private static let memory = 600_000 * millisecond

    init(_ address: SocketAddress) {
        self.address = address
    }

    var isDown: Bool { retryAt != 0 }
    func usesEDNS(at now: UInt64) -> Bool { now >= plainUntil }
    func usesRandomCase(at now: UInt64) -> Bool { now >= smallLettersUntil }

    /// How long to wait for a reply before the next server is asked as well. A resolver that recurses is slow for one name
    /// and fast for the next, so the floor is far above the usual round trip.
    var timeout: UInt64 {
        if smoothed == 0 { return UpstreamServer.initialTimeout }
        let wanted = smoothed + 4 * variation
        return min(max(wanted, UpstreamServer.timeouts.lowerBound), UpstreamServer.timeouts.upperBound)
    }

    mutating func noteReply(now: UInt64, roundTrip: UInt64?) {
        failures = 0
        retryAt = 0
        lastReply = now
        guard let roundTrip else { return }
        if smoothed == 0 {
            smoothed = max(roundTrip, 1)
            variation = roundTrip / 2
        } else {
            let distance = roundTrip > smoothed ? roundTrip - smoothed : smoothed - roundTrip
            variation = variation - variation / 4 + distance / 4
            smoothed = max(smoothed - smoothed / 8 + roundTrip / 8, 1)
        }
    }

    /// A question was not answered in time. Silence counts only when the server has said nothing since it was asked: one
    /// slow name does not condemn it.
    mutating func noteTimeout(now: UInt64, sentAt: UInt64) {
        guard lastReply < sentAt else { return }
        failures = min(failures + 1, 20)
        if failures >= UpstreamServer.failuresToDown { markDown(now: now) }
    }

    /// The kernel says that nobody listens, or that there is no way.
    mutating func noteUnreachable(now: UInt64) {
        failures = min(max(failures + 1, UInt8(UpstreamServer.failuresToDown)), 20)
        markDown(now: now)
    }

    /// Down for 1, 2, 4, … at most 32 seconds.
    private mutating func markDown(now: UInt64) {
        let doublings = min(Int(failures) - UpstreamServer.failuresToDown, 5)
        retryAt = now + 1000 * UpstreamServer.millisecond << UInt64(doublings)
    }

    /// Whether a probe is due; then the next is due later.
    mutating func takeProbe(now: UInt64) -> Bool {
        guard isDown, now >= retryAt else { return false }
        failures = min(failures + 1, 20)
        markDown(now: now)
        return true
    }

    mutating func noteCase(matched: Bool, now: UInt64) {
        caseMismatches = matched ? 0 : caseMismatches + 1
        if caseMismatches >= UpstreamServer.mismatchesToSmallLetters { noteNoCase(now: now) }
    }

    mutating func noteNoCase(now: UInt64) {
        caseMismatches = 0
        smallLettersUntil = now + UpstreamServer.memory
    }

    mutating func noteNoEDNS(now: UInt64) {
        plainUntil = now + UpstreamServer.memory
    }
}
