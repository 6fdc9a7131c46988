import Glibc
public import Kernel

/// Asks a DNS server with an ordinary socket. Without webtun's mark a captured link brings the query to webtun like any
/// application's; with it the query goes past the capture. Blocks its thread.
public struct QueryClient: Sendable {
    public enum Failure: Error, Sendable, CustomStringConvertible {
        case noAnswer(SocketAddress, isStream: Bool)
        case kernel(KernelError)

        public var description: String {
            switch self {
            case .noAnswer(let server, let isStream): "no answer from \(server) over \(isStream ? "TCP" : "UDP")"
            case .kernel(let error): error.description
            }
        }
    }

    public struct Reply: Sendable {
        public let message: [UInt8]
        /// Nanoseconds from the sending to the answer.
        public let time: UInt64
        public let isStream: Bool
    }

    private let server: SocketAddress
    /// Seconds for one try.
    private let patience: Int
    private let tries = 2
    /// `SO_MARK`; 0: none.
    private let mark: UInt32

    public init(server: SocketAddress, patience: Int = 3, mark: UInt32 = 0) {
        self.server = server
        self.patience = patience
        self.mark = mark
    }

    /// Sends a whole DNS message and returns the reply to it: same id, same question.
    ///
    /// - Parameter isStream: over TCP. Over UDP, a truncated reply is asked for again over TCP (RFC 7766 section 5).
    public func ask(_ message: [UInt8], isStream: Bool) throws(Failure) -> Reply {
        do {
            if !isStream {
                for _ in 0..<tries {
                    guard let reply = try datagram(message) else { continue }
                    // TC, the second bit of the third byte's lower half (RFC 1035 section 4.1.1).
                    if reply.message[2] & 2 == 0 { return reply }
                    break
                }
            }
            if let reply = try stream(message) { return reply }
        } catch {
            throw .kernel(error)
        }
        throw .noAnswer(server, isStream: isStream)
    }

    private func connected(_ kind: CInt) throws(KernelError) -> Descriptor {
        let descriptor = try Descriptor(socket(server.family, kind | CInt(SOCK_CLOEXEC.rawValue), 0), "open a socket")
        var patience = timeval(tv_sec: patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            unsafe setsockopt(
                descriptor.number, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        var mark = mark
        // Who may not set it (CAP_NET_ADMIN) asks like any program.
        if mark != 0 {
            unsafe setsockopt(descriptor.number, SOL_SOCKET, SO_MARK, &mark, socklen_t(MemoryLayout<UInt32>.size))
        }
        guard unsafe server.withSockaddr({ unsafe connect(descriptor.number, $0, $1) }) == 0 else {
            let errno = Errno.current()
            // What SO_SNDTIMEO makes of a connection that is not answered.
            throw KernelError("connect to \(server)", errno.code == EINPROGRESS ? Errno(ETIMEDOUT) : errno)
        }
        return descriptor
    }

    private func datagram(_ message: [UInt8]) throws(KernelError) -> Reply? {
        let descriptor = try connected(CInt(SOCK_DGRAM.rawValue))
        let start = Clock.monotonic()
        try send(message, descriptor)
        var buffer = [UInt8](repeating: 0, count: 65_535)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
            if count == -Int(EAGAIN) { return nil }
            guard count >= 0 else { throw KernelError("ask \(server)", Errno(CInt(-count))) }
            let reply = Array(buffer[..<count])
            if QueryClient.answers(reply, message) {
                return Reply(message: reply, time: Clock.monotonic() - start, isStream: false)
            }
        }
    }

    private func stream(_ message: [UInt8]) throws(KernelError) -> Reply? {
        let start = Clock.monotonic()
        let descriptor = try connected(CInt(SOCK_STREAM.rawValue))
        try send([UInt8(message.count >> 8), UInt8(message.count & 255)] + message, descriptor)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_537)
        while bytes.count < 2 || bytes.count < 2 + Int(bytes[0]) << 8 + Int(bytes[1]) {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
            if count == -Int(EAGAIN) || count == 0 { return nil }
            guard count > 0 else { throw KernelError("ask \(server)", Errno(CInt(-count))) }
            bytes += buffer[..<count]
        }
        let reply = Array(bytes[2...])
        guard QueryClient.answers(reply, message) else { return nil }
        return Reply(message: reply, time: Clock.monotonic() - start, isStream: true)
    }

    private func send(_ bytes: [UInt8], _ descriptor: borrowing Descriptor) throws(KernelError) {
        let number = descriptor.number
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(number, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
        }
        guard sent == bytes.count else { throw KernelError("ask \(server)") }
    }

    /// Whether it is a reply with the id and question of the query (a FORMERR may have none).
    private static func answers(_ reply: [UInt8], _ query: [UInt8]) -> Bool {
        guard reply.count >= 12, reply[0] == query[0], reply[1] == query[1], reply[2] & 0x80 != 0 else { return false }
        guard reply[4] != 0 || reply[5] != 0 else { return true }
        // The question of a query that `QueryMessage` composed: up to the 11 bytes of the OPT record.
        let question = query[12..<query.count - 11]
        return reply.count >= 12 + question.count
            && zip(reply[12..<12 + question.count], question).allSatisfy { lower($0) == lower($1) }
    }

    private static func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte | 0x20 : byte }
}
