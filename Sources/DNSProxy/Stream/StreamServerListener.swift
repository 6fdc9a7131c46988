import Glibc
public import Kernel
import Wire

/// Why the listener for redirected TCP connections cannot be opened.
public enum StreamServerError: Error, Equatable, Sendable, CustomStringConvertible {
    case portInUse(SocketAddress)
    case noSuchDevice(String)
    case kernel(SocketAddress, KernelError)

    public var description: String {
        switch self {
        case .portInUse(let address):
            "listen for TCP queries on \(address): another program uses the port; stop it (`ss -ltnp` tells which) or "
                + "choose another listener port"
        case .noSuchDevice(let device):
            "listen for TCP queries: there is no device \(device); the TUN must be up before the listener"
        case .kernel(let address, let error):
            "listen for TCP queries on \(address): \(error)"
        }
    }
}

/// A listening socket that only the tunnel reaches.
struct StreamListener: ~Copyable {
    static let backlog: CInt = 1024
    /// Bytes of replies, two of the longest.
    static let sendBuffer: CInt = 131_072

    let descriptor: Descriptor

    /// - Parameter device: the socket takes connections that arrive on this device only (`SO_BINDTODEVICE`): the kernel
    ///   would else take packets for the address from every link. `nil`: from anywhere.
    init(_ address: SocketAddress, device: String?) throws(StreamServerError) {
        do throws(KernelError) {
            descriptor = try StreamListener.open(address, device: device)
        } catch {
            if let device, error.errno == Errno(ENODEV) { throw .noSuchDevice(device) }
            throw error.errno == Errno(EADDRINUSE) ? .portInUse(address) : .kernel(address, error)
        }
    }

    private static func open(_ address: SocketAddress, device: String?) throws(KernelError) -> Descriptor {
        let type = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = try Descriptor(socket(address.family, type, 0), "socket")
        let number = descriptor.number
        try set(number, SOL_SOCKET, SO_REUSEADDR, 1)
        // Both pass on to accepted sockets. The kernel would else keep megabytes for a client that does not read.
        try set(number, SOL_SOCKET, SO_SNDBUF, sendBuffer)
        try set(number, CInt(IPPROTO_TCP), TCP_NODELAY, 1)
        // The address may still be on its way to the device.
        try set(number, CInt(IPPROTO_IP), IP_FREEBIND, 1)
        if address.address.isIPv6 { try set(number, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        if let device {
            let result = unsafe device.withCString {
                unsafe setsockopt(number, SOL_SOCKET, SO_BINDTODEVICE, $0, socklen_t(strlen($0) + 1))
            }
            if result < 0 { throw KernelError("bind to device \(device)") }
        }
        if unsafe address.withSockaddr({ unsafe bind(number, $0, $1) }) < 0 { throw KernelError("bind") }
        if listen(number, backlog) < 0 { throw KernelError("listen") }
        return descriptor
    }

    private static func set(
        _ number: CInt, _ level: CInt, _ option: CInt, _ value: CInt
    ) throws(KernelError) {
        var value = value
        if unsafe setsockopt(number, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) < 0 {
            throw KernelError("setsockopt \(option)")
        }
    }
}
