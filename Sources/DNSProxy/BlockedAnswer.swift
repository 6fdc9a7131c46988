import Blocklist
import Wire

/// Writes the answer to a blocked question, in each mode.
struct BlockedAnswer {
    let blocking: Blocking

    /// MNAME `webtun.invalid.`, RNAME `nobody.invalid.` by a pointer into it; then five integers.
    private static let soaNames: InlineArray<25, UInt8> = [
        6, 0x77, 0x65, 0x62, 0x74, 0x75, 0x6e,  // webtun
        7, 0x69, 0x6e, 0x76, 0x61, 0x6c, 0x69, 0x64, 0,  // invalid.
        6, 0x6e, 0x6f, 0x62, 0x6f, 0x64, 0x79, 0xc0, 0,  // nobody, and a pointer that is set when written
    ]

    /// The mode in which a verdict wants to be answered.
    private func mode(_ answer: Verdict.Answer) -> Blocking.Mode {
        switch answer {
        case .configured: blocking.mode
        case .nxdomain: .nxdomain
        case .nodata: .nodata
        }
    }

    func rcode(_ answer: Verdict.Answer) -> RCode {
        switch mode(answer) {
        case .nxdomain: .nameError
        case .refused: .refused
        case .null, .nodata, .custom: .noError
        }
    }

    /// Appends the answer and authority sections behind the question and sets their counts, but for the OPT record.
    ///
    /// - Returns: the offset behind them.
    func compose(
        _ out: inout MutableRawSpan, at offset: Int, qtype: UInt16, qclass: UInt16, _ answer: Verdict.Answer
    ) -> Int {
        switch mode(answer) {
        case .refused:
            return offset
        case .nxdomain, .nodata:
            return composeSOA(&out, at: offset, qclass)
        case .null:
            guard qtype == RecordType.a.code || qtype == RecordType.aaaa.code else {
                return composeSOA(&out, at: offset, qclass)
            }
            let isIPv6 = qtype == RecordType.aaaa.code
            let null = isIPv6 ? IPAddress(high: 0, low: 0) : IPAddress(v4: 0)
            Compose.counts(&out, answers: 1, authority: 0, additional: 0)
            return composeAddress(&out, at: offset, qtype, qclass, null)
        case .custom:
            return composeCustom(&out, at: offset, qtype, qclass)
        }
    }

    private func composeCustom(_ out: inout MutableRawSpan, at offset: Int, _ qtype: UInt16, _ qclass: UInt16) -> Int {
        var at = offset
        var count: UInt16 = 0
        for address in blocking.addresses.prefix(8)
        where qtype == (address.isIPv6 ? RecordType.aaaa.code : RecordType.a.code) {
            at = composeAddress(&out, at: at, qtype, qclass, address)
            count += 1
        }
        if count == 0 { return composeSOA(&out, at: offset, qclass) }
        Compose.counts(&out, answers: count, authority: 0, additional: 0)
        return at
    }

    private func composeAddress(
        _ out: inout MutableRawSpan, at offset: Int, _ qtype: UInt16, _ qclass: UInt16, _ address: IPAddress
    ) -> Int {
        let rdata = Compose.record(
            &out, at: offset, type: qtype, class: qclass, ttl: blocking.ttl, byteCount: address.byteCount)
        address.compose(into: &out, at: rdata)
        return rdata + address.byteCount
    }

    /// The SOA that lets a resolver keep the negative answer (RFC 2308 section 3), owned by the question's name.
    private func composeSOA(_ out: inout MutableRawSpan, at offset: Int, _ qclass: UInt16) -> Int {
        let names = 25
        let rdata = Compose.record(
            &out, at: offset, type: RecordType.soa.code, class: qclass, ttl: blocking.ttl, byteCount: names + 20)
        unsafe out.put(rdata, BlockedAnswer.soaNames.span.bytes)
        out.put16(rdata + names - 2, 0xc000 | UInt16(truncatingIfNeeded: rdata + 7))
        let integers = rdata + names
        out.put32(integers, 1)
        out.put32(integers + 4, 3600)
        out.put32(integers + 8, 600)
        out.put32(integers + 12, 86400)
        out.put32(integers + 16, blocking.ttl)
        Compose.counts(&out, answers: 0, authority: 1, additional: 0)
        return integers + 20
    }
}
