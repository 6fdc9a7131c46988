/// The layout of one IP packet: where its headers are and what they say, as integers. No allocation, no errors: a
/// packet that cannot be read is of a kind of its own.
///
/// Sources: RFC 791, RFC 8200 section 4 (extension headers), RFC 768, RFC 9293 section 3.1.
public struct Packet: Sendable {
    public enum Kind: UInt8, Sendable {
        /// Not IP, or cut, or its lengths contradict each other.
        case malformed
        case udp
        case tcp
        /// ICMP or ICMPv6, whole.
        case icmp
        /// A fragment, first ones included: transport fields are not to be trusted.
        case fragment
        /// Any other protocol.
        case other
    }

    /// UDP's and TCP's numbers, and those of ICMP (IANA, Protocol Numbers).
    public enum Number {
        public static let icmp: UInt8 = 1
        public static let tcp: UInt8 = 6
        public static let udp: UInt8 = 17
        public static let icmpv6: UInt8 = 58
    }

    public var kind: Kind
    public var isIPv6: Bool
    /// The protocol behind the last IP header read.
    public var proto: UInt8
    /// The offset of the transport header.
    public var transport: Int
    /// The offset of the transport's payload, for UDP and TCP.
    public var payload: Int
    /// The end of the packet by its own length field; bytes behind it are padding.
    public var end: Int
    /// Ports, for UDP and TCP; 0 else.
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    public var source: IPAddress
    public var destination: IPAddress

    @inlinable
    init() {
        kind = .malformed
        isIPv6 = false
        proto = 0
        transport = 0
        payload = 0
        end = 0
        sourcePort = 0
        destinationPort = 0
        source = IPAddress(v4: 0)
        destination = source
    }

    /// Reads the headers of a packet that starts with its IP header.
    @inlinable
    public static func parse(_ bytes: RawSpan) -> Packet {
        var packet = Packet()
        guard bytes.byteCount >= 20 else { return packet }
        switch bytes.u8(0) >> 4 {
        case 4: packet.parseIPv4(bytes)
        case 6: packet.parseIPv6(bytes)
        default: break
        }
        return packet
    }

    @inlinable
    mutating func parseIPv4(_ bytes: RawSpan) {
        let header = Int(bytes.u8(0) & 0xf) * 4
        let total = Int(bytes.u16(2))
        guard header >= 20, total >= header, total <= bytes.byteCount else { return }
        end = total
        proto = bytes.u8(9)
        source = IPAddress(bytes, at: 12, isIPv6: false)
        destination = IPAddress(bytes, at: 16, isIPv6: false)
        transport = header
        if bytes.u16(6) & 0x3fff != 0 {
            kind = .fragment
        } else {
            parseTransport(bytes)
        }
    }

    @inlinable
    mutating func parseIPv6(_ bytes: RawSpan) {
        guard bytes.byteCount >= 40 else { return }
        isIPv6 = true
        let length = Int(bytes.u16(4))
        // A length of 0 is a jumbogram's or a super-packet's: the buffer's own length counts.
        end = length == 0 ? bytes.byteCount : 40 + length
        guard end <= bytes.byteCount else { return }
        source = IPAddress(bytes, at: 8, isIPv6: true)
        destination = IPAddress(bytes, at: 24, isIPv6: true)
        proto = bytes.u8(6)
        transport = 40
        var headers = 0
        while headers < 8 {
            switch proto {
            case 0, 43, 60, 135, 139, 140:  // hop-by-hop, routing, destination, mobility, HIP, Shim6
                guard transport + 8 <= end else { return }
                proto = bytes.u8(transport)
                transport += Int(bytes.u8(transport + 1)) * 8 + 8
            case 51:  // authentication
                guard transport + 8 <= end else { return }
                proto = bytes.u8(transport)
                transport += Int(bytes.u8(transport + 1)) * 4 + 8
            case 44:
                guard transport + 8 <= end else { return }
                let isWhole = bytes.u16(transport + 2) & 0xfff9 == 0
                proto = bytes.u8(transport)
                transport += 8
                guard isWhole else {
                    kind = .fragment
                    return
                }
            default:
                parseTransport(bytes)
                return
            }
            headers += 1
        }
    }

    @inlinable
    mutating func parseTransport(_ bytes: RawSpan) {
        switch proto {
        case Number.udp:
            guard transport + 8 <= end else { return }
            let length = Int(bytes.u16(transport + 4))
            guard length >= 8, transport + length <= end else { return }
            payload = transport + 8
            end = transport + length
            kind = .udp
        case Number.tcp:
            guard transport + 20 <= end else { return }
            payload = transport + Int(bytes.u8(transport + 12) >> 4) * 4
            guard payload >= transport + 20, payload <= end else { return }
            kind = .tcp
        case isIPv6 ? Number.icmpv6 : Number.icmp:
            guard transport + 8 <= end else { return }
            kind = .icmp
            return
        default:
            kind = .other
            return
        }
        sourcePort = bytes.u16(transport)
        destinationPort = bytes.u16(transport + 2)
    }
}
