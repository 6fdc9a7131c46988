import Glibc
import Kernel
import Wire

/// The TCP connections of the exchange: opened when a reply is truncated or cannot be trusted, pipelined, reused and kept
/// for some idle seconds (RFC 7766 sections 6.2.1 and 6.2.3). Each message has its length in front (RFC 1035 section 4.2.2).
///
/// Owns the descriptors. One thread; a connection allocates its buffers when it opens.
struct UpstreamStreams: ~Copyable {
    struct Entry {
        var number: CInt = -1
        var server = -1
        var address = SocketAddress(IPAddress(v4: 0), port: 0)
        var isConnected = false
        /// Queries whose answer is awaited.
        var pending = 0
        var lastUse: UInt64 = 0
        var output: [UInt8] = []
        var input: [UInt8] = []
        var inputCount = 0
    }

    static let capacity = 16
    static let pipelined = 64
    static let idleTime: UInt64 = 5_000_000_000

    private let mark: UInt32
    private let owner: UInt32
    /// Added to an index to make the low half of the poller's tag.
    private let base: Int
    private(set) var entries: [Entry]
    /// Bit n: connection n is open; may have a message.
    private var open: UInt32 = 0
    private var readable: UInt32 = 0

    init(mark: UInt32, owner: UInt32, base: Int) {
        self.mark = mark
        self.owner = owner
        self.base = base
        entries = Array(repeating: Entry(), count: UpstreamStreams.capacity)
    }

    deinit {
        for entry in entries where entry.number >= 0 { close(entry.number) }
    }

    private func tag(_ index: Int) -> UInt64 { UInt64(owner) << 32 | UInt64(base + index) }

    /// A connection to a server with room for one more query: its index, or `-errno`.
    mutating func take(server: Int, address: SocketAddress, now: UInt64, poller: borrowing Poller) -> Int {
        var unused = -1
        for index in entries.indices {
            if entries[index].number < 0 {
                unused = index
            } else if entries[index].server == server, entries[index].pending < UpstreamStreams.pipelined {
                return index
            }
        }
        if unused < 0, let idle = entries.indices.first(where: { entries[$0].pending == 0 }) {
            closeEntry(idle)
            unused = idle
        }
        guard unused >= 0 else { return -Int(ENOBUFS) }
        let number = UpstreamSockets.open(CInt(SOCK_STREAM.rawValue), to: address, mark: mark)
        guard number >= 0 else { return Int(number) }
        var enabled: CInt = 1
        _ = unsafe setsockopt(
            number, CInt(IPPROTO_TCP), TCP_NODELAY, &enabled, socklen_t(MemoryLayout<CInt>.size))
        do {
            try poller.add(number, tag: tag(unused), [.read, .write])
        } catch {
            close(number)
            return -Int(error.errno.code)
        }
        entries[unused] = Entry(number: number, server: server, address: address, lastUse: now)
        open |= 1 << UInt32(unused)
        return unused
    }

    /// Queues one query with its length and sends what the kernel takes.
    ///
    /// - Returns: 0 or `-errno`; the caller then closes the connection.
    mutating func send(_ index: Int, _ message: RawSpan, now: UInt64, poller: borrowing Poller) -> Int {
        entries[index].output.append(UInt8(truncatingIfNeeded: message.byteCount >> 8))
        entries[index].output.append(UInt8(truncatingIfNeeded: message.byteCount))
        for offset in 0..<message.byteCount { entries[index].output.append(message.u8(offset)) }
        entries[index].lastUse = now
        return entries[index].isConnected ? flush(index, poller: poller) : 0
    }

    /// The kernel is ready to take bytes, or the connection has been made or refused. Returns 0 or `-errno`.
    mutating func flush(_ index: Int, poller: borrowing Poller) -> Int {
        let number = entries[index].number
        if !entries[index].isConnected {
            var code: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            _ = unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &code, &size)
            if code != 0 { return -Int(code) }
            entries[index].isConnected = true
        }
        while !entries[index].output.isEmpty {
            let count = unsafe entries[index].output.withUnsafeBytes { bytes in
                unsafe Glibc.send(number, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            }
            if count < 0 {
                guard errno == EAGAIN else { return -Int(errno) }
                break
            }
            entries[index].output.removeFirst(count)
        }
        let interest: Poller.Interest = entries[index].output.isEmpty ? .read : [.read, .write]
        do { try poller.modify(number, tag: tag(index), interest) } catch { return -Int(error.errno.code) }
        return 0
    }

    /// Moves one whole message into `buffer`, reading what has come.
    ///
    /// - Returns: its length in bytes, `-EAGAIN` when more must come first, or another `-errno`
    ///   (`-ECONNRESET` also when the server closed its side).
    mutating func receive(_ index: Int, into buffer: inout [UInt8]) -> Int {
        let number = entries[index].number
        guard number >= 0 else { return -Int(EAGAIN) }
        while true {
            let have = entries[index].inputCount
            if have >= 2 {
                let length = Int(entries[index].input[0]) << 8 | Int(entries[index].input[1])
                if have >= 2 + length {
                    for offset in 0..<length { buffer[offset] = entries[index].input[2 + offset] }
                    entries[index].input.removeFirst(2 + length)
                    entries[index].inputCount = have - 2 - length
                    return length
                }
            }
            let room = 4096
            if entries[index].input.count < have + room {
                entries[index].input.append(
                    contentsOf: repeatElement(0, count: have + room - entries[index].input.count))
            }
            let count = unsafe entries[index].input.withUnsafeMutableBytes { bytes in
                unsafe recv(number, bytes.baseAddress.map { unsafe $0 + have }, room, CInt(MSG_DONTWAIT))
            }
            if count == 0 { return -Int(ECONNRESET) }
            if count < 0 { return -Int(errno) }
            entries[index].inputCount += count
        }
    }

    mutating func hold(_ index: Int) {
        entries[index].pending += 1
    }

    mutating func drop(_ index: Int, now: UInt64) {
        entries[index].pending -= 1
        entries[index].lastUse = now
    }

    mutating func noteReadable(_ index: Int) {
        if entries[index].number >= 0 { readable |= 1 << UInt32(index) }
    }

    mutating func clearReadable(_ index: Int) {
        readable &= ~(1 << UInt32(index))
    }

    var firstReadable: Int? { readable == 0 ? nil : readable.trailingZeroBitCount }

    /// When the next idle connection is to be closed.
    var nextDeadline: UInt64? {
        guard open != 0 else { return nil }
        var earliest: UInt64?
        for index in entries.indices where entries[index].number >= 0 && entries[index].pending == 0 {
            earliest = min(earliest ?? .max, entries[index].lastUse + UpstreamStreams.idleTime)
        }
        return earliest
    }

    mutating func closeIdle(now: UInt64) {
        guard open != 0 else { return }
        for index in entries.indices where entries[index].number >= 0 && entries[index].pending == 0 {
            if now >= entries[index].lastUse + UpstreamStreams.idleTime { closeEntry(index) }
        }
    }

    /// No more queries through this connection, which lives until `closeEntry`.
    mutating func shut(_ index: Int) {
        entries[index].server = -1
        entries[index].pending += 1
    }

    mutating func closeEntry(_ index: Int) {
        guard entries[index].number >= 0 else { return }
        close(entries[index].number)
        entries[index] = Entry()
        open &= ~(1 << UInt32(index))
        readable &= ~(1 << UInt32(index))
    }

    /// Connections without a query end; the others belong to no server of the list any more.
    mutating func orphanAll() {
        for index in entries.indices where entries[index].number >= 0 {
            entries[index].server = -1
            if entries[index].pending == 0 { closeEntry(index) }
        }
    }
}
