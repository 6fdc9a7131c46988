import Foundation
import Glibc
import Kernel
import Synchronization
import Wire

/// A TCP connection or an exchange of datagrams between two namespaces, with content that is checked on both sides.
struct Conversation: Sendable {
    /// The socket that listens, when it is kept.
    let listener: CInt?
    /// Of the side that opens.
    let client: SocketAddress
    let server: SocketAddress
    let clientSocket: CInt
    let serverSocket: CInt
    let isTCP: Bool

    private static func wait(_ socket: CInt) {
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// - Parameters:
    ///   - from: the namespace of the side that opens; `nil`: that of the calling thread.
    ///   - server: the address and port where the other side listens, in namespace `to`.
    static func open(
        from: String? = nil, to: String, _ address: String, isTCP: Bool = true, keepsListening: Bool = false
    ) throws -> Conversation {
        let server = SocketAddress(address, defaultPort: 7)!
        let type = CInt(isTCP ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let listener = try Lab.inside(to) {
            let listener = socket(server.family, type, 0)
            var on: CInt = 1
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            guard server.withSockaddr({ bind(listener, $0, $1) }) == 0 else { throw KernelError("bind \(server)") }
            if isTCP, listen(listener, 8) != 0 { throw KernelError("listen") }
            return listener
        }
        wait(listener)
        let connect = { @Sendable () throws -> CInt in
            let client = socket(server.family, type, 0)
            wait(client)
            guard server.withSockaddr({ Glibc.connect(client, $0, $1) }) == 0 else {
                let error = KernelError("connect to \(server)")
                close(client)
                close(listener)
                throw error
            }
            return client
        }
        let client = try from.map { try Lab.inside($0, connect) } ?? connect()
        var accepted = listener
        if isTCP {
            accepted = accept(listener, nil, nil)
            if !keepsListening { close(listener) }
            guard accepted >= 0 else { throw KernelError("accept") }
            wait(accepted)
        } else {
            // The server learns whom it speaks to with the first datagram.
            _ = send(client, "hello", 5, 0)
            var peer = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            var room = [UInt8](repeating: 0, count: 16)
            let connected = withUnsafeMutablePointer(to: &peer) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
                    guard recvfrom(accepted, &room, room.count, 0, peer, &size) == 5 else { return false }
                    return Glibc.connect(accepted, peer, size) == 0
                }
            }
            guard connected else { throw KernelError("the first datagram") }
        }
        return Conversation(
            listener: isTCP && keepsListening ? listener : nil,
            client: Conversation.name(client), server: server, clientSocket: client, serverSocket: accepted,
            isTCP: isTCP)
    }

    private static func name(_ socket: CInt) -> SocketAddress {
        SocketAddress.filled { _ = getsockname(socket, $0, &$1) }!
    }

    /// As the side that opens sees it.
    var key: FlowKey {
        FlowKey(
            source: client.address, sourcePort: client.port, destination: server.address, destinationPort: server.port,
            proto: isTCP ? 6 : 17)
    }

    /// `SO_COOKIE` of the side that opens.
    var cookie: UInt64 {
        var cookie: UInt64 = 0
        var size = socklen_t(8)
        getsockopt(clientSocket, SOL_SOCKET, 57, &cookie, &size)
        return cookie
    }

    /// Bytes that one side's TCP has sent, what it sent again included (`tcpi_bytes_sent` of linux/tcp.h).
    func sent(up: Bool) -> UInt64 {
        var info = [UInt8](repeating: 0, count: 256)
        var size = socklen_t(info.count)
        getsockopt(up ? clientSocket : serverSocket, CInt(IPPROTO_TCP), TCP_INFO, &info, &size)
        precondition(size >= 208, "a kernel whose TCP_INFO has no tcpi_bytes_sent")
        return info.withUnsafeBytes { $0.load(fromByteOffset: 200, as: UInt64.self) }
    }

    /// Sends this many bytes from one side to the other; true when they came as they were.
    func carry(_ byteCount: Int, up: Bool) -> Bool {
        let (from, to) = up ? (clientSocket, serverSocket) : (serverSocket, clientSocket)
        // A period that is no multiple of anything, so that a lost or doubled part shows.
        let period = (0..<4999).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        var content: [UInt8] = []
        while content.count < byteCount { content += period.prefix(byteCount - content.count) }
        let bytes = content
        let sent = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            var at = 0
            while at < byteCount {
                let count = bytes.withUnsafeBytes {
                    send(from, $0.baseAddress! + at, byteCount - at, CInt(MSG_NOSIGNAL))
                }
                if count <= 0 { break }
                at += count
            }
            sent.signal()
        }
        var received: [UInt8] = []
        received.reserveCapacity(byteCount)
        var room = [UInt8](repeating: 0, count: 1 << 18)
        while received.count < byteCount {
            let count = recv(to, &room, room.count, 0)
            if count <= 0 { break }
            received += room[..<count]
        }
        sent.wait()
        return received == content
    }

    /// Exchanges so many datagrams of so many bytes, one after the other; returns how many answers came.
    func exchange(_ count: Int, bytes: Int) -> Int {
        let content = [UInt8](repeating: 0x61, count: bytes)
        var room = [UInt8](repeating: 0, count: 70_000)
        var done = 0
        for _ in 0..<count {
            guard send(clientSocket, content, bytes, 0) == bytes, recv(serverSocket, &room, room.count, 0) == bytes,
                send(serverSocket, content, bytes, 0) == bytes, recv(clientSocket, &room, room.count, 0) == bytes
            else { continue }
            done += 1
        }
        return done
    }

    func end() {
        close(clientSocket)
        close(serverSocket)
        if let listener { close(listener) }
    }
}
