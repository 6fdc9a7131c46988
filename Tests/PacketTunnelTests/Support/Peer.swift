import Foundation
import Glibc
import PacketTunnel
import Wire

/// Plays webtun's part on the TUN: answers UDP with its own payload, TCP SYN with SYN-ACK, and keeps what it saw.
struct Peer: ~Copyable {
    let tun: TunDevice
    private(set) var seen: [Packet] = []

    init(_ tun: consuming TunDevice) { self.tun = tun }

    /// Handles packets to port 53 until `count` of them came or `seconds` are over; returns how many came.
    mutating func answer(_ count: Int, seconds: Double = 2) -> Int {
        var done = 0
        let end = Date(timeIntervalSinceNow: seconds)
        while done < count, Date() < end {
            guard var bytes = next(until: end) else { break }
            let packet = Packet.parse(bytes.span.bytes.extracting(10...))
            guard packet.destinationPort == 53 || packet.kind == .fragment else { continue }
            // Of TCP only the opening of connections.
            if packet.kind == .tcp, bytes[10 + packet.transport + 13] & 0x17 != 2 { continue }
            seen.append(packet)
            done += 1
            guard packet.kind == .udp || packet.kind == .tcp else { continue }
            Peer.reverse(&bytes, packet)
            precondition(bytes.withUnsafeBytes { tun.write($0) } == bytes.count)
        }
        return done
    }

    /// The next packet with its virtio header.
    func next(until end: Date) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 70_000)
        var wait = pollfd(fd: tun.number, events: Int16(POLLIN), revents: 0)
        while true {
            let count = buffer.withUnsafeMutableBytes { tun.read(into: $0) }
            if count > 0 { return Array(buffer[..<count]) }
            let left = end.timeIntervalSinceNow
            if left <= 0 || poll(&wait, 1, Int32(left * 1000) + 1) <= 0 { return nil }
        }
    }

    /// The next packet that is wanted.
    func next(until end: Date, where wanted: (Packet) -> Bool) -> [UInt8]? {
        while let bytes = next(until: end) {
            if wanted(Packet.parse(bytes.span.bytes.extracting(10...))) { return bytes }
        }
        return nil
    }

    /// Makes the reply out of a packet, leaving the transport checksum to the kernel (`NEEDS_CSUM`).
    static func reverse(_ bytes: inout [UInt8], _ packet: Packet) {
        let ip = 10
        let transport = ip + packet.transport
        let size = packet.isIPv6 ? 16 : 4
        let source = ip + (packet.isIPv6 ? 8 : 12)
        for index in 0..<size { bytes.swapAt(source + index, source + size + index) }
        bytes.swapAt(transport, transport + 2)
        bytes.swapAt(transport + 1, transport + 3)
        if packet.kind == .tcp {
            let sequence = bytes[(transport + 4)..<(transport + 8)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } &+ 1
            for index in 0..<4 {
                bytes[transport + 8 + index] = UInt8(truncatingIfNeeded: sequence >> UInt32(24 - 8 * index))
                bytes[transport + 4 + index] = 0
            }
            bytes[transport + 12] = 5 << 4
            bytes[transport + 13] = 0x12
            bytes.removeSubrange((transport + 20)...)
            let length = bytes.count - ip
            if packet.isIPv6 {
                (bytes[ip + 4], bytes[ip + 5]) = (UInt8((length - 40) >> 8), UInt8((length - 40) & 255))
            } else {
                (bytes[ip + 2], bytes[ip + 3]) = (UInt8(length >> 8), UInt8(length & 255))
            }
        }
        if !packet.isIPv6 {
            (bytes[ip + 10], bytes[ip + 11]) = (0, 0)
            let sum = fold(bytes[ip..<transport], 0)
            (bytes[ip + 10], bytes[ip + 11]) = (UInt8(~sum >> 8 & 255), UInt8(~sum & 255))
        }
        // Pseudo-header sum in the field, the rest left to the kernel.
        let field = packet.kind == .udp ? 6 : 16
        let number: UInt32 = packet.kind == .udp ? 17 : 6
        let sum = fold(bytes[source..<(source + 2 * size)], number + UInt32(bytes.count - transport))
        (bytes[transport + field], bytes[transport + field + 1]) = (UInt8(sum >> 8), UInt8(sum & 255))
        for index in 0..<10 { bytes[index] = 0 }
        bytes[0] = 1
        bytes[6] = UInt8(packet.transport)
        bytes[8] = UInt8(field)
    }

    /// The ones' complement sum (RFC 1071) of the bytes and `start`.
    private static func fold(_ bytes: ArraySlice<UInt8>, _ start: UInt32) -> UInt32 {
        var sum = start
        for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        return sum
    }
}
