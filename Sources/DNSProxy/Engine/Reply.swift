import Wire

/// Writes whole replies: their own header and OPT record around sections that are blocked, cached or empty.
struct Reply {
    /// The UDP size that webtun offers in its own OPT record (DNS Flag Day 2020).
    static let offeredUDPSize: UInt16 = 1232

    /// A reply without records: an error, or a refusal.
    ///
    /// - Parameters:
    ///   - question: the question as asked, empty when it could not be read.
    ///   - text: for the extended error.
    static func composeEmpty(
        _ out: inout MutableRawSpan, _ query: Query, question: RawSpan, rcode: RCode, error: ExtendedError?,
        text: RawSpan
    ) -> Int {
        var at = composeHead(&out, query, question, rcode)
        if query.hasEDNS || rcode == .badVersion {
            at = composeOPT(&out, at: at, query, rcode, error, text)
        }
        return at
    }

    /// The header and question of a reply by webtun itself.
    static func composeHead(_ out: inout MutableRawSpan, _ query: Query, _ question: RawSpan, _ rcode: RCode) -> Int {
        let copied = query.flags & (Flags.rd | Flags.cd | 0x7800)
        let flags = Flags.qr | Flags.ra | copied | rcode.code & 0xf
        let at = Compose.header(&out, id: query.id, flags: flags, questions: question.byteCount > 0 ? 1 : 0)
        out.put(at, question)
        return at + question.byteCount
    }

    static func composeOPT(
        _ out: inout MutableRawSpan, at offset: Int, _ query: Query, _ rcode: RCode, _ error: ExtendedError?,
        _ text: RawSpan
    ) -> Int {
        out.put16(10, out.get16(10) + 1)
        return Compose.opt(
            &out, at: offset, udpSize: offeredUDPSize, rcode: rcode, dnssecOK: query.dnssecOK, error: error, text: text)
    }

    /// A reply from an upstream's message: the client's ID, flags and spelling of the question; TTLs less `elapsed`
    /// seconds; cut to header and question with TC when it is over `limit` bytes (RFC 2181 section 9).
    ///
    /// - Parameter message: as the cache holds it: QR set, no OPT record, question in wire form at 12.
    static func composeUpstream(
        _ out: inout MutableRawSpan, _ query: Query, question: RawSpan, message: RawSpan, elapsed: UInt32, limit: Int
    ) -> Int {
        let optByteCount = query.hasEDNS ? 11 : 0
        let upstream = message.u16(2)
        // AD only for clients that understand it (RFC 6840 section 5.8).
        let wantsAD = query.dnssecOK || query.flags & Flags.ad != 0
        let kept = upstream & (0xf | (wantsAD ? Flags.ad : 0))
        var flags = Flags.qr | Flags.ra | query.flags & (Flags.rd | Flags.cd) | kept
        var at: Int
        if message.byteCount + optByteCount <= limit {
            out.put(0, message)
            out.put16(0, query.id)
            out.put(Query.headerByteCount, question)
            at = message.byteCount
            if elapsed > 0 { age(&out, from: Query.headerByteCount + question.byteCount, end: at, elapsed) }
        } else {
            flags |= Flags.tc
            at = Compose.header(&out, id: query.id, flags: flags, questions: 1)
            out.put(at, question)
            at += question.byteCount
        }
        out.put16(2, flags)
        if query.hasEDNS {
            at = composeOPT(&out, at: at, query, RCode(flags & 0xf), nil, RawSpan())
        }
        return at
    }

    /// Lowers the TTL of each record by `elapsed` seconds, to 0 at least.
    private static func age(_ out: inout MutableRawSpan, from offset: Int, end: Int, _ elapsed: UInt32) {
        var at = offset
        while at < end {
            let fields = Query.skipName(out.bytes, at)
            guard fields > 0, fields + 10 <= end else { return }
            let ttl = out.bytes.u32(fields + 4)
            out.put32(fields + 4, ttl > elapsed ? ttl - elapsed : 0)
            at = fields + 10 + Int(out.bytes.u16(fields + 8))
        }
    }
}
