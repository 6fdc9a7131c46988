import Wire

/// Walks the addresses in a DNS message's answer section, in their order, with their TTLs: A, AAAA, and the address hints
/// of SVCB and HTTPS (RFC 9460 section 2.2). Ends where the message is cut or broken.
struct AnswerAddresses {
    private var records: Int
    /// The next record, or 0 at the end.
    private var at: Int
    // The rest of a record that has several addresses.
    private var hint = 0
    private var hintEnd = 0
    private var parameters = 0
    private var parametersEnd = 0
    private var isIPv6 = false
    private var ttl: UInt32 = 0

    /// - Parameter offset: behind the question.
    init(_ message: RawSpan, at offset: Int) {
        records = Int(message.u16(6))
        at = offset
    }

    /// The next address and its TTL in seconds.
    mutating func next(_ message: RawSpan) -> (IPAddress, UInt32)? {
        while true {
            let width = isIPv6 ? 16 : 4
            if hint + width <= hintEnd {
                hint += width
                return (IPAddress(message, at: hint - width, isIPv6: isIPv6), ttl)
            }
            if !nextParameter(message), !nextRecord(message) { return nil }
        }
    }

    /// Steps to the next SvcParam, if the record has one left.
    private mutating func nextParameter(_ message: RawSpan) -> Bool {
        guard parameters + 4 <= parametersEnd else { return false }
        let key = message.u16(parameters)
        let end = parameters + 4 + Int(message.u16(parameters + 2))
        guard end <= parametersEnd else {
            parameters = parametersEnd
            return false
        }
        if key == 4 || key == 6 {  // ipv4hint, ipv6hint
            isIPv6 = key == 6
            hint = parameters + 4
            hintEnd = end
        }
        parameters = end
        return true
    }

    /// Steps to the next record; false at the end.
    private mutating func nextRecord(_ message: RawSpan) -> Bool {
        guard records > 0 else { return false }
        records -= 1
        at = Query.skipName(message, at)
        guard at > 0, at + 10 <= message.byteCount else { return stop() }
        let type = message.u16(at)
        ttl = message.u32(at + 4)
        let data = at + 10
        at = data + Int(message.u16(at + 8))
        guard at <= message.byteCount else { return stop() }
        hint = data
        hintEnd = data
        switch type {
        case RecordType.a.code where at - data == 4, RecordType.aaaa.code where at - data == 16:
            isIPv6 = type == RecordType.aaaa.code
            hintEnd = at
        case 64, 65:  // SVCB, HTTPS: priority, target, parameters
            let target = data + 2 <= at ? Query.skipName(message, data + 2) : -1
            if target > 0, target <= at {
                parameters = target
                parametersEnd = at
            }
        default: break
        }
        return true
    }

    private mutating func stop() -> Bool {
        records = 0
        return false
    }
}
