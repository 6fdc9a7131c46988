import Wire

/// The SOA record of webtun's own negative answers: it lets a resolver keep them (RFC 2308 section 3).
enum NegativeSOA {
    /// MNAME `webtun.invalid.`, RNAME `nobody.invalid.` by a pointer into it; then five integers.
    private static let names: InlineArray<25, UInt8> = [
        6, 0x77, 0x65, 0x62, 0x74, 0x75, 0x6e,  // webtun
        7, 0x69, 0x6e, 0x76, 0x61, 0x6c, 0x69, 0x64, 0,  // invalid.
        6, 0x6e, 0x6f, 0x62, 0x6f, 0x64, 0x79, 0xc0, 0,  // nobody, and a pointer that is set when written
    ]

    /// Appends the record. The counts of the header are the caller's.
    ///
    /// - Parameters:
    ///   - owner: where in the message the name stands that is answered.
    ///   - ttl: seconds, of the record and as its MINIMUM.
    /// - Returns: the offset behind it; it takes 57 bytes.
    static func compose(
        _ out: inout MutableRawSpan, at offset: Int, owner: Int = Query.headerByteCount, qclass: UInt16, ttl: UInt32
    ) -> Int {
        let count = 25
        let rdata = Compose.record(
            &out, at: offset, type: RecordType.soa.code, class: qclass, ttl: ttl, byteCount: count + 20)
        out.put16(offset, 0xc000 | UInt16(truncatingIfNeeded: owner))
        unsafe out.put(rdata, names.span.bytes)
        out.put16(rdata + count - 2, 0xc000 | UInt16(truncatingIfNeeded: rdata + 7))
        let integers = rdata + count
        out.put32(integers, 1)
        out.put32(integers + 4, 3600)
        out.put32(integers + 8, 600)
        out.put32(integers + 12, 86400)
        out.put32(integers + 16, ttl)
        return integers + 20
    }
}
