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
    }

    /// The frames since the last call that contain `text`.
    func frames(with text: String) -> [[UInt8]] {
        let marker = Array(text.utf8)
        var found: [[UInt8]] = []
        var room = [UInt8](repeating: 0, count: 70_000)
        while true {
            let count = recv(socket.number, &room, room.count, 0)
            guard count > 0 else { return found }
            let frame = Array(room[..<count])
            if frame.indices.contains(where: { frame[$0...].starts(with: marker) }) { found.append(frame) }
        }
    }
}
