import Wire

/// The first stages of a decision: what is no query, and what is none that this machine answers.
extension Engine {
    /// Reads `name` and `query`. What cannot be read, or is not understood, gets the error that `Query.parse` says:
    /// FORMERR, NOTIMP, BADVERS. Nil: it is a query.
    mutating func refuseMalformed(_ message: RawSpan, into out: inout MutableRawSpan) -> Action? {
        switch Query.parse(message, name: &name) {
        case .unanswerable:
            return .drop
        case .faulty(let query, let rcode):
            return .answer(refuse(query, message, rcode, &out))
        case .query(let query):
            self.query = query
            return nil
        }
    }

    /// REFUSED: zone transfers, and the classes ANY and NONE. Nil: another kind of query.
    func refuseKind(_ question: RawSpan, into out: inout MutableRawSpan) -> Action? {
        let isTransfer = query.qtype == RecordType.axfr.code || query.qtype == RecordType.ixfr.code
        guard isTransfer || query.qclass >= 254 || query.qclass == 0 else { return nil }
        let byteCount = Reply.composeEmpty(
            &out, query, question: question, rcode: .refused, error: .notSupported, text: RawSpan())
        return .answer(Answer(byteCount, .refused, .refused))
    }

    private mutating func refuse(
        _ query: Query, _ message: RawSpan, _ rcode: RCode, _ out: inout MutableRawSpan
    ) -> Answer {
        self.query = query
        if rcode != .badVersion { name = Name() }
        let end = rcode == .badVersion ? query.questionEnd : Query.headerByteCount
        let question = message.part(Query.headerByteCount, end - Query.headerByteCount)
        let byteCount = Reply.composeEmpty(
            &out, query, question: question, rcode: rcode, error: nil, text: RawSpan())
        return Answer(byteCount, rcode == .formatError ? .malformed : .unsupported, rcode)
    }
}
