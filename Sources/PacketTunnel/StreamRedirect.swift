public import Kernel
public import Wire

/// Sends the TCP connections that applications open to resolvers to webtun's own listener, by rewriting their segments in
/// place: the kernel's TCP does the work.
///
/// ```
///  application  client:port → resolver:53          rewritten      peer:flow → listener:port       kernel's TCP
///  application  client:port ← resolver:53          rewritten      peer:flow ← listener:port       kernel's TCP
/// ```
/// The peer is the far address of the TUN, which nobody else uses; its port names the flow. Checksums are adjusted by the
/// difference (RFC 1624), so a segment that came damaged stays damaged, and a super-packet keeps its virtio header.
/// Never silence: a segment that cannot be redirected gets a reset in its place.
///
/// One thread. Nothing allocates after `init`.
public struct StreamRedirect: ~Copyable {
    /// The first of the peer's ports; flow n has this + n.
    public static let firstPort: UInt16 = 1024

    public enum Outcome: Equatable, Sendable {
        /// The packet, changed in place, goes back into the TUN with the virtio header it came with.
        case rewritten
        /// The packet gave way to a reset of so many bytes, which goes into the TUN with a plain virtio header.
        case reset(byteCount: Int)
        /// Not a TCP segment, or a reset of a connection nobody knows.
        case drop
    }

    private let listener4: SocketAddress
    private let peer4: IPAddress
    private let listener6: SocketAddress
    private let peer6: IPAddress
    private var flows: StreamFlows

    /// - Parameter capacity: how many connections there can be, 1 to 32,768.
    public init(
        listener4: SocketAddress, peer4: IPAddress, listener6: SocketAddress, peer6: IPAddress, capacity: Int = 8192
    ) {
        precondition(!listener4.address.isIPv6 && !peer4.isIPv6 && listener6.address.isIPv6 && peer6.isIPv6)
        self.listener4 = listener4
        self.peer4 = peer4
        self.listener6 = listener6
        self.peer6 = peer6
        flows = StreamFlows(capacity: capacity, seed: (.random(in: 1 ... .max), .random(in: 1 ... .max)))
    }

    /// Connections in the table, those included that are closed and whose port must rest.
    public var live: Int { flows.live }

    /// Whether the packet comes from the listener and belongs to `fromListener`.
    public func isFromListener(_ packet: Packet) -> Bool {
        guard packet.kind == .tcp else { return false }
        let listener = packet.isIPv6 ? listener6 : listener4
        return packet.sourcePort == listener.port && packet.source == listener.address
            && packet.destination == (packet.isIPv6 ? peer6 : peer4)
    }

    /// Redirects a segment that an application sent to a resolver.
    ///
    /// - Parameters:
    ///   - bytes: the packet, from its IP header on.
    ///   - packet: what `Packet.parse` made of it.
    ///   - partialChecksum: the checksum field holds the pseudo-header's sum only (virtio `NEEDS_CSUM`).
    ///   - now: `Clock.monotonic`, nanoseconds.
    public mutating func toListener(
        _ bytes: inout MutableRawSpan, _ packet: Packet, partialChecksum: Bool, now: UInt64
    ) -> Outcome {
        guard packet.kind == .tcp else { return .drop }
        let segment = Segment(bytes.bytes, packet)
        let known = flows.find(packet)
        guard let slot = known ?? (segment.opens ? flows.insert(packet, now: now) : nil) else {
            return reset(&bytes, packet)
        }
        flows.note(slot, segment, fromClient: true, now: now)
        let listener = packet.isIPv6 ? listener6 : listener4
        rewrite(
            &bytes, packet, partialChecksum, source: packet.isIPv6 ? peer6 : peer4,
            sourcePort: StreamRedirect.firstPort + UInt16(slot), destination: listener.address,
            destinationPort: listener.port)
        return .rewritten
    }

    /// Gives a segment of the listener the resolver's address and sends it to the application.
    ///
    /// Parameters as in `toListener`; the packet is one that `isFromListener` knows.
    public mutating func fromListener(
        _ bytes: inout MutableRawSpan, _ packet: Packet, partialChecksum: Bool, now: UInt64
    ) -> Outcome {
        guard packet.kind == .tcp else { return .drop }
        let slot = Int(packet.destinationPort) - Int(StreamRedirect.firstPort)
        guard let flow = flows.flow(slot), flow.client.isIPv6 == packet.isIPv6 else { return reset(&bytes, packet) }
        flows.note(slot, Segment(bytes.bytes, packet), fromClient: false, now: now)
        rewrite(
            &bytes, packet, partialChecksum, source: flow.resolver, sourcePort: flow.resolverPort,
            destination: flow.client, destinationPort: flow.clientPort)
        return .rewritten
    }

    /// Who is behind a connection that the listener accepted from the peer's `port`; `nil` when nobody is.
    public func flow(port: UInt16, isIPv6: Bool) -> (client: SocketAddress, resolver: SocketAddress)? {
        guard let flow = flows.flow(Int(port) - Int(StreamRedirect.firstPort)), flow.client.isIPv6 == isIPv6 else {
            return nil
        }
        return (
            SocketAddress(flow.client, port: flow.clientPort), SocketAddress(flow.resolver, port: flow.resolverPort)
        )
    }

    /// Forgets the connections whose time is over; call it about once a second.
    public mutating func expire(now: UInt64) {
        flows.expire(now: now)
    }

    private func reset(_ bytes: inout MutableRawSpan, _ packet: Packet) -> Outcome {
        let count = Segment.composeReset(into: &bytes, answering: packet)
        return count > 0 ? .reset(byteCount: count) : .drop
    }

    private func rewrite(
        _ bytes: inout MutableRawSpan, _ packet: Packet, _ partialChecksum: Bool, source: IPAddress,
        sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16
    ) {
        let oldAddresses = Checksum.sum(packet.source) &+ Checksum.sum(packet.destination)
        let newAddresses = Checksum.sum(source) &+ Checksum.sum(destination)
        let field = packet.transport + 16
        if partialChecksum {
            // The pseudo-header has no ports: whoever completes the checksum reads them from the segment.
            bytes.put16(field, Checksum.adjustPartial(bytes.get16(field), old: oldAddresses, new: newAddresses))
        } else {
            let oldPorts = UInt64(packet.sourcePort) &+ UInt64(packet.destinationPort)
            let newPorts = UInt64(sourcePort) &+ UInt64(destinationPort)
            bytes.put16(
                field, Checksum.adjust(bytes.get16(field), old: oldAddresses &+ oldPorts, new: newAddresses &+ newPorts)
            )
        }
        if packet.isIPv6 {
            source.compose(into: &bytes, at: 8)
            destination.compose(into: &bytes, at: 24)
        } else {
            bytes.put16(10, Checksum.adjust(bytes.get16(10), old: oldAddresses, new: newAddresses))
            source.compose(into: &bytes, at: 12)
            destination.compose(into: &bytes, at: 16)
        }
        bytes.put16(packet.transport, sourcePort)
        bytes.put16(packet.transport + 2, destinationPort)
    }
}
