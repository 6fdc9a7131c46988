internal import Glibc
internal import Kernel

/// A socket that never makes its thread wait, to an `Endpoint`.
struct OutgoingSocket: ~Copyable {
    let descriptor: Descriptor

    /// Begins to connect.
    ///
    /// - Parameters:
    ///   - isStream: of a Unix socket; an IP endpoint says it itself.
    ///   - mark: `SO_MARK`, so that webtun does not capture its own packets; 0: none.
    init(_ endpoint: Endpoint, isStream: Bool, mark: UInt32) throws(KernelError) {
        let (family, type) =
            switch endpoint {
            case .unix: (AF_UNIX, isStream ? SOCK_STREAM : SOCK_DGRAM)
            case .tcp(let address): (address.family, SOCK_STREAM)
            case .udp(let address): (address.family, SOCK_DGRAM)
            }
        let kind = CInt(type.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let opened = try Descriptor(socket(family, kind, 0), "open a socket to \(endpoint)")
        let number = opened.number
        if family != AF_UNIX, mark != 0 {
            var mark = mark
            guard unsafe setsockopt(number, SOL_SOCKET, SO_MARK, &mark, socklen_t(MemoryLayout<UInt32>.size)) == 0
            else {
                throw KernelError("mark the socket to \(endpoint)")
            }
        }
        let result: CInt =
            switch endpoint {
            case .unix(let path): unsafe try UnixAddress(path).withSockaddr { unsafe connect(number, $0, $1) }
            case .tcp(let address), .udp(let address): unsafe address.withSockaddr { unsafe connect(number, $0, $1) }
            }
        // A Unix socket whose receiver's queue is full says EAGAIN, and is not connected.
        guard result == 0 || errno == EINPROGRESS else { throw KernelError("connect to \(endpoint)") }
        descriptor = opened
    }

    /// The error of a connection that was under way; nil: none.
    var pendingError: Errno? {
        var code: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe getsockopt(descriptor.number, SOL_SOCKET, SO_ERROR, &code, &size) == 0 else { return .current() }
        return code == 0 ? nil : Errno(code)
    }

    /// Sends what the kernel takes now. Returns the count, or `-errno`.
    func send(_ bytes: ArraySlice<UInt8>) -> Int {
        unsafe bytes.withUnsafeBytes { buffer in
            let count = unsafe Glibc.send(
                descriptor.number, buffer.baseAddress, buffer.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)
            )
            return count >= 0 ? count : -Int(errno)
        }
    }

    /// Receives what is there. Returns the bytes, none at the end of the stream, or nil when there are none yet.
    func receive() throws(KernelError) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe descriptor.read(into: $0) }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return nil }
        guard count >= 0 else { throw KernelError("read from the receiver", Errno(CInt(-count))) }
        return Array(bytes[..<count])
    }
}
