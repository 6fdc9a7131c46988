public import Wire

/// Which name an address stands for, as told by the answers to a client's DNS queries.
///
/// One thread; nothing allocates after the start. Bounded: entries and name bytes have a fixed room each, and the oldest
/// give way.
public struct AddressNames: ~Copyable {
    /// - Parameters:
    ///   - capacity: addresses, rounded up to a power of two; 24 bytes each and 32 for its name.
    ///   - grace: nanoseconds for which an address is still known by its name after the TTL has run out: programs keep
    ///     using what they have looked up.
    public init(capacity: Int = 65_536, grace: UInt64 = 600_000_000_000) {}

    /// Learns from a DNS message that answers a client: the addresses of its A and AAAA records and the hints of its SVCB
    /// and HTTPS records (RFC 9460 section 7.3) stand for the qname. Nothing is learned from a message that is cut or has
    /// no answers.
    ///
    /// - Parameters:
    ///   - client: who asked. Give all addresses of one machine the same value here and in `find`, or a name asked for
    ///     over IPv4 is not known to a flow over IPv6.
    ///   - message: the whole answer with its question.
    ///   - now: a monotonic clock in nanoseconds.
    public mutating func learn(client: IPAddress, _ message: RawSpan, now: UInt64) {}

    /// Learns one address.
    ///
    /// - Parameters:
    ///   - name: wire form, lower case, with the root's byte.
    ///   - ttl: seconds.
    public mutating func learn(client: IPAddress, _ address: IPAddress, name: RawSpan, ttl: UInt32, now: UInt64) {}

    /// Finds the name under which the client last learned of an address.
    ///
    /// - Parameter name: becomes the name; unchanged when there is none.
    /// - Returns: whether there is one.
    public func find(client: IPAddress, _ address: IPAddress, into name: inout Name, now: UInt64) -> Bool { false }
}
