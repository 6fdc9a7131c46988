import Glibc
import Wire

/// A queue of bytes in one piece of memory, which grows on demand only: what a connection has received and not yet used,
/// or could not yet send.
@safe
struct StreamBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    private(set) var capacity = 0
    /// The first byte in use, and the one behind the last.
    private(set) var head = 0
    private(set) var tail = 0

    init() {
        unsafe base = nil
    }

    deinit {
        unsafe free(base)
    }

    var count: Int { tail - head }
    var isEmpty: Bool { head == tail }

    /// The bytes in use; good until the buffer is changed.
    var bytes: RawSpan {
        @_lifetime(borrow self)
        get { part(head, count) }
    }

    /// `count` bytes from the buffer's own offset `offset`, used ones included.
    @_lifetime(borrow self)
    func part(_ offset: Int, _ count: Int) -> RawSpan {
        precondition(offset >= 0 && count >= 0 && offset + count <= tail)
        let bytes = unsafe RawSpan(
            _unsafeBytes: UnsafeRawBufferPointer(
                start: base.map { unsafe UnsafeRawPointer($0) + offset }, count: base == nil ? 0 : count))
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Makes room for `wanted` bytes in all.
    mutating func reserve(_ wanted: Int) {
        guard wanted > capacity else { return }
        guard let memory = unsafe realloc(base, wanted) else { fatalError("out of memory") }
        unsafe base = memory
        capacity = wanted
    }

    /// Gives back memory above `limit` bytes and forgets the contents.
    mutating func reset(keeping limit: Int) {
        head = 0
        tail = 0
        if capacity > limit {
            unsafe free(base)
            unsafe base = nil
            capacity = 0
        }
    }

    /// Takes bytes off the front; they stay where they are until the next `compact`, `append` or `receive`.
    mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= tail - head)
        head += count
    }

    /// Moves what is in use to the front.
    mutating func compact() {
        guard head > 0, let base = unsafe base else { return }
        if !isEmpty { unsafe memmove(base, base + head, count) }
        tail -= head
        head = 0
    }

    mutating func append(_ source: RawSpan) {
        compact()
        reserve(tail + source.byteCount)
        guard let base = unsafe base else { return }
        unsafe source.withUnsafeBytes {
            unsafe UnsafeMutableRawBufferPointer(start: base + tail, count: $0.count).copyMemory(from: $0)
        }
        tail += source.byteCount
    }

    /// Receives what the socket has and the buffer has room for, without waiting. Returns the count, 0 at the end of the
    /// stream, or `-errno`.
    mutating func receive(_ socket: CInt) -> Int {
        compact()
        guard let base = unsafe base, tail < capacity else { return -Int(ENOBUFS) }
        let count = unsafe recv(socket, base + tail, capacity - tail, CInt(MSG_DONTWAIT))
        guard count >= 0 else { return -Int(errno) }
        tail += count
        return count
    }

    /// Sends what the socket takes without waiting. Returns 0, or `-errno` other than `EAGAIN`.
    mutating func send(_ socket: CInt) -> Int {
        while !isEmpty, let base = unsafe base {
            let flags = CInt(MSG_DONTWAIT | MSG_NOSIGNAL)
            let count = unsafe Glibc.send(socket, base + head, count, flags)
            if count < 0 { return errno == EAGAIN || errno == EINTR ? 0 : -Int(errno) }
            consume(count)
        }
        return 0
    }
}
