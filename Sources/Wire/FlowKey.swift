/// What tells one flow from another: the addresses, the ports and the protocol, in the direction of its first packet.
///
/// Ports are in host order. An ICMP or ICMPv6 echo has its identifier as the port of the side that asks and 0 as the
/// other, so that the reply is the reversed request; every other protocol, and other ICMP messages, have no ports.
public struct FlowKey: Hashable, Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    /// The protocol's number (`Packet.Number`).
    public var proto: UInt8

    @inlinable
    public init(source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16, proto: UInt8) {
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.proto = proto
    }

    /// The flow of a packet.
    ///
    /// - Parameters:
    ///   - bytes: the packet, from its IP header on.
    ///   - packet: what `Packet.parse` made of it; not of kind `malformed`. A fragment's key has no ports.
    @inlinable
    public init(_ bytes: RawSpan, _ packet: Packet) {
        self.init(
            source: packet.source, sourcePort: packet.sourcePort, destination: packet.destination,
            destinationPort: packet.destinationPort, proto: packet.proto)
        guard packet.kind == .icmp else { return }
        switch (packet.isIPv6, bytes.u8(packet.transport)) {
        case (false, 8), (true, 128): sourcePort = bytes.u16(packet.transport + 4)
        case (false, 0), (true, 129): destinationPort = bytes.u16(packet.transport + 4)
        default: break
        }
    }

    /// The same flow seen from the other side.
    @inlinable
    public var reversed: FlowKey {
        FlowKey(
            source: destination, sourcePort: destinationPort, destination: source, destinationPort: sourcePort,
            proto: proto)
    }

    /// 64 well-mixed bits, for tables that a peer must not be able to fill at one place.
    ///
    /// - Parameter seed: two random words.
    @inlinable
    public func hash(seed: (UInt64, UInt64)) -> UInt64 {
        var hash = FlowKey.mix(source.high ^ seed.0, source.low ^ seed.1)
        hash = FlowKey.mix(hash ^ destination.high, destination.low ^ seed.0)
        let rest = UInt64(sourcePort) << 24 | UInt64(destinationPort) << 8 | UInt64(proto) | 1 << 40
        hash = FlowKey.mix(hash ^ seed.1, rest ^ (source.isIPv6 ? 1 << 41 : 0))
        // The ports are far up in `rest`: once more, so that the lower bits hear of them in full.
        return FlowKey.mix(hash ^ seed.0, 0x9E37_79B9_7F4A_7C15)
    }

    @inlinable @inline(__always)
    static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}

extension FlowKey: CustomStringConvertible {
    /// `tcp 192.0.2.10:40000 > 198.51.100.1:443`, addresses of IPv6 in brackets, protocols without a name by number.
    public var description: String {
        let name =
            switch proto {
            case Packet.Number.tcp: "tcp"
            case Packet.Number.udp: "udp"
            case Packet.Number.icmp: "icmp"
            case Packet.Number.icmpv6: "icmp6"
            default: "proto \(proto)"
            }
        return "\(name) \(FlowKey.text(source, sourcePort)) > \(FlowKey.text(destination, destinationPort))"
    }

    private static func text(_ address: IPAddress, _ port: UInt16) -> String {
        port == 0 ? address.description : address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}
