import CTunnel
import Glibc
import Kernel

/// Sees every frame of a namespace's links, as tcpdump would.
final class Sniffer: Sendable {
    private let socket: Descriptor

    /// Starts listening in the namespace of the calling thread.
    init() throws {
        let all = UInt16(0x0003).bigEndian
        let type = CInt(SOCK_RAW.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        socket = try Descriptor(Glibc.socket(AF_PACKET, type, CInt(all)), "open a packet socket")
        var on: CInt = 1
        let set = setsockopt(socket.number, 263 /* SOL_PACKET */, 8 /* PACKET_AUXDATA */, &on, 4)
        if set < 0 { throw KernelError("PACKET_AUXDATA") }
    }

    /// The frames since the last call that contain `text`.
    func frames(with text: String) -> [[UInt8]] { tagged(with: text).map(\.bytes) }

    /// The same with the VLAN tag (TCI) that the kernel keeps beside the frame.
    func tagged(with text: String) -> [(bytes: [UInt8], tag: UInt16?)] {
        let marker = Array(text.utf8)
        var found: [(bytes: [UInt8], tag: UInt16?)] = []
        var room = [UInt8](repeating: 0, count: 70_000)
        var control = [UInt8](repeating: 0, count: 128)
        while true {
            let (count, controlCount) = room.withUnsafeMutableBytes { room in
                control.withUnsafeMutableBytes { control in
                    var vector = iovec(iov_base: room.baseAddress, iov_len: room.count)
                    var message = msghdr()
                    return withUnsafeMutablePointer(to: &vector) { vector in
                        message.msg_iov = vector
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = control.count
                        let count = recvmsg(socket.number, &message, 0)
                        return (count, message.msg_controllen)
                    }
                }
            }
            guard count > 0 else { return found }
            let frame = Array(room[..<count])
            guard frame.indices.contains(where: { frame[$0...].starts(with: marker) }) else { continue }
            // cmsghdr, then struct tpacket_auxdata: status at 0, the TCI at 16.
            let status = control[16..<20].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let hasTag = controlCount >= 36 && status & 0x10 != 0
            found.append((frame, hasTag ? UInt16(control[32]) | UInt16(control[33]) << 8 : nil))
        }
    }

    /// Sends a whole frame by a link.
    func send(_ frame: [UInt8], to link: String) throws {
        // struct sockaddr_ll
        var address = [UInt8](repeating: 0, count: 20)
        address[0] = UInt8(AF_PACKET)
        address[4] = UInt8(if_nametoindex(link))
        address[11] = 6
        let count = address.withUnsafeBytes {
            sendto(socket.number, frame, frame.count, 0, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, 20)
        }
        if count != frame.count { throw KernelError("send a frame by \(link)") }
    }
}
