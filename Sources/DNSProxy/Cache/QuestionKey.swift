public import Wire

/// What tells one cached or pending question from another: the qname's hash together with qtype, qclass and the two
/// EDNS and header bits that change an upstream's answer.
public struct QuestionKey: Equatable, Sendable {
    public var hash: UInt64
    public var qtype: UInt16
    public var qclass: UInt16
    /// Bit 0: DNSSEC OK; bit 1: checking disabled.
    public var bits: UInt8

    /// - Parameter seed: a random number of this process, so that nobody can choose names that collide.
    @inlinable
    public init(_ name: borrowing Name, _ query: Query, seed: UInt64) {
        qtype = query.qtype
        qclass = query.qclass
        bits = (query.dnssecOK ? 1 : 0) | (query.checkingDisabled ? 2 : 0)
        hash = QuestionKey.hash(name.bytes, qtype: qtype, qclass: qclass, bits: bits, seed: seed)
    }

    /// The hash of a question under a secret seed.
    @inlinable
    static func hash(_ name: RawSpan, qtype: UInt16, qclass: UInt16, bits: UInt8, seed: UInt64) -> UInt64 {
        let kind = UInt64(qtype) | UInt64(qclass) << 16 | UInt64(bits) << 32
        return hash(name, seed ^ (kind &* 0x9e37_79b9_7f4a_7c15))
    }

    /// A 64-bit hash by folded 128-bit products, eight bytes a step.
    @inlinable
    static func hash(_ bytes: RawSpan, _ seed: UInt64) -> UInt64 {
        var state = seed
        var at = 0
        let count = bytes.byteCount
        while at + 8 <= count {
            state = fold(state ^ bytes.u64(at), 0xa076_1d64_78bd_642f)
            at += 8
        }
        var last = UInt64(count)
        while at < count {
            last = last << 8 | UInt64(bytes.u8(at))
            at += 1
        }
        return fold(state ^ last, 0xe703_7ed1_a0b4_28db)
    }

    @inlinable @inline(__always)
    static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = (left ^ 0x8ebc_6af0_9c88_c6e3).multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
