/// The fields of a TCP header that a connection's state depends on (RFC 9293 section 3.1).
public struct Segment: Sendable {
    public static let fin: UInt8 = 0x01
    public static let syn: UInt8 = 0x02
    public static let rst: UInt8 = 0x04
    public static let ack: UInt8 = 0x10

    public let sequence: UInt32
    public let acknowledgment: UInt32
    public let flags: UInt8
    /// The sequence number behind the segment: payload bytes, and one each for SYN and FIN.
    public let sequenceEnd: UInt32

    /// - Parameter packet: what `Packet.parse` made of the same bytes; of kind `tcp`.
    @inlinable
    public init(_ bytes: RawSpan, _ packet: Packet) {
        sequence = bytes.u32(packet.transport + 4)
        acknowledgment = bytes.u32(packet.transport + 8)
        flags = bytes.u8(packet.transport + 13)
        let length = packet.end - packet.payload + Int(flags & Segment.fin) + Int(flags >> 1 & 1)
        sequenceEnd = sequence &+ UInt32(truncatingIfNeeded: length)
    }

    @inlinable public var isSYN: Bool { flags & Segment.syn != 0 }
    @inlinable public var isFIN: Bool { flags & Segment.fin != 0 }
    @inlinable public var isRST: Bool { flags & Segment.rst != 0 }
    @inlinable public var isACK: Bool { flags & Segment.ack != 0 }
    /// A SYN that asks for a new connection.
    @inlinable public var opens: Bool { flags & (Segment.syn | Segment.ack | Segment.rst) == Segment.syn }

    /// Composes, in place of a packet, the reset that its sender gets from a peer without such a connection (RFC 9293
    /// section 3.10.7.1), with complete checksums.
    ///
    /// - Parameters:
    ///   - bytes: the packet, 40 bytes (IPv4) or 60 (IPv6) or more, as every parsed TCP packet has.
    ///   - packet: what `Packet.parse` made of it; of kind `tcp`.
    /// - Returns: the bytes of the reset, or 0 when the packet is a reset itself, which none answers.
    @inlinable
    public static func composeReset(into bytes: inout MutableRawSpan, answering packet: Packet) -> Int {
        let segment = Segment(bytes.bytes, packet)
        if segment.isRST { return 0 }
        let isACK = segment.isACK
        return composeReset(
            into: &bytes, from: packet.destination, packet.destinationPort, to: packet.source, packet.sourcePort,
            sequence: isACK ? segment.acknowledgment : 0, acknowledgment: isACK ? 0 : segment.sequenceEnd,
            flags: isACK ? rst : rst | ack)
    }

    /// Composes the reset that ends a connection at its far end, as if the sender of a segment had given it up: with
    /// the segment's own numbers, which are those that the far end expects next unless segments are under way (RFC 9293
    /// section 3.5.2).
    ///
    /// - Parameters:
    ///   - out: room for 40 bytes (IPv4) or 60 (IPv6).
    ///   - bytes: a packet of the connection.
    ///   - packet: what `Packet.parse` made of it; of kind `tcp`.
    /// - Returns: the bytes of the reset.
    @inlinable
    public static func composeAbort(
        into out: inout MutableRawSpan, after bytes: RawSpan, _ packet: Packet
    ) -> Int {
        let segment = Segment(bytes, packet)
        return composeReset(
            into: &out, from: packet.source, packet.sourcePort, to: packet.destination, packet.destinationPort,
            sequence: segment.sequence, acknowledgment: segment.isACK ? segment.acknowledgment : 0,
            flags: segment.isACK ? rst | ack : rst)
    }

    /// A whole packet of a reset, with complete checksums. Returns its bytes.
    @inlinable
    static func composeReset(
        into out: inout MutableRawSpan, from source: IPAddress, _ sourcePort: UInt16, to destination: IPAddress,
        _ destinationPort: UInt16, sequence: UInt32, acknowledgment: UInt32, flags: UInt8
    ) -> Int {
        let at = source.isIPv6 ? 40 : 20
        if source.isIPv6 {
            out.put32(0, 0x6000_0000)
            out.put16(4, 20)
            out.put16(6, UInt16(Packet.Number.tcp) << 8 | 64)
        } else {
            out.put32(0, 0x4500_0000 | 40)
            out.put32(4, 0x0000_4000)  // no ID, do not fragment
            out.put32(8, 64 << 24 | UInt32(Packet.Number.tcp) << 16)
        }
        source.compose(into: &out, at: source.isIPv6 ? 8 : 12)
        destination.compose(into: &out, at: source.isIPv6 ? 24 : 16)
        out.put16(at, sourcePort)
        out.put16(at + 2, destinationPort)
        out.put32(at + 4, sequence)
        out.put32(at + 8, acknowledgment)
        out.put16(at + 12, 5 << 12 | UInt16(flags))
        out.put16(at + 14, 0)
        out.put32(at + 16, 0)
        let pseudo = Checksum.pseudoHeader(source, destination, Packet.Number.tcp, length: 20)
        out.put16(at + 16, ~Checksum.fold(Checksum.sum(out.bytes.part(at, 20), pseudo)))
        if !source.isIPv6 {
            out.put16(10, ~Checksum.fold(Checksum.sum(out.bytes.part(0, 20))))
        }
        return at + 20
    }
}
