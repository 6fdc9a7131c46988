import Wire

/// What is known of one half-read flow.
struct PeekSlot {
    enum Form: UInt8 {
        case unknown
        case tls
        case http
        case quic
    }

    var window: StreamWindow
    /// Counts the flows that had this slot.
    var use: UInt16 = 0
    var isUsed = false
    /// When it was claimed: nanoseconds of a monotonic clock.
    var began: UInt64 = 0
    var form = Form.unknown
    var records = RecordReader()
    var hello = HelloReader()
    var head = HTTPHead()
    var quic = InitialReader()

    /// As new, for the next flow.
    mutating func clear(now: UInt64) {
        window.clear()
        began = now
        form = .unknown
        records = RecordReader()
        hello = HelloReader()
        head = HTTPHead()
        quic = InitialReader()
    }

    /// Reads what has arrived of a TCP stream.
    mutating func readStream(into name: inout Name) -> Reading {
        if form == .unknown {
            if window.end == 0 { return .more }
            form = window.bytes(1).u8(0) == RecordReader.handshake ? .tls : .http
        }
        if form == .http { return head.read(window.bytes(window.end), into: &name) }
        // What follows the hello in the same packet is of no account.
        let broken = records.read(&window)
        let reading = hello.read(window.bytes(records.handshakeByteCount), into: &name)
        if reading == .more, let broken { return .none(broken) }
        return reading
    }

    /// Reads a datagram of a QUIC connection.
    mutating func read(_ datagram: RawSpan, _ opener: inout InitialOpener, into name: inout Name) -> Reading {
        quic.read(datagram, &opener, &window, into: &name)
    }
}

/// The buffers of half-read flows: a fixed number, allocated once, the last used first, so that few are ever touched.
/// When all are in use the one whose turn it is goes to the new flow: about the oldest.
@safe
struct PeekPool: ~Copyable {
    var slots: [PeekSlot] = []
    private let memory: UnsafeMutableRawPointer
    private var free: [UInt16]
    private var hand = 0

    /// - Parameter capacity: 1...1024.
    init(capacity: Int) {
        precondition((1...1024).contains(capacity))
        unsafe memory = .allocate(byteCount: capacity * StreamWindow.memoryByteCount, alignment: 64)
        free = (0..<UInt16(capacity)).reversed()
        slots.reserveCapacity(capacity)
        for index in 0..<capacity {
            let base = unsafe memory + index * StreamWindow.memoryByteCount
            slots.append(PeekSlot(window: unsafe StreamWindow(base: base)))
        }
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Slots in use.
    var used: Int { slots.count - free.count }

    /// Gives a ticket a cleared slot.
    mutating func claim(for ticket: inout PeekTicket, now: UInt64) {
        let slot: UInt16
        if let last = free.popLast() {
            slot = last
        } else {
            slot = UInt16(truncatingIfNeeded: hand)
            hand = hand + 1 == slots.count ? 0 : hand + 1
        }
        let index = Int(slot)
        slots[index].clear(now: now)
        slots[index].isUsed = true
        slots[index].use &+= 1
        ticket.slot = slot
        ticket.use = slots[index].use
    }

    /// Whether the ticket's slot is still its own.
    func holds(_ ticket: PeekTicket) -> Bool {
        let index = Int(ticket.slot)
        return index < slots.count && slots[index].isUsed && slots[index].use == ticket.use
    }

    /// Takes the ticket's slot back, if it has one.
    mutating func release(_ ticket: inout PeekTicket) {
        if holds(ticket) {
            slots[Int(ticket.slot)].isUsed = false
            free.append(ticket.slot)
        }
        ticket.slot = PeekTicket.none
    }
}
