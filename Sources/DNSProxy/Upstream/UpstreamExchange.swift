import Blocklist
import Glibc
public import Kernel
public import Wire

/// Everything between "not in the cache" and "a reply we believe": asks the upstream servers over sockets of its own,
/// joins identical questions, checks what comes back, retries, goes to the next server, and to TCP where it must.
///
/// The caller gives it the events of its poller (`ready`), lets time pass (`expire`), and takes what is done
/// (`nextCompletion`) until there is nothing. One thread; no lock; no allocation for a question that goes over UDP.
public struct UpstreamExchange: ~Copyable {
    /// At most this many servers are used for names of no forward zone, and with those of the zones.
    public static let maximumServers = 16
    static let serverCapacity = 64
    /// A question fails after this many nanoseconds.
    public static let totalTime: UInt64 = 5_000_000_000
    /// A message over TCP has at least this many nanoseconds, the handshake included.
    static let streamTime: UInt64 = 1_500_000_000
    /// Datagrams looked at in one call of `nextCompletion`: a flood cannot hold the thread.
    static let datagramsPerCall = 256

    /// Those of the list, then those of forward zones that are not in it.
    var servers: [UpstreamServer] = []
    /// The list, and the zones with servers of their own.
    var list: [SocketAddress]
    var forwards = ForwardTable([])
    /// Those for names of no zone, and those of each zone.
    var usual = ServerGroup()
    var zoneServers: [ServerGroup] = []
    var sockets: UpstreamSockets
    var streams: UpstreamStreams
    var table: UpstreamTable
    var deadlines: UpstreamDeadlines
    var random = UpstreamRandom()
    var ids = UpstreamIDs()
    /// Slots whose questions have failed and were not told yet.
    var failed: [Int32]
    /// The slot of the last completion, released by the next call.
    private var finished = -1
    var buffer: [UInt8]
    private var replyCount = 0
    private let seed: UInt64
    public internal(set) var counters = Counters()

    /// - Parameters:
    ///   - servers: in order of preference; the first `maximumServers` are used.
    ///   - mark: `SO_MARK` of every socket, so that what webtun sends is not captured; 0 sets none.
    ///   - owner: the high half of this exchange's tags in the poller.
    ///   - capacity: questions in flight at most, 1 to 16384.
    /// - Throws: `KernelError` when sockets cannot be made or marked (the mark needs CAP_NET_ADMIN).
    public init(
        servers: [SocketAddress], mark: UInt32, poller: borrowing Poller, owner: UInt32, capacity: Int = 4096
    ) throws(KernelError) {
        precondition((1...16384).contains(capacity))
        let probe = UpstreamSockets.open(
            CInt(SOCK_DGRAM.rawValue), to: SocketAddress(IPAddress(v4: 0x7f00_0001), port: 9), mark: mark)
        let action = "open a UDP socket with SO_MARK 0x\(String(mark, radix: 16)) (needs CAP_NET_ADMIN)"
        _ = try Descriptor(probe, action)
        sockets = UpstreamSockets(mark: mark, owner: owner, servers: UpstreamExchange.serverCapacity)
        streams = UpstreamStreams(mark: mark, owner: owner, base: UpstreamSockets.capacity)
        table = UpstreamTable(capacity: capacity)
        deadlines = UpstreamDeadlines(capacity: capacity)
        failed = []
        failed.reserveCapacity(capacity)
        buffer = Array(repeating: 0, count: 65535)
        seed = random.next()
        list = Array(servers.prefix(UpstreamExchange.maximumServers))
        arrangeServers()
    }

    /// The servers in use for names of no forward zone, in order of preference.
    public var serverAddresses: [SocketAddress] { list }

    /// Questions in flight.
    public var inFlight: Int { table.inFlight }

    /// The message of the last completion, valid until the next call.
    public var reply: RawSpan {
        @_lifetime(borrow self)
        get { unsafe buffer.span.bytes.extracting(first: replyCount) }
    }

    /// The first `count` bytes received.
    @_lifetime(borrow self)
    func message(_ count: Int) -> RawSpan {
        unsafe buffer.span.bytes.extracting(first: count)
    }

    /// Starts a question, or joins an identical one in flight.
    ///
    /// - Parameters:
    ///   - dnssecOK, checkingDisabled: EDNS DO and header CD of the query; questions that differ in them are not joined.
    ///   - now: `Clock.monotonic`.
    /// - Returns: its slot, which comes back in one `Completion` for all who joined; -1 when the table is full.
    public mutating func ask(
        _ name: borrowing Name, qtype: UInt16, qclass: UInt16, dnssecOK: Bool, checkingDisabled: Bool, now: UInt64,
        poller: borrowing Poller
    ) -> Int {
        counters.questions += 1
        var question = UpstreamQuestion()
        question.name = copy name
        question.qtype = qtype
        question.qclass = qclass
        question.dnssecOK = dnssecOK
        question.checkingDisabled = checkingDisabled
        let hash = question.hash(seed: seed)
        let same = table.find(question, hash: hash)
        if same >= 0 {
            counters.joined += 1
            return same
        }
        for index in 0..<4 { question.capitals[index] = random.next() }
        let slot = table.insert(question, hash: hash)
        guard slot >= 0 else {
            counters.overflow += 1
            return -1
        }
        table.slots[slot].started = now
        place(slot)
        askNext(slot, now: now, poller: poller)
        if table.slots[slot].isInFlight { probe(slot, now: now, poller: poller) }
        return slot
    }

    /// A descriptor of this exchange is ready: `index` is the low half of its tag.
    public mutating func ready(index: UInt32, _ ready: Poller.Interest, now: UInt64, poller: borrowing Poller) {
        let index = Int(index)
        if index < UpstreamSockets.capacity {
            sockets.noteReadable(index)
            return
        }
        let stream = index - UpstreamSockets.capacity
        guard stream < UpstreamStreams.capacity, streams.entries[stream].number >= 0 else { return }
        if ready.contains(.write) || !streams.entries[stream].isConnected {
            let result = streams.flush(stream, poller: poller)
            if result < 0 { return streamFailed(stream, code: CInt(-result), now: now, poller: poller) }
        }
        streams.noteReadable(stream)
    }

    /// Lets time pass up to `now`: asks again, gives up, closes idle connections.
    public mutating func expire(now: UInt64, poller: borrowing Poller) {
        while let time = deadlines.firstTime, time <= now, let slot = deadlines.first {
            timeOut(slot, now: now, poller: poller)
        }
        streams.closeIdle(now: now)
    }

    /// When `expire` has something to do, in nanoseconds of `Clock.monotonic`; `nil`: nothing is awaited.
    public func nextDeadline() -> UInt64? {
        guard let first = deadlines.firstTime else { return streams.nextDeadline }
        return min(first, streams.nextDeadline ?? .max)
    }

    /// The next question that is done; `nil` when there is none for now. Call it until `nil` after every `ask`, `ready`,
    /// `expire` and `setServers`.
    public mutating func nextCompletion(now: UInt64, poller: borrowing Poller) -> Completion? {
        if finished >= 0 {
            table.release(finished)
            finished = -1
        }
        var left = UpstreamExchange.datagramsPerCall
        while left > 0 {
            left -= 1
            var done = nextFailure(now: now)
            if done == nil {
                if let index = sockets.firstReadable {
                    done = receiveDatagram(index, now: now, poller: poller)
                } else if let index = streams.firstReadable {
                    done = receiveMessage(index, now: now, poller: poller)
                } else {
                    return nil
                }
            }
            guard let done else { continue }
            finished = done.slot
            if case .reply(let byteCount) = done.outcome { replyCount = byteCount }
            return done
        }
        return nil
    }

    private mutating func nextFailure(now: UInt64) -> Completion? {
        guard let slot = failed.popLast().map(Int.init) else { return nil }
        let failure = table.slots[slot].failure
        if failure == .timeout { counters.timeouts += 1 } else { counters.failures += 1 }
        return Completion(
            slot: slot, outcome: .failed(failure), server: nil, isStream: false,
            latency: Clock.elapsed(from: table.slots[slot].started, to: now))
    }
}
