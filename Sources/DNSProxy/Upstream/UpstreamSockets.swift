import Glibc
import Kernel
import Wire

/// The UDP sockets of the exchange: for each server a few connected sockets, each on a random port of the kernel's
/// ephemeral range, chosen at random for each query and replaced after some queries or some time. A connected socket
/// receives only from its server, and tells ICMP errors at once.
///
/// Owns the descriptors. One thread; no allocation after `init`.
struct UpstreamSockets: ~Copyable {
    struct Entry {
        var number: CInt = -1
        /// Index into the servers, -1 once they changed.
        var server = -1
        var address = SocketAddress(IPAddress(v4: 0), port: 0)
        /// Queries sent, queries whose answer is awaited, and datagrams nobody asked for.
        var sent = 0
        var pending = 0
        var strays = 0
        var openedAt: UInt64 = 0
        var isRetired = false
        var isReadable = false
    }

    /// Sockets a server has at a time; sockets in all, those included that wait for a last answer.
    static let width = 8
    static let capacity = 1024
    static let queriesPerSocket = 64
    static let straysPerSocket = 32
    static let maximumAge: UInt64 = 60_000_000_000

    private let mark: UInt32
    private let owner: UInt32
    private(set) var entries: [Entry]
    private var free: [Int16]
    private var lanes: [Int16]
    private var readable: [Int16]

    init(mark: UInt32, owner: UInt32, servers: Int) {
        self.mark = mark
        self.owner = owner
        entries = Array(repeating: Entry(), count: UpstreamSockets.capacity)
        free = Array((0..<Int16(UpstreamSockets.capacity)).reversed())
        lanes = Array(repeating: -1, count: servers * UpstreamSockets.width)
        readable = []
        readable.reserveCapacity(UpstreamSockets.capacity)
    }

    deinit {
        for entry in entries where entry.number >= 0 { close(entry.number) }
    }

    /// Opens a marked, non-blocking socket connected to `address`. Returns its descriptor or `-errno`.
    static func open(_ type: CInt, to address: SocketAddress, mark: UInt32) -> CInt {
        let number = socket(address.family, type | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { return -errno }
        var value = mark
        let size = socklen_t(MemoryLayout<UInt32>.size)
        if mark != 0, unsafe setsockopt(number, SOL_SOCKET, SO_MARK, &value, size) < 0 {
            let code = errno
            close(number)
            return -code
        }
        let result = unsafe address.withSockaddr { pointer, length in unsafe connect(number, pointer, length) }
        if result < 0, errno != EINPROGRESS {
            let code = errno
            close(number)
            return -code
        }
        return number
    }

    /// A socket for one more query to a server: its index, or `-errno`.
    mutating func take(
        server: Int, address: SocketAddress, now: UInt64, random: inout UpstreamRandom, poller: borrowing Poller
    ) -> Int {
        let lane = server * UpstreamSockets.width + random.below(UpstreamSockets.width)
        let current = Int(lanes[lane])
        if current >= 0 {
            let isFresh =
                entries[current].sent < UpstreamSockets.queriesPerSocket
                && entries[current].strays < UpstreamSockets.straysPerSocket
                && Clock.elapsed(from: entries[current].openedAt, to: now) < UpstreamSockets.maximumAge
            // With every entry waiting for answers an old port is better than none.
            if isFresh || free.isEmpty { return current }
            lanes[lane] = -1
            retire(current)
        }
        guard !free.isEmpty else { return -Int(ENOBUFS) }
        let index = free[free.count - 1]
        let number = UpstreamSockets.open(CInt(SOCK_DGRAM.rawValue), to: address, mark: mark)
        guard number >= 0 else { return Int(number) }
        do {
            try poller.add(number, tag: UInt64(owner) << 32 | UInt64(index), .read)
        } catch {
            close(number)
            return -Int(error.errno.code)
        }
        free.removeLast()
        entries[Int(index)] = Entry(number: number, server: server, address: address, openedAt: now)
        lanes[lane] = index
        return Int(index)
    }

    /// Sends one query. Returns 0 or `-errno`.
    mutating func send(_ index: Int, _ message: RawSpan) -> Int {
        let number = entries[index].number
        let count = unsafe message.withUnsafeBytes { bytes in
            unsafe Glibc.send(number, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
        }
        guard count < 0 else {
            entries[index].sent += 1
            return 0
        }
        return -Int(errno)
    }

    /// Receives one datagram. Returns its length in bytes or `-errno`.
    func receive(_ index: Int, into buffer: inout [UInt8]) -> Int {
        let number = entries[index].number
        guard number >= 0 else { return -Int(EAGAIN) }
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe recv(number, bytes.baseAddress, bytes.count, CInt(MSG_DONTWAIT))
        }
        return count >= 0 ? count : -Int(errno)
    }

    mutating func hold(_ index: Int) {
        entries[index].pending += 1
    }

    /// One answer less is awaited; a retired socket closes with its last.
    mutating func drop(_ index: Int) {
        entries[index].pending -= 1
        if entries[index].isRetired, entries[index].pending == 0 { closeEntry(index) }
    }

    mutating func noteStray(_ index: Int) {
        entries[index].strays += 1
    }

    /// No more queries through this socket.
    mutating func retire(_ index: Int) {
        guard !entries[index].isRetired, entries[index].number >= 0 else { return }
        let server = entries[index].server
        if server >= 0 {
            for lane in server * UpstreamSockets.width..<(server + 1) * UpstreamSockets.width
            where Int(lanes[lane]) == index {
                lanes[lane] = -1
            }
        }
        entries[index].isRetired = true
        if entries[index].pending == 0 { closeEntry(index) }
    }

    /// Retires all and forgets which server they belong to.
    mutating func retireAll() {
        for index in entries.indices where entries[index].number >= 0 {
            retire(index)
            entries[index].server = -1
        }
    }

    private mutating func closeEntry(_ index: Int) {
        close(entries[index].number)
        let wasReadable = entries[index].isReadable
        entries[index] = Entry()
        // Still in the list of readable sockets: the entry is given back when its turn there comes.
        entries[index].isReadable = wasReadable
        if !wasReadable { free.append(Int16(index)) }
    }

    // MARK: - Readable sockets, in the order of their events

    mutating func noteReadable(_ index: Int) {
        guard index < entries.count, entries[index].number >= 0, !entries[index].isReadable else { return }
        entries[index].isReadable = true
        readable.append(Int16(index))
    }

    var firstReadable: Int? { readable.isEmpty ? nil : Int(readable[readable.count - 1]) }

    /// The socket that came last from `firstReadable` has nothing more.
    mutating func clearReadable() {
        guard let index = readable.popLast() else { return }
        entries[Int(index)].isReadable = false
        if entries[Int(index)].number < 0 { free.append(index) }
    }
}
