import Blocklist
import DNSProxy
import Kernel
import PacketTunnel
import QueryLog
import Wire

/// Turns answers into rows of the query log, on the packet's thread: integers into the ring, nothing more.
struct QueryLogging {
    private let ring: QueryRing?
    /// Which link a client's address belongs to.
    private let book: AddressBook
    private var addresses = AddressTable()
    private var generation = -1
    /// Microseconds from the monotonic clock to 1970 in UTC.
    private var offset: Int64 = 0

    init(ring: QueryRing?, addresses: AddressBook) {
        self.ring = ring
        book = addresses
        synchronise(Clock.monotonic())
    }

    /// Follows changes of the wall clock; called once a second.
    mutating func synchronise(_ now: UInt64) {
        offset = Clock.unixMicroseconds() - Int64(now / 1000)
    }

    /// Takes the table of addresses that is current now.
    private mutating func follow() {
        generation = book.generation
        addresses = book.table
    }

    /// - Parameters:
    ///   - query: with the qtype that was asked.
    ///   - now: when it was answered, nanoseconds, monotonic.
    mutating func push(_ answer: Answer, _ query: Query, _ origin: Origin, qname: RawSpan, digest: RawSpan, now: UInt64)
    {
        guard let ring else { return }
        if book.generation != generation { follow() }
        var row = QueryRow()
        row.time = Int64(origin.arrived / 1000) &+ offset
        row.client = origin.client
        row.transport = origin.isStream ? .tcp : .udp
        row.verdict = QueryRow.Verdict(rawValue: answer.verdict.action.rawValue) ?? .forward
        row.reason = QueryRow.Reason(rawValue: answer.reason.rawValue) ?? .none
        row.match = QueryRow.Match(rawValue: answer.verdict.match.rawValue) ?? .none
        row.labels = answer.verdict.labels
        row.cached = answer.isCached
        row.dnssec = answer.isAuthentic ? .secure : answer.upstream.address.isUnspecified ? .none : .unchecked
        row.upstream = answer.upstream.address
        row.upstreamPort = answer.upstream.port
        row.qtype = query.qtype
        row.resolver = origin.resolver
        row.clientPort = origin.clientPort
        row.rcode = Int16(truncatingIfNeeded: answer.rcode.code)
        row.link = addresses.link(of: origin.client)
        row.list = answer.verdict.list
        row.rule = answer.verdict.rule
        row.latency = Int32(truncatingIfNeeded: Clock.elapsed(from: origin.arrived, to: now) / 1000)
        ring.push(row, qname: qname, answer: digest)
    }
}
