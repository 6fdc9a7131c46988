import CKernel
import Glibc

extension Descriptor {
    /// Accepts a connection of a listening socket, close-on-exec and non-blocking from the start (`accept4(2)`).
    ///
    /// - Parameter peer: becomes the other end's address when it is an IP address, else stays.
    /// - Returns: a new descriptor that the caller must own, or `-errno`.
    public func accept(peer: inout SocketAddress) -> CInt {
        let flags = CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        var result: CInt = 0
        let address = unsafe SocketAddress.filled { unsafe result = ckernel_accept4(number, $0, &$1, flags) }
        if result >= 0, let address { peer = address }
        return result
    }
}
