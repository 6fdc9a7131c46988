import Glibc

/// Packets for tests, composed the plain way, without the code under test.
public enum TestPackets {
    /// 4 or 16 bytes of an address in text, by the C library.
    public static func address(_ text: String) -> [UInt8] {
        let isIPv6 = text.contains(":")
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        precondition(inet_pton(isIPv6 ? AF_INET6 : AF_INET, text, &bytes) == 1, text)
        return bytes
    }

    public static func big16(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }
    public static func big32(_ value: Int) -> [UInt8] { big16(value >> 16 & 65535) + big16(value & 65535) }

    /// RFC 1071, word by word, with a carry at each.
    public static func checksum(_ bytes: [UInt8]) -> UInt16 {
        ~sum(bytes)
    }

    public static func sum(_ bytes: [UInt8]) -> UInt16 {
        var sum = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += Int(bytes[index]) << 8 | (index + 1 < bytes.count ? Int(bytes[index + 1]) : 0)
            sum = sum > 65535 ? sum - 65535 : sum
        }
        return UInt16(sum)
    }

    /// The pseudo-header of UDP and TCP (RFC 9293 section 3.1, RFC 8200 section 8.1).
    public static func pseudoHeader(_ from: String, _ to: String, _ proto: UInt8, _ length: Int) -> [UInt8] {
        let addresses = address(from) + address(to)
        return from.contains(":")
            ? addresses + big32(length) + [0, 0, 0, proto] : addresses + [0, proto] + big16(length)
    }

    /// An IP packet, of the version of its addresses.
    ///
    /// - Parameters:
    ///   - options: IPv4 options, a multiple of 4 bytes.
    ///   - headers: IPv6 extension headers as they stand; `next` is then the first one's number.
    ///   - fragment: IPv4's flags and fragment offset.
    public static func ip(
        _ from: String, _ to: String, _ proto: UInt8, _ payload: [UInt8], options: [UInt8] = [], headers: [UInt8] = [],
        next: UInt8? = nil, fragment: Int = 0, ttl: UInt8 = 64
    ) -> [UInt8] {
        if from.contains(":") {
            let length = headers.count + payload.count
            return [0x60, 0, 0, 0] + big16(length) + [next ?? proto, ttl] + address(from) + address(to) + headers
                + payload
        }
        let header = 20 + options.count
        var bytes = [UInt8(0x40 | header / 4), 0] + big16(header + payload.count) + [0x12, 0x34] + big16(fragment)
        bytes += [ttl, proto, 0, 0] + address(from) + address(to) + options
        bytes.replaceSubrange(10..<12, with: big16(Int(checksum(bytes))))
        return bytes + payload
    }

    public static func udp(
        _ from: String, _ to: String, _ ports: (Int, Int), _ payload: [UInt8], options: [UInt8] = []
    ) -> [UInt8] {
        var datagram = big16(ports.0) + big16(ports.1) + big16(8 + payload.count) + [0, 0] + payload
        let sum = checksum(pseudoHeader(from, to, 17, datagram.count) + datagram)
        datagram.replaceSubrange(6..<8, with: big16(sum == 0 ? 65535 : Int(sum)))
        return ip(from, to, 17, datagram, options: options)
    }

    /// - Parameter partial: the checksum field holds the sum of the pseudo-header only, as under virtio `NEEDS_CSUM`.
    public static func tcp(
        _ from: String, _ to: String, _ ports: (Int, Int), flags: UInt8, sequence: Int = 1, acknowledgment: Int = 0,
        _ payload: [UInt8] = [], tcpOptions: [UInt8] = [], options: [UInt8] = [], headers: [UInt8] = [],
        next: UInt8? = nil, partial: Bool = false
    ) -> [UInt8] {
        var segment = big16(ports.0) + big16(ports.1) + big32(sequence) + big32(acknowledgment)
        segment += [UInt8((20 + tcpOptions.count) / 4 * 16), flags, 0xfa, 0xf0, 0, 0, 0, 0] + tcpOptions + payload
        let pseudo = pseudoHeader(from, to, 6, segment.count)
        segment.replaceSubrange(16..<18, with: big16(Int(partial ? sum(pseudo) : checksum(pseudo + segment))))
        return ip(from, to, 6, segment, options: options, headers: headers, next: next)
    }

    /// An echo request of ICMP or ICMPv6.
    public static func echo(_ from: String, _ to: String, _ data: [UInt8], type: UInt8? = nil) -> [UInt8] {
        let isIPv6 = from.contains(":")
        var message: [UInt8] = [type ?? (isIPv6 ? 128 : 8), 0, 0, 0, 0xab, 0xcd, 0, 7] + data
        let pseudo = isIPv6 ? pseudoHeader(from, to, 58, message.count) : []
        message.replaceSubrange(2..<4, with: big16(Int(checksum(pseudo + message))))
        return ip(from, to, isIPv6 ? 58 : 1, message, ttl: 33)
    }

    /// What is wrong with the lengths and checksums of a whole IPv4 or IPv6 packet; `nil`: nothing.
    public static func fault(_ packet: [UInt8]) -> String? {
        let isIPv6 = packet[0] >> 4 == 6
        let header = isIPv6 ? 40 : Int(packet[0] & 15) * 4
        let length = isIPv6 ? 40 + Int(packet[4]) << 8 + Int(packet[5]) : Int(packet[2]) << 8 + Int(packet[3])
        if length != packet.count { return "length \(length) of \(packet.count) bytes" }
        if !isIPv6, sum(Array(packet[..<header])) != 65535 { return "header checksum" }
        let addresses = isIPv6 ? packet[8..<40] : packet[12..<20]
        let proto = packet[isIPv6 ? 6 : 9]
        let transport = Array(packet[header...])
        let pseudo = proto == 1 ? [] : addresses + big32(transport.count) + [0, 0, 0, proto]
        return sum(pseudo + transport) == 65535 ? nil : "transport checksum of protocol \(proto)"
    }
}

/// A generator whose seed a failing test can print (SplitMix64, Steele et al. 2014).
public struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    public init(_ seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
