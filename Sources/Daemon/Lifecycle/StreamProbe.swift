import Glibc
import Kernel
import PacketTunnel
import Synchronization
import Wire

/// Looks whether DNS over TCP gets through: segments to port 53 come back into this machine by the TUN, on their way to
/// webtun's listener, and a firewall may drop what comes in by a link it does not know.
extension Session {
    func probeStreams(_ engine: RunningEngine) async throws {
        let device = configuration.tunnel.name
        try await OwnThread.repeating("webtun-probe") { [self] pace in
            var pause: CInt = 1000
            while pace.wait(milliseconds: pause) {
                pause = 30_000
                let upstreams = state.withLock { $0.upstreams }
                let isDropped = [false, true].contains { isIPv6 in
                    guard let server = upstreams.first(where: { $0.address.isIPv6 == isIPv6 }) else { return false }
                    return StreamProbe.isDropped(server, engine.capture)
                }
                let problem = """
                    DNS over TCP gets no answer: a firewall of this machine seems to drop what comes in by \(device); \
                    let it in, with nftables: iifname "\(device)" accept
                    """
                report(.streams, isDropped ? problem : nil)
            }
        }
    }
}

enum StreamProbe {
    /// Milliseconds that a connection may take: the kernel sends the first segment three times by then.
    private static let patience: CInt = 3500

    /// Opens a connection to port 53 as any application does, and closes it. Nothing is sent over it.
    ///
    /// - Returns: true when its segments came to webtun and on into this machine's stack, and no answer came.
    static func isDropped(_ server: SocketAddress, _ capture: any Capture) -> Bool {
        let before = capture.counters.local
        guard connect(server) == ETIMEDOUT else { return false }
        // `route` counts nothing, and takes this connection in any case.
        return capture.state.isCapturing && (capture.state.backEnd == .route || capture.counters.local > before)
    }

    /// Blocks for `patience` at most. Returns the error, 0 when connected.
    private static func connect(_ server: SocketAddress) -> CInt {
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let number = socket(server.family, kind, 0)
        guard number >= 0 else { return errno }
        let descriptor = Descriptor(owning: number)
        var server = server
        server.port = 53
        if unsafe server.withSockaddr({ unsafe Glibc.connect(descriptor.number, $0, $1) }) == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        var entry = pollfd(fd: descriptor.number, events: Int16(POLLOUT), revents: 0)
        guard unsafe poll(&entry, 1, patience) == 1 else { return ETIMEDOUT }
        var code: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        unsafe getsockopt(descriptor.number, SOL_SOCKET, SO_ERROR, &code, &size)
        return code
    }
}
