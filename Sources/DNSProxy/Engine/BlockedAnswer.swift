import Blocklist
import Wire

/// Writes the answer to a blocked question, in each mode.
struct BlockedAnswer {
    let blocking: Blocking
    private var lists = ListTexts()

    init(blocking: Blocking) {
        self.blocking = blocking
    }

    /// Another policy has other lists.
    mutating func forgetLists() {
        lists = ListTexts()
    }

    /// Writes the whole answer: as the verdict wants it, else in the mode of the settings; with EDNS it names the list
    /// (EDE 15, RFC 8914 section 4.16). A verdict that drops gives a silent one.
    mutating func answer(
        _ verdict: Verdict, _ reason: Reason, _ query: Query, _ question: RawSpan, in policy: PolicySnapshot,
        into out: inout MutableRawSpan
    ) -> Answer {
        if verdict.answer == .drop {
            var answer = Answer(0, reason, .refused, verdict)
            answer.isSilent = true
            return answer
        }
        let rcode = rcode(verdict.answer)
        var at = Reply.composeHead(&out, query, question, rcode)
        if verdict.answer == .truncate {
            out.put16(2, out.get16(2) | Flags.tc)
            if query.hasEDNS { at = Reply.composeOPT(&out, at: at, query, rcode, nil, RawSpan()) }
            return Answer(at, reason, rcode, verdict)
        }
        at = compose(&out, at: at, qtype: query.qtype, qclass: query.qclass, verdict.answer)
        if query.hasEDNS {
            let place = lists.place(of: verdict.list, in: policy)
            at = Reply.composeOPT(&out, at: at, query, rcode, .blocked, lists.text(place))
        }
        return Answer(at, reason, rcode, verdict)
    }

    /// The mode in which a verdict wants to be answered.
    private func mode(_ answer: Verdict.Answer) -> Blocking.Mode {
        switch answer {
        case .configured: blocking.mode
        case .nxdomain: .nxdomain
        case .refused, .servfail: .refused
        // The engine has other answers to the last three, unless there is nothing to make them of.
        case .nodata, .drop, .truncate, .records: .nodata
        }
    }

    func rcode(_ answer: Verdict.Answer) -> RCode {
        if answer == .servfail { return .serverFailure }
        return switch mode(answer) {
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

    private func composeSOA(_ out: inout MutableRawSpan, at offset: Int, _ qclass: UInt16) -> Int {
        Compose.counts(&out, answers: 0, authority: 1, additional: 0)
        return NegativeSOA.compose(&out, at: offset, qclass: qclass, ttl: blocking.ttl)
    }
}
