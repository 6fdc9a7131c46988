internal import QueryLog
internal import Wire

/// Composes `Dnstap` messages of the dnstap schema (dnstap.pb, dnstap.proto): a client's query or the answer it got.
///
/// One thread. Buffers are kept, so that composing allocates nothing once they are large enough.
struct DnstapComposer {
    private let identity: [UInt8]
    private let version: [UInt8]
    private let policyType = Array("webtun".utf8)
    /// Names of lists by their number, as text.
    private let listName: (Int32) -> String?
    private var message = Protobuf()
    private var frame = Protobuf()

    init(identity: String, version: String, listName: @escaping (Int32) -> String?) {
        self.identity = Array(identity.utf8)
        self.version = Array("webtun \(version)".utf8)
        self.listName = listName
    }

    /// The bytes of one message; valid until the next call.
    mutating func compose(_ tap: borrowing TapRow, _ dns: RawSpan) -> [UInt8] {
        message.removeAll()
        let row = tap.row
        // CLIENT_QUERY, CLIENT_RESPONSE
        message.add(1, tap.kind == .query ? 5 : 6)
        // INET, INET6; UDP, TCP
        message.add(2, row.client.isIPv6 ? 2 : 1)
        message.add(3, row.transport == .udp ? 1 : 2)
        message.add(4, DnstapComposer.bytes(row.client))
        message.add(5, DnstapComposer.bytes(row.resolver))
        message.add(6, UInt64(row.clientPort))
        message.add(7, UInt64(tap.resolverPort))
        message.add(8, UInt64(max(0, row.time)) / 1_000_000)
        message.add(9, fixed: UInt32(max(0, row.time) % 1_000_000) * 1000)
        if tap.kind == .query {
            message.add(10, dns)
        } else {
            let answered = max(0, row.time) + Int64(max(0, row.latency))
            message.add(12, UInt64(answered) / 1_000_000)
            message.add(13, fixed: UInt32(answered % 1_000_000) * 1000)
            message.add(14, dns)
            if row.verdict == .block { message.add(15, policy(row)) }
        }
        frame.removeAll()
        frame.add(1, identity)
        frame.add(2, version)
        frame.add(14, message.bytes)
        // MESSAGE
        frame.add(15, 1)
        return frame.bytes
    }

    /// `Policy`: who blocked it.
    private func policy(_ row: QueryRow) -> [UInt8] {
        var policy = Protobuf()
        policy.add(1, policyType)
        if let list = row.list > 0 ? listName(row.list) : "rule" { policy.add(2, Array(list.utf8)) }
        // NXDOMAIN, LOCAL_DATA
        policy.add(3, row.rcode == 3 ? 1 : 6)
        // QNAME
        policy.add(4, 1)
        return policy.bytes
    }

    /// 4 or 16 bytes in network order.
    private static func bytes(_ address: IPAddress) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: address.byteCount)
        for index in bytes.indices {
            // The lowest byte last.
            let fromEnd = address.byteCount - 1 - index
            let half = fromEnd < 8 ? address.low : address.high
            bytes[index] = UInt8(truncatingIfNeeded: half >> UInt64(fromEnd % 8 * 8))
        }
        return bytes
    }
}
