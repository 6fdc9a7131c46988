public import Wire

/// Which name an address stands for, as told by the answers to a client's DNS queries.
///
/// One thread; nothing allocates after the start. Bounded: a table of sets of eight entries, in which the one that expires
/// first gives way, and a ring of names, in which the oldest is overwritten. A client and an address are known by a keyed
/// hash of 64 bits.
public struct AddressNames: ~Copyable {
    private struct Entry {
        /// The hash of client and address; 0: no entry.
        var key: UInt64 = 0
        /// Nanoseconds of a monotonic clock.
        var expiry: UInt64 = 0
        /// The ring position of the name.
        var name: UInt64 = 0
    }

    private static let setSize = 8

    private var entries: [Entry]
    private var ring: NameRing
    private let grace: UInt64
    private let seed = (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max))

    /// - Parameters:
    ///   - capacity: addresses, 8 or more, rounded up to a power of two; 24 bytes each and 32 for its name.
    ///   - grace: nanoseconds for which an address is still known by its name after the TTL has run out: programs keep
    ///     using what they have looked up.
    public init(capacity: Int = 65_536, grace: UInt64 = 600_000_000_000) {
        var size = AddressNames.setSize
        while size < capacity { size <<= 1 }
        entries = Array(repeating: Entry(), count: size)
        ring = NameRing(byteCount: max(size * 32, 4096))
        self.grace = grace
    }

    /// Learns from a DNS message that answers a client: the addresses of its A and AAAA records and the hints of its SVCB
    /// and HTTPS records (RFC 9460 section 7.3) stand for the qname, without labels in front that begin with an underscore
    /// (RFC 8552). Nothing is learned from a message that is no answer or behind the place where it is cut.
    ///
    /// - Parameters:
    ///   - client: who asked. Give all addresses of one machine the same value here and in `find`, or a name asked for
    ///     over IPv4 is not known to a flow over IPv6.
    ///   - message: the whole answer with its question.
    ///   - now: a monotonic clock in nanoseconds.
    public mutating func learn(client: IPAddress, _ message: RawSpan, now: UInt64) {
        guard message.byteCount > Query.headerByteCount, message.u16(2) & Flags.qr != 0, message.u16(4) == 1 else {
            return
        }
        var name = Name()
        let end = name.parse(message, at: Query.headerByteCount)
        guard end > 0 else { return }
        let host = AddressNames.host(name.bytes)
        guard host.byteCount > 1 else { return }
        var records = AnswerAddresses(message, at: end + 4)
        var position: UInt64?
        while let (address, ttl) = records.next(message) {
            if address.isUnspecified { continue }
            learn(client, address, host, ttl, now, &position)
        }
    }

    /// Learns one address.
    ///
    /// - Parameters:
    ///   - name: wire form, lower case, with the root's byte.
    ///   - ttl: seconds.
    public mutating func learn(client: IPAddress, _ address: IPAddress, name: RawSpan, ttl: UInt32, now: UInt64) {
        var position: UInt64?
        learn(client, address, name, ttl, now, &position)
    }

    /// Finds the name under which the client last learned of an address.
    ///
    /// - Parameter name: becomes the name; unchanged when there is none.
    /// - Returns: whether there is one.
    public func find(client: IPAddress, _ address: IPAddress, into name: inout Name, now: UInt64) -> Bool {
        let key = hash(client, address)
        let set = first(key)
        for index in set..<set + AddressNames.setSize where entries[index].key == key {
            guard entries[index].expiry > now, let found = ring[entries[index].name] else { return false }
            return name.parse(found, at: 0) > 0
        }
        return false
    }

    // MARK: Entries

    /// - Parameter position: where the name is in the ring once it is known; the addresses of one answer share it.
    private mutating func learn(
        _ client: IPAddress, _ address: IPAddress, _ name: RawSpan, _ ttl: UInt32, _ now: UInt64,
        _ position: inout UInt64?
    ) {
        let key = hash(client, address)
        let set = first(key)
        var victim = set
        for index in set..<set + AddressNames.setSize {
            if entries[index].key == key {
                victim = index
                if position == nil, ring.keeps(name, at: entries[index].name) { position = entries[index].name }
                break
            }
            if entries[index].expiry < entries[victim].expiry { victim = index }
        }
        let place = position ?? ring.append(name)
        position = place
        entries[victim] = Entry(key: key, expiry: now &+ UInt64(ttl) &* 1_000_000_000 &+ grace, name: place)
    }

    private func first(_ key: UInt64) -> Int {
        Int(truncatingIfNeeded: key & UInt64(entries.count - 1)) & ~(AddressNames.setSize - 1)
    }

    private func hash(_ client: IPAddress, _ address: IPAddress) -> UInt64 {
        var hash = mix(seed.0 ^ (client.isIPv6 ? 1 : 0) ^ (address.isIPv6 ? 2 : 0))
        hash = mix(hash ^ client.high)
        hash = mix(hash ^ client.low)
        hash = mix(hash ^ address.high)
        hash = mix(hash ^ address.low)
        return hash == 0 ? 1 : hash
    }

    private func mix(_ word: UInt64) -> UInt64 {
        let product = word.multipliedFullWidth(by: seed.1 | 1)
        return product.high ^ product.low
    }

    /// The name from its first label without an underscore in front.
    @_lifetime(copy name)
    private static func host(_ name: RawSpan) -> RawSpan {
        var at = 0
        while at + 1 < name.byteCount, name.u8(at) > 0, name.u8(at + 1) == UInt8(ascii: "_") {
            at += Int(name.u8(at)) + 1
        }
        return name.from(at)
    }
}
