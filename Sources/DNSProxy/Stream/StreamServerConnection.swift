import Glibc
import Kernel
import Wire

/// One accepted connection: its socket, what it has received, what it could not yet send, and the framing of DNS messages
/// by a two-byte length (RFC 1035 section 4.2.2).
struct StreamConnection: ~Copyable {
    /// The usual input buffer in bytes: some forty queries. One long message makes it grow.
    static let inputByteCount = 2048
    /// Bytes that may wait for a peer that does not read; more than that and the connection is closed.
    static let outputLimit = 1 << 20

    private(set) var descriptor = Descriptor(owning: -1)
    private(set) var peer = SocketAddress(IPAddress(v4: 0), port: 0)
    /// Counts the connections of this slot, so that a late reply does not reach the next one.
    private(set) var generation: UInt32 = 0
    private(set) var input = StreamBuffer()
    private(set) var output = StreamBuffer()
    /// The peer has closed its half.
    private(set) var isEnded = false
    /// Queries handed out and not answered.
    var outstanding = 0
    /// What the poller watches the socket for.
    var interest: Poller.Interest = .read
    /// In the server's line of connections that may have a query.
    var isInLine = false

    var isOpen: Bool { descriptor.number >= 0 }

    /// Every query has its reply, and all replies are sent.
    var isAnswered: Bool { outstanding == 0 && output.isEmpty }

    mutating func open(_ accepted: consuming Descriptor, peer: SocketAddress) {
        descriptor = accepted
        self.peer = peer
        generation &+= 1
        isEnded = false
        outstanding = 0
        interest = .read
        input.reserve(StreamConnection.inputByteCount)
    }

    mutating func close() {
        descriptor = Descriptor(owning: -1)
        input.reset(keeping: StreamConnection.inputByteCount)
        output.reset(keeping: 0)
    }

    /// Whether the socket must go: the peer reset it, or it failed.
    var isBroken: Bool {
        var state = pollfd(fd: descriptor.number, events: 0, revents: 0)
        return unsafe poll(&state, 1, 0) > 0 && CInt(state.revents) & (POLLERR | POLLHUP) != 0
    }

    /// The message at the front of the input.
    enum Front {
        case message(byteCount: Int)
        case incomplete
        /// Shorter than a DNS header: the stream cannot be trusted any more.
        case malformed
    }

    var front: Front {
        guard input.count >= 2 else { return .incomplete }
        let length = Int(input.bytes.u16(0))
        if length < Query.headerByteCount { return .malformed }
        return input.count >= length + 2 ? .message(byteCount: length) : .incomplete
    }

    var hasRoom: Bool { input.count < input.capacity }

    /// Reads from the socket once. False when the connection has failed.
    mutating func receive() -> Bool {
        let count = input.receive(descriptor.number)
        if count == 0 { isEnded = true }
        guard count >= 0 || [-Int(EAGAIN), -Int(EINTR), -Int(ENOBUFS)].contains(count) else { return false }
        if case .incomplete = front, input.count >= 2 { input.reserve(Int(input.bytes.u16(0)) + 2) }
        return true
    }

    /// Takes the message at the front and returns its offset in the input; it stays there until the next `receive`.
    mutating func take(_ byteCount: Int) -> Int {
        let offset = input.head + 2
        input.consume(byteCount + 2)
        return offset
    }

    /// Sends a message with its length, or keeps what the socket does not take. False when the connection must be closed.
    mutating func send(_ message: RawSpan) -> Bool {
        guard message.byteCount <= Int(UInt16.max) else { return false }
        let length = InlineArray<2, UInt8> { UInt8(truncatingIfNeeded: message.byteCount >> (8 - 8 * $0)) }
        if output.isEmpty {
            let sent = unsafe StreamConnection.send(descriptor.number, length.span.bytes, message)
            if sent < 0 { return false }
            if sent == message.byteCount + 2 { return true }
            unsafe output.append(length.span.bytes.from(min(sent, 2)))
            output.append(message.from(max(sent, 2) - 2))
        } else {
            unsafe output.append(length.span.bytes)
            output.append(message)
        }
        return output.count <= StreamConnection.outputLimit
    }

    /// Sends what waits. False when the connection has failed.
    mutating func flush() -> Bool {
        guard output.send(descriptor.number) == 0 else { return false }
        if output.isEmpty { output.reset(keeping: 0) }
        return true
    }

    /// Both parts in one call, so that they share a segment (RFC 7766 section 8). Returns the bytes sent, or `-errno`.
    private static func send(_ socket: CInt, _ length: RawSpan, _ message: RawSpan) -> Int {
        unsafe length.withUnsafeBytes { length in
            unsafe message.withUnsafeBytes { message in
                var parts = unsafe (
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: length.baseAddress), iov_len: length.count),
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: message.baseAddress), iov_len: message.count)
                )
                return unsafe withUnsafeMutableBytes(of: &parts) { parts in
                    var header = unsafe msghdr()
                    unsafe header.msg_iov = parts.baseAddress?.assumingMemoryBound(to: iovec.self)
                    unsafe header.msg_iovlen = 2
                    let count = unsafe sendmsg(socket, &header, CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
                    if count >= 0 { return count }
                    return errno == EAGAIN || errno == EINTR ? 0 : -Int(errno)
                }
            }
        }
    }
}
