import Blocklist
import ContentFilter
import DNSProxy
import Export
import Kernel
import PacketTunnel
import QueryLog
import Wire

/// Turns answers into rows of the query log, on the packet's thread: integers into the ring, nothing more.
struct QueryLogging {
    private let ring: QueryRing?
    /// The way to metrics, dnstap and events, when they are wanted.
    private let tap: TapRing?
    /// Which link a client's address belongs to.
    private let book: AddressBook
    private var addresses = AddressTable()
    private var generation = -1
    /// Microseconds from the monotonic clock to 1970 in UTC.
    private var offset: Int64 = 0

    init(ring: QueryRing?, tap: TapRing?, addresses: AddressBook) {
        self.ring = ring
        self.tap = tap
        book = addresses
        synchronise(Clock.monotonic())
    }

    /// Whether there is a log.
    var isOn: Bool { ring != nil }

    /// Follows changes of the wall clock; called once a second.
    mutating func synchronise(_ now: UInt64) {
        offset = Clock.unixMicroseconds() - Int64(now / 1000)
    }

    /// Takes the table of addresses that is current now.
    private mutating func follow() {
        generation = book.generation
        addresses = book.table
    }

    /// Whose an address is: any of this machine's stands for all of them, that of a client for itself.
    mutating func client(_ address: IPAddress) -> IPAddress {
        if book.generation != generation { follow() }
        return addresses.isOwn(address) ? FlowEngine.machine : address
    }

    /// - Parameters:
    ///   - query: with the qtype that was asked.
    ///   - message: the answer.
    ///   - now: when it was answered, nanoseconds, monotonic.
    mutating func push(
        _ answer: Answer, _ query: Query, _ origin: Origin, qname: RawSpan, digest: RawSpan, message: RawSpan,
        now: UInt64
    ) {
        guard ring != nil || tap != nil else { return }
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
        row.owner = origin.owner
        row.rcode = answer.isSilent ? -1 : Int16(truncatingIfNeeded: answer.rcode.code)
        row.link = addresses.link(of: origin.client)
        row.list = answer.verdict.list
        row.rule = answer.verdict.rule
        row.latency = Int32(truncatingIfNeeded: Clock.elapsed(from: origin.arrived, to: now) / 1000)
        ring?.push(row, qname: qname, answer: digest)
        guard let tap, !answer.isSilent else { return }
        tap.push(
            TapRow(.answer, row, resolverPort: origin.resolverPort),
            message: tap.wants.contains(.messages) ? message : RawSpan())
    }

    /// A query as it came in, for dnstap.
    func push(_ message: RawSpan, _ origin: Origin) {
        guard let tap, tap.wants.contains(.queries) else { return }
        var row = QueryRow()
        row.time = Int64(origin.arrived / 1000) &+ offset
        row.client = origin.client
        row.clientPort = origin.clientPort
        row.resolver = origin.resolver
        row.transport = origin.isStream ? .tcp : .udp
        tap.push(TapRow(.query, row, resolverPort: origin.resolverPort), message: message)
    }

    /// The row of a flow that was judged, or that is over.
    ///
    /// - Parameter record: what the kernel knows of the flow: packets that never came here, in both directions.
    mutating func push(_ report: FlowReport, _ record: FlowRecord?, name: RawSpan) {
        guard let ring else { return }
        if book.generation != generation { follow() }
        var row = FlowRow()
        row.flow = report.number
        row.event =
            switch report.event {
            case .judged, .rejudged: .judged
            case .counted: .counted
            case .ended: .ended
            }
        row.time = Int64(report.began / 1000) &+ offset
        row.client = report.key.source
        row.clientPort = report.key.sourcePort
        row.remote = report.key.destination
        row.port = report.key.destinationPort
        row.proto = report.key.proto
        row.verdict = report.isDropped ? .drop : .allow
        row.reason = QueryLogging.reason(report.reason)
        row.nameSource = QueryLogging.source(report.nameSource)
        row.link = addresses.link(of: report.key.source)
        row.list = report.list
        row.rule = report.rule
        row.match = QueryRow.Match(rawValue: report.match.rawValue) ?? .none
        row.labels = report.labels
        row.owner = report.owner
        row.packets = report.packets
        row.bytes = report.bytes
        if report.event == .counted || report.event == .ended {
            var last = report.last
            if let record {
                row.packets = max(row.packets, record.packetsOut &+ record.packetsIn)
                row.bytes = max(row.bytes, record.bytesOut &+ record.bytesIn)
                last = max(last, record.lastSeen)
            }
            row.duration = Int64(Clock.elapsed(from: report.began, to: last) / 1000)
        }
        ring.push(row, name: name)
    }

    private static func reason(_ reason: FlowReason) -> FlowRow.Reason {
        switch reason {
        case .none: .none
        case .list: .list
        case .rule, .flow: .rule
        case .bypass: .bypass
        case .paused: .paused
        case .unnamed: .unnamed
        case .overload: .overload
        }
    }

    private static func source(_ source: NameSource?) -> FlowRow.NameSource {
        switch source {
        case nil: .none
        case .dns: .dns
        case .tls: .sni
        case .quic: .quic
        case .http: .http
        }
    }
}
