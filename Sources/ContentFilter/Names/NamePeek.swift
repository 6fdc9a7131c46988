public import Wire

/// Finds the name a flow is meant for in its first packets: TLS over TCP, QUIC, HTTP/1.
///
/// Sans-I/O. One thread. A fixed pool of buffers, allocated at the start and touched when first used; feeding a packet
/// allocates nothing. A name is reported as soon as it has been seen, before the rest of the message it stands in: the
/// packet that completes it need not be forwarded.
public struct NamePeek: ~Copyable {
    /// Bytes from the begin of a stream in which a name is looked for: a ClientHello of 16 KiB in up to 200 TLS records.
    public static let byteLimit = 17_408
    /// Nanoseconds from a flow's first byte to its name.
    public static let timeLimit: UInt64 = 10_000_000_000

    /// The name of the last `.name` outcome.
    public internal(set) var name = Name()

    /// - Parameter capacity: flows that can be half-read at a time, 1...1024; each takes about 20 KB while it is.
    public init(capacity: Int = 256) {}

    /// Reads one packet of a flow, from its begin on, in either order of arrival. Only packets of the side that began the
    /// flow are fed; a SYN may be fed or left out, but where it is fed reordering before the first byte is seen too.
    ///
    /// - Parameters:
    ///   - ticket: the flow's own, made for its protocol.
    ///   - bytes: the packet, from its IP header on. A super-packet is read whole.
    ///   - packet: what `Packet.parse` made of it; of kind `tcp` or `udp`, as the ticket.
    ///   - segmentSize: bytes of payload of each datagram but the last in a UDP super-packet (`gso_size` of its virtio
    ///     header); 0 for a single datagram and for TCP.
    ///   - now: a monotonic clock in nanoseconds.
    public mutating func feed(
        _ ticket: inout PeekTicket, _ bytes: RawSpan, _ packet: Packet, segmentSize: Int = 0, now: UInt64
    ) -> PeekOutcome {
        .none(.otherProtocol)
    }

    /// Gives the buffer of a flow back that ended or was judged before its name was known. Idempotent.
    public mutating func close(_ ticket: inout PeekTicket) {}
}
