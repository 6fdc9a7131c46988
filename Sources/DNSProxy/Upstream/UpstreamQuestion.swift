import Wire

/// One question as it is asked upstream: what makes it the same as another, and the letter case it is asked in.
struct UpstreamQuestion {
    var name = Name()
    var qtype: UInt16 = 0
    var qclass: UInt16 = 0
    var dnssecOK = false
    var checkingDisabled = false
    /// 0x20: bit n decides whether byte n of the wire-form name, when it is a letter, is asked as a capital.
    var capitals = InlineArray<4, UInt64>(repeating: 0)

    /// The UDP payload size asked for: fits every path without fragments (RFC 9715 section 3.1 recommends at most 1400).
    static let udpSize: UInt16 = 1232

    func isSame(as other: UpstreamQuestion) -> Bool {
        qtype == other.qtype && qclass == other.qclass && dnssecOK == other.dnssecOK
            && checkingDisabled == other.checkingDisabled && name.bytes.matches(other.name.bytes)
    }

    /// A hash under a secret seed, so that no one can choose names that meet in one chain.
    func hash(seed: UInt64) -> UInt64 {
        let bits: UInt8 = (dnssecOK ? 1 : 0) | (checkingDisabled ? 2 : 0)
        return QuestionKey.hash(name.bytes, qtype: qtype, qclass: qclass, bits: bits, seed: seed)
    }

    /// Writes the query: RD, CD as asked, EDNS version 0 with DO as asked (RFC 1035 section 4.1, RFC 6891 section 6.1).
    ///
    /// - Returns: its length in bytes; `message` holds at least 282 (header 12, name 255, type and class 4, OPT record 11).
    func compose(into message: inout MutableRawSpan, id: UInt16, edns: Bool, randomCase: Bool) -> Int {
        message.put16(0, id)
        message.put16(2, Flags.rd | (checkingDisabled ? Flags.cd : 0))
        message.put16(4, 1)
        message.put32(6, 0)
        message.put16(10, edns ? 1 : 0)
        let bytes = name.bytes
        for index in 0..<bytes.byteCount {
            message.put8(12 + index, randomCase ? letter(bytes.u8(index), index) : bytes.u8(index))
        }
        var at = 12 + bytes.byteCount
        message.put16(at, qtype)
        message.put16(at + 2, qclass)
        at += 4
        guard edns else { return at }
        message.put8(at, 0)
        message.put16(at + 1, RecordType.opt.code)
        message.put16(at + 3, UpstreamQuestion.udpSize)
        message.put32(at + 5, dnssecOK ? 0x8000 : 0)
        message.put16(at + 9, 0)
        return at + 11
    }

    /// How the question section of a reply compares with this question.
    enum Echo {
        case exact
        /// The same but for the case of letters.
        case otherCase
        case different
        /// QDCOUNT is 0, as some servers answer what they cannot parse.
        case absent
    }

    /// Compares byte for byte; a compressed or cut question is a different one.
    func echo(in reply: RawSpan) -> Echo {
        guard reply.byteCount >= 12 else { return .different }
        let questions = reply.u16(4)
        if questions == 0 { return .absent }
        let bytes = name.bytes
        let end = 12 + bytes.byteCount
        guard questions == 1, end + 4 <= reply.byteCount, reply.u16(end) == qtype, reply.u16(end + 2) == qclass else {
            return .different
        }
        var isExact = true
        for index in 0..<bytes.byteCount {
            let got = reply.u8(12 + index)
            if Name.lower(got) != bytes.u8(index) { return .different }
            if got != letter(bytes.u8(index), index) { isExact = false }
        }
        return isExact ? .exact : .otherCase
    }

    /// Length bytes are at most 63, below every letter, so the wire form needs no walk over its labels.
    @inline(__always)
    private func letter(_ byte: UInt8, _ index: Int) -> UInt8 {
        guard byte &- 97 < 26, capitals[index >> 6] >> UInt64(index & 63) & 1 != 0 else { return byte }
        return byte & 0xdf
    }
}
