import Blocklist
import Wire

/// Composes an answer from sets of records, one CNAME after the other, and splices an upstream's answer behind them.
///
/// The header and question stand in `out` already. Names of owners point to where the name stands in the message before:
/// the question, or the data of a CNAME. Allocates nothing.
struct LocalAnswer {
    /// What a set of records says of a question.
    enum Found {
        /// Its records of the qtype were appended.
        case answered
        /// A CNAME was appended; its target is the value's `target`.
        case alias
        /// The name has records, of other types.
        case nodata
        /// The data of a CNAME is no name, or there is no room.
        case unusable
    }

    /// So many CNAMEs are followed; more, or a circle, are a failure.
    static let chainLimit = 16
    /// Left free behind the answer: an SOA of `NegativeSOA`, an OPT record with text.
    private static let reserve = 57 + 11 + 6 + 256

    /// The offset behind what was written.
    private(set) var end: Int
    /// Where the name stands that the next set belongs to.
    private(set) var owner = Query.headerByteCount
    private(set) var answers: UInt16 = 0
    private(set) var authority: UInt16 = 0
    /// CNAMEs appended.
    private(set) var aliases = 0
    /// The target of the last CNAME, in lower case.
    private(set) var target = Name()

    /// - Parameter end: behind the question.
    init(end: Int) {
        self.end = end
    }

    /// Appends the records that answer a question for the name at `owner`: those of the qtype, all for ANY, or the CNAME.
    mutating func append(_ set: RawSpan, qtype: UInt16, to out: inout MutableRawSpan) -> Found {
        let wantsAll = qtype == RecordType.any.code
        var alias: RecordSet.Item?
        var isAnswered = false
        var at = 0
        while let item = RecordSet.item(of: set, at: at) {
            at = item.end
            if item.type == RecordType.cname.code, !wantsAll, qtype != item.type {
                if alias == nil { alias = item }
            } else if wantsAll || item.type == qtype {
                guard append(item, set, to: &out) else { return .unusable }
                isAnswered = true
            }
        }
        if isAnswered { return .answered }
        guard let alias else { return .nodata }
        let data = end + 12
        guard target.parse(set.part(alias.data, alias.byteCount), at: 0) == alias.byteCount,
            append(alias, set, to: &out)
        else { return .unusable }
        owner = data
        aliases += 1
        return .alias
    }

    private mutating func append(_ item: RecordSet.Item, _ set: RawSpan, to out: inout MutableRawSpan) -> Bool {
        guard end + 12 + item.byteCount <= out.byteCount - LocalAnswer.reserve else { return false }
        let data = Compose.record(
            &out, at: end, type: item.type, class: LocalAnswer.internet, ttl: item.ttl, byteCount: item.byteCount)
        out.put16(end, 0xc000 | UInt16(truncatingIfNeeded: owner))
        out.put(data, set.part(item.data, item.byteCount))
        end = data + item.byteCount
        answers += 1
        return true
    }

    /// Appends the SOA of an answer without records.
    mutating func appendSOA(ttl: UInt32, to out: inout MutableRawSpan) {
        end = NegativeSOA.compose(&out, at: end, owner: owner, qclass: LocalAnswer.internet, ttl: ttl)
        authority += 1
    }

    /// Appends the answer and authority sections of a message whose question is for the last CNAME's target.
    ///
    /// The target stands at the end of what was written, as it stands in the message's question; so every compression
    /// pointer of the message (RFC 1035 section 4.1.4) is moved by one distance when it points into the question, and by
    /// another when it points behind it.
    ///
    /// - Parameters:
    ///   - message: as the cache holds it: question in wire form at 12, then answer and authority, nothing else.
    ///   - elapsed: seconds that its TTLs are lowered by.
    /// - Returns: whether it could be done; what is in `out` is of no use otherwise.
    mutating func splice(_ message: RawSpan, elapsed: UInt32, to out: inout MutableRawSpan) -> Bool {
        let start = Query.headerByteCount + target.byteCount + 4
        guard aliases > 0, message.byteCount >= start, message.u16(4) == 1,
            message.part(Query.headerByteCount, target.byteCount).matches(target.bytes),
            end + message.byteCount - start <= out.byteCount - LocalAnswer.reserve
        else { return false }
        let mover = PointerMover(
            question: owner - Query.headerByteCount, questionEnd: start, records: end - start)
        let counts = (answers: message.u16(6), authority: message.u16(8))
        out.put(end, message.from(start))
        var at = end
        let last = end + message.byteCount - start
        var left = Int(counts.answers) + Int(counts.authority)
        while left > 0 {
            guard let next = mover.moveRecord(&out, at: at, end: last, elapsed: elapsed) else { return false }
            at = next
            left -= 1
        }
        guard at == last else { return false }
        end = last
        answers += counts.answers
        authority += counts.authority
        return true
    }

    private static let internet: UInt16 = 1
}

/// Moves the compression pointers of records that were copied to another place of another message.
private struct PointerMover {
    /// Distances of what pointed into the question, and of what pointed behind its end.
    var question: Int
    var questionEnd: Int
    var records: Int

    /// Moves the pointers of one record and lowers its TTL. Returns where the next begins; nil when it is malformed.
    func moveRecord(_ out: inout MutableRawSpan, at offset: Int, end: Int, elapsed: UInt32) -> Int? {
        guard let fields = moveName(&out, at: offset, end: end), fields + 10 <= end else { return nil }
        let ttl = out.bytes.u32(fields + 4)
        out.put32(fields + 4, ttl > elapsed ? ttl - elapsed : 0)
        let data = fields + 10
        let next = data + Int(out.bytes.u16(fields + 8))
        guard next <= end else { return nil }
        // Names in the data are compressed in the types of RFC 1035 alone (RFC 3597 section 4).
        switch out.bytes.u16(fields) {
        case 2, 3, 4, 5, 7, 8, 9, 12:  // NS MD MF CNAME MB MG MR PTR
            guard moveName(&out, at: data, end: next) == next else { return nil }
        case 6, 14:  // SOA MINFO
            guard let second = moveName(&out, at: data, end: next), moveName(&out, at: second, end: next) != nil
            else { return nil }
        case 15:  // MX
            guard data + 2 <= next, moveName(&out, at: data + 2, end: next) == next else { return nil }
        default: break
        }
        return next
    }

    /// Moves the pointer at the end of a name, if it has one. Returns the offset behind the name.
    private func moveName(_ out: inout MutableRawSpan, at offset: Int, end: Int) -> Int? {
        var at = offset
        while at < end {
            let length = Int(out.bytes.u8(at))
            if length == 0 { return at + 1 }
            if length >= 0xc0 {
                guard at + 2 <= end else { return nil }
                let old = Int(out.bytes.u16(at) & 0x3fff)
                let new = old + (old < questionEnd ? question : records)
                guard new >= Query.headerByteCount, new <= 0x3fff, new < at else { return nil }
                out.put16(at, 0xc000 | UInt16(new))
                return at + 2
            }
            guard length < 64 else { return nil }
            at += 1 + length
        }
        return nil
    }
}
