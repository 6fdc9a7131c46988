public import Blocklist
import CLDNS
public import Wire

/// What a reply that may enter the cache says, as integers.
public struct AdmittedReply: Sendable {
    /// The full rcode, with the upper bits of the OPT record.
    public internal(set) var rcode: UInt16 = 0
    /// How long it may be kept, in seconds; 0: not at all.
    public internal(set) var ttl: UInt32 = 0
    /// NXDOMAIN or NODATA (RFC 2308 section 2).
    public internal(set) var isNegative = false
    /// AD: the upstream vouches for DNSSEC (RFC 4035 section 3.2.3).
    public internal(set) var isAuthentic = false
    public internal(set) var isTruncated = false
    /// The info-code of the first extended error (RFC 8914), -1: none.
    public internal(set) var extendedError: Int32 = -1
    /// The targets of the CNAMEs in order, without the qname: policy has a word on each.
    public internal(set) var chain: [Name] = []
    public var hasChain: Bool { !chain.isEmpty }
    /// An SVCB or HTTPS record tells what the policy may not want told.
    public internal(set) var hasServiceHints = false
    /// Bytes of the message written.
    public internal(set) var byteCount = 0
    /// The first addresses of the answer, for the log.
    public internal(set) var addresses = InlineArray<4, IPAddress>(repeating: IPAddress(v4: 0))
    public internal(set) var addressCount = 0
}

/// The gate of the cache: parses a reply with ldns, keeps what belongs to the question, and writes it anew.
///
/// Kept are the records on the chain of CNAMEs from the qname, of a negative reply the SOA, and the DNSSEC records that
/// prove them. Everything else — records of other names, name servers, additional data — cannot enter the cache, so it
/// cannot poison it (RFC 2181 section 5.4.1). Off the hot path: it allocates. One thread a value.
public struct Admission: ~Copyable {
    /// The longest lifetimes, in seconds.
    public struct Limits: Sendable, Equatable {
        public var positive: UInt32
        /// RFC 2308 section 5 advises one to three hours.
        public var negative: UInt32
        /// SERVFAIL and other errors: RFC 9520 section 3.2 begins with 5 seconds at most; 0 keeps none.
        public var failure: UInt32

        public init(positive: UInt32 = 86400, negative: UInt32 = 3600, failure: UInt32 = 5) {
            self.positive = positive
            self.negative = negative
            self.failure = failure
        }
    }

    /// Why a reply is not used; the question then has failed.
    public enum Refusal: UInt8, Sendable, Equatable {
        /// ldns cannot parse it.
        case unparseable
        /// Not a reply to a query, or not to this question.
        case otherQuestion
        /// The CNAMEs lead back to a name they came from.
        case chainLoop
        /// More CNAMEs than `chainLimit`.
        case chainTooLong
        /// The message does not fit the caller's buffer.
        case tooLarge
    }

    /// At most this many CNAMEs are followed.
    public static let chainLimit = 16

    public var limits: Limits
    /// Why the last reply was not admitted.
    public private(set) var refusal = Refusal.unparseable
    var keepsAnswer: [Bool] = []

    public init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Parses a reply to a question and writes what may be used.
    ///
    /// - Parameters:
    ///   - name: the qname in lower case.
    ///   - policy: SVCB and HTTPS records lose `ech` and the address hints where it hides a name that they speak of.
    ///   - output: receives the message: ID 0; QR, RD, RA set, AA clear, AD, CD and TC as received; the question in lower
    ///     case at offset 12; names compressed; TTLs capped; no OPT record. An rcode above 15 is written as SERVFAIL.
    /// - Returns: `nil` when the reply is not used; `refusal` says why.
    public mutating func admit(
        _ reply: RawSpan, name: borrowing Name, qtype: UInt16, qclass: UInt16, hiding policy: PolicySnapshot? = nil,
        into output: inout MutableRawSpan
    ) -> AdmittedReply? {
        let qname = copy name
        guard let message = LDNSMessage(reply) else { return refuse(.unparseable) }
        guard message.isReply, message.asks(qname, qtype: qtype, qclass: qclass) else { return refuse(.otherQuestion) }
        var facts = AdmittedReply()
        facts.rcode = message.rcode.code
        facts.isAuthentic = message.isAuthenticated
        facts.isTruncated = message.isTruncated
        facts.extendedError = message.extendedError
        var composed = LDNSMessage(replyTo: message)
        if message.rcode == .noError || message.rcode == .nameError {
            switch followChain(message, from: qname, qtype: qtype, qclass: qclass, &facts.chain) {
            case .loop: return refuse(.chainLoop)
            case .tooLong: return refuse(.chainTooLong)
            case .end(let end, let isAnswered):
                facts.isNegative = !isAnswered || message.rcode == .nameError
                let answerTTL = takeAnswer(message, of: qname, hiding: policy, into: &composed, &facts)
                let proofTTL =
                    facts.isNegative
                    ? takeDenial(message, of: end, qclass: qclass, into: &composed)
                    : takeWildcardProof(message, into: &composed)
                facts.ttl = message.isTruncated ? 0 : min(answerTTL, proofTTL)
            }
        } else {
            facts.ttl = limits.failure
        }
        facts.byteCount = composed.compose(into: &output)
        guard facts.byteCount > 0 else { return refuse(.tooLarge) }
        output.put16(0, 0)
        output.put(12, qname.bytes)
        return facts
    }

    private mutating func refuse(_ reason: Refusal) -> AdmittedReply? {
        refusal = reason
        return nil
    }
}
