public import Wire

/// Finds the name a flow is meant for in its first packets: TLS over TCP, QUIC, HTTP/1.
///
/// Sans-I/O. One thread. A fixed pool of buffers, allocated at the start and touched when first used; feeding a packet
/// allocates nothing. A name is reported as soon as it has been seen, before the rest of the message it stands in: the
/// packet that completes it need not be forwarded.
public struct NamePeek: ~Copyable {
    /// Bytes from the begin of a stream in which a name is looked for: a ClientHello of 16 KiB in up to 200 TLS records.
    public static let byteLimit = 17_408
    /// Nanoseconds from a flow's first byte to its name.
    public static let timeLimit: UInt64 = 10_000_000_000

    /// The name of the last `.name` outcome.
    public private(set) var name = Name()
    private var pool: PeekPool
    private var opener = InitialOpener()

    /// - Parameter capacity: flows that can be half-read at a time, 1...1024; each takes about 20 KB while it is.
    public init(capacity: Int = 256) {
        pool = PeekPool(capacity: capacity)
    }

    /// Flows that are half-read.
    public var halfRead: Int { pool.used }

    /// Reads one packet of a flow, from its begin on, in any order of arrival. Only packets of the side that began the
    /// flow are fed. Feed the SYN too: it says where the stream begins, else the first packet fed is taken for its begin.
    ///
    /// - Parameters:
    ///   - ticket: the flow's own, made for its protocol.
    ///   - bytes: the packet, from its IP header on. A super-packet is read whole.
    ///   - packet: what `Packet.parse` made of it; of kind `tcp` or `udp`, as the ticket.
    ///   - segmentSize: bytes of payload of each datagram but the last in a UDP super-packet (`gso_size` of its virtio
    ///     header); 0 for a single datagram and for TCP.
    ///   - now: a monotonic clock in nanoseconds.
    public mutating func feed(
        _ ticket: inout PeekTicket, _ bytes: RawSpan, _ packet: Packet, segmentSize: Int = 0, now: UInt64
    ) -> PeekOutcome {
        let payload = bytes.part(packet.payload, packet.end - packet.payload)
        let reading: Reading
        if ticket.slot != PeekTicket.none, !pool.holds(ticket) {
            reading = .none(.crowded)
        } else if ticket.isDatagrams {
            reading = read(&ticket, datagrams: payload, segmentSize: segmentSize, now)
        } else {
            reading = read(&ticket, Segment(bytes, packet), payload, now)
        }
        let form = pool.holds(ticket) ? pool.slots[Int(ticket.slot)].form : .unknown
        switch reading {
        case .found:
            pool.release(&ticket)
            return .name(form == .quic ? .quic : form == .tls ? .tls : .http)
        case .none(let reason):
            pool.release(&ticket)
            return .none(reason)
        case .more:
            guard pool.holds(ticket), now &- pool.slots[Int(ticket.slot)].began > NamePeek.timeLimit else {
                return .more
            }
            pool.release(&ticket)
            return .none(.tooLate)
        }
    }

    /// Gives the buffer of a flow back that ended or was judged before its name was known. Idempotent.
    public mutating func close(_ ticket: inout PeekTicket) {
        pool.release(&ticket)
    }

    // MARK: TCP

    private mutating func read(
        _ ticket: inout PeekTicket, _ segment: Segment, _ payload: RawSpan, _ now: UInt64
    ) -> Reading {
        if segment.isRST { return .none(.ended) }
        let first = segment.sequence &+ (segment.isSYN ? 1 : 0)
        if !ticket.isBegun {
            ticket.isBegun = true
            ticket.start = first
        }
        let offset = Int(Int32(bitPattern: first &- ticket.start))
        if payload.byteCount == 0, ticket.slot == PeekTicket.none {
            if segment.isFIN { return .none(.ended) }
            return hasServerSpoken(&ticket, segment) ? .none(.serverFirst) : .more
        }
        if ticket.slot == PeekTicket.none { pool.claim(for: &ticket, now: now) }
        let slot = Int(ticket.slot)
        let before = max(0, -offset)
        if before < payload.byteCount { pool.slots[slot].window.insert(payload.from(before), at: offset + before) }
        let reading = pool.slots[slot].readStream(into: &name)
        if reading == .more {
            let end = pool.slots[slot].window.end
            if pool.slots[slot].window.isFull { return .none(.tooLong) }
            if segment.isFIN, end >= offset + payload.byteCount { return .none(.ended) }
        }
        return reading
    }

    /// Whether a segment without payload, before any with payload, acknowledges more than the one before it did: the
    /// far side's SYN takes one number, and only what it has said takes more.
    private func hasServerSpoken(_ ticket: inout PeekTicket, _ segment: Segment) -> Bool {
        guard segment.isACK else { return false }
        if !ticket.isAnswered {
            ticket.isAnswered = true
            ticket.acknowledged = segment.acknowledgment
        }
        return Int32(bitPattern: segment.acknowledgment &- ticket.acknowledged) > 0
    }

    // MARK: UDP

    private mutating func read(
        _ ticket: inout PeekTicket, datagrams: RawSpan, segmentSize: Int, _ now: UInt64
    ) -> Reading {
        let step = segmentSize > 0 ? segmentSize : max(1, datagrams.byteCount)
        var at = 0
        repeat {
            let reading = read(&ticket, datagram: datagrams.part(at, min(step, datagrams.byteCount - at)), now)
            if reading != .more { return reading }
            at += step
        } while at < datagrams.byteCount
        return .more
    }

    private mutating func read(_ ticket: inout PeekTicket, datagram: RawSpan, _ now: UInt64) -> Reading {
        if ticket.slot == PeekTicket.none {
            guard QUICPacket(datagram, at: 0) != nil else { return .none(.otherProtocol) }
            pool.claim(for: &ticket, now: now)
            pool.slots[Int(ticket.slot)].form = .quic
        }
        return pool.slots[Int(ticket.slot)].read(datagram, &opener, into: &name)
    }
}
