import Foundation
import Glibc
import Kernel
import Wire

/// An application that asks port 53 of some address, in the namespace of the calling thread.
struct Application {
    var address: SocketAddress
    var device: String?
    var source: IPAddress?
    var connected = false
    var isTCP = false
    var mark: UInt32 = 0
    /// An option of the socket: level, name, value.
    var option: (CInt, CInt, [UInt8])?

    init(_ text: String) { address = SocketAddress(text, defaultPort: 53)! }

    final class Query: Sendable {
        let socket: Descriptor
        let isTCP: Bool

        init(_ socket: consuming Descriptor, isTCP: Bool) {
            self.socket = socket
            self.isTCP = isTCP
        }

        /// Whether an answer is there within `seconds`; checks that it comes from where the query went, and as it went.
        func answered(_ payload: String = "query", seconds: Double = 1) -> Bool {
            var wait = pollfd(fd: socket.number, events: Int16(isTCP ? POLLOUT : POLLIN), revents: 0)
            guard poll(&wait, 1, Int32(seconds * 1000)) == 1 else { return false }
            if isTCP {
                var error: CInt = 0
                var size = socklen_t(4)
                getsockopt(socket.number, SOL_SOCKET, SO_ERROR, &error, &size)
                return error == 0
            }
            var room = [UInt8](repeating: 0, count: 9000)
            let count = recv(socket.number, &room, room.count, 0)
            return count == payload.utf8.count && Array(room[..<count]) == Array(payload.utf8)
        }
    }

    /// Sends `payload` in a datagram, or a SYN.
    func ask(_ payload: String = "query") throws -> Query {
        let type = CInt(isTCP ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let socket = try Descriptor(socket(address.family, type, 0), "socket")
        if let device {
            guard setsockopt(socket.number, SOL_SOCKET, SO_BINDTODEVICE, device, socklen_t(device.utf8.count)) == 0
            else { throw KernelError("SO_BINDTODEVICE") }
        }
        if mark != 0 {
            var mark = mark
            guard setsockopt(socket.number, SOL_SOCKET, SO_MARK, &mark, 4) == 0 else { throw KernelError("SO_MARK") }
        }
        if let option {
            guard setsockopt(socket.number, option.0, option.1, option.2, socklen_t(option.2.count)) == 0
            else { throw KernelError("setsockopt \(option)") }
        }
        if let source {
            let bound = SocketAddress(source, port: 0).withSockaddr { bind(socket.number, $0, $1) }
            guard bound == 0 else { throw KernelError("bind") }
        }
        if isTCP || connected {
            let result = address.withSockaddr { connect(socket.number, $0, $1) }
            guard result == 0 || errno == EINPROGRESS else { throw KernelError("connect") }
        }
        if !isTCP {
            let bytes = Array(payload.utf8)
            let count =
                connected
                ? send(socket.number, bytes, bytes.count, 0)
                : address.withSockaddr { sendto(socket.number, bytes, bytes.count, 0, $0, $1) }
            guard count == bytes.count else { throw KernelError("send to \(address)") }
        }
        return Query(socket, isTCP: isTCP)
    }
}
