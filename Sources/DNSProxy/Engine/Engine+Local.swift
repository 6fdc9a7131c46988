import Blocklist
import Kernel
import Wire

/// What an upstream's answer is put behind: CNAMEs that are answered here.
enum Splice: UInt8 {
    case none
    /// Of local records.
    case record
    /// Of an enforced safe search.
    case safeSearch
    /// Of a list: a rewrite, or data of its own.
    case list

    var reason: Reason {
        switch self {
        case .safeSearch: .safesearch
        case .list: .list
        case .none, .record: .record
        }
    }
}

/// Where an answer begins.
private enum FirstSet {
    case record(LocalRecords.Place)
    case safeSearch(Int)
    /// With the verdict.
    case list
}

/// The stages that answer from local data: the user's records, enforced safe search, and zones that are never asked for.
extension Engine {
    private static let internet: UInt16 = 1

    /// Local records come before the policy. Nil: the qname has none.
    mutating func answerRecord(
        _ question: RawSpan, isStream: Bool, now: UInt64, into out: inout MutableRawSpan
    ) -> Action? {
        guard !policy.local.records.isEmpty, query.qclass == Engine.internet,
            let place = policy.local.records.find(name.bytes)
        else { return nil }
        return answer(.record, .record(place), .forward, question, isStream: isStream, now: now, &out)
    }

    /// The answer to a search engine's name whose safe search is enforced: addresses are those of the safe one; there are no
    /// SVCB and HTTPS records, which would lead around it. Other types are asked for as ever. Nil: no such name, or type.
    mutating func answerSafeSearch(
        _ verdict: Verdict, _ question: RawSpan, isStream: Bool, now: UInt64, into out: inout MutableRawSpan
    ) -> Action? {
        guard !policy.local.safeSearch.isEmpty, query.qclass == Engine.internet,
            case let place = policy.safeSearch(for: name.bytes, asker: asker), place >= 0
        else { return nil }
        switch RecordType(query.qtype) {
        case .a, .aaaa, .cname, .any:
            return answer(.safeSearch, .safeSearch(place), verdict, question, isStream: isStream, now: now, &out)
        case RecordType(ServiceBinding.svcb), RecordType(ServiceBinding.https):
            var draft = LocalAnswer(end: Reply.composeHead(&out, query, question, .noError))
            draft.appendSOA(ttl: settings.blocking.ttl, to: &out)
            return .answer(finish(draft, .noError, .safeSearch, verdict, question, isStream: isStream, &out))
        default:
            return nil
        }
    }

    /// A name of a zone that is never forwarded does not exist.
    mutating func answerUnforwarded(
        _ verdict: Verdict, _ question: RawSpan, isStream: Bool, into out: inout MutableRawSpan
    ) -> Action {
        var draft = LocalAnswer(end: Reply.composeHead(&out, query, question, .nameError))
        draft.appendSOA(ttl: settings.blocking.ttl, to: &out)
        return .answer(finish(draft, .nameError, .record, verdict, question, isStream: isStream, &out))
    }

    /// The answer that a list gives, of a verdict whose answer is `.records`.
    mutating func answerListed(
        _ verdict: Verdict, _ question: RawSpan, isStream: Bool, now: UInt64, into out: inout MutableRawSpan
    ) -> Action? {
        guard query.qclass == Engine.internet else { return nil }
        return answer(.list, .list, verdict, question, isStream: isStream, now: now, &out)
    }

    /// The answer from a set of records, and from those its CNAMEs lead to; what these do not have is looked up.
    private mutating func answer(
        _ source: Splice, _ first: FirstSet, _ verdict: Verdict, _ question: RawSpan, isStream: Bool,
        now: UInt64, _ out: inout MutableRawSpan
    ) -> Action {
        var draft = LocalAnswer(end: Reply.composeHead(&out, query, question, .noError))
        switch walk(first, verdict, &draft, &out) {
        case .answered:
            break
        case .nodata:
            draft.appendSOA(ttl: settings.blocking.ttl, to: &out)
        case .unusable:
            return .answer(failRecords(source, question, &out))
        case .alias:
            return look(up: &draft, source, verdict, question, isStream: isStream, now: now, &out)
        }
        return .answer(finish(draft, .noError, source, verdict, question, isStream: isStream, &out))
    }

    /// Appends the sets from the first on, CNAME by CNAME; `.alias`: the last target has no local
    /// records, nor records of a list when the lists began.
    private func walk(
        _ first: FirstSet, _ verdict: Verdict, _ draft: inout LocalAnswer, _ out: inout MutableRawSpan
    ) -> LocalAnswer.Found {
        let records = policy.local.records
        var found: LocalAnswer.Found
        switch first {
        case .record(let place):
            found = draft.append(records.bytes(place), qtype: query.qtype, to: &out)
        case .safeSearch(let number):
            let table = policy.local.safeSearch
            found = draft.append(table.bytes(number), qtype: query.qtype, to: &out)
        case .list:
            found = draft.append(policy.records(of: verdict), qtype: query.qtype, to: &out)
        }
        while found == .alias {
            // A circle is found by its length.
            if draft.aliases >= LocalAnswer.chainLimit { return .unusable }
            if let next = records.find(draft.target.bytes) {
                found = draft.append(records.bytes(next), qtype: query.qtype, to: &out)
                continue
            }
            guard case .list = first else { break }
            let next = policy.verdict(for: draft.target.bytes, qtype: query.qtype, asker: asker)
            guard next.answer == .records else { break }
            found = draft.append(policy.records(of: next), qtype: query.qtype, to: &out)
        }
        return found
    }

    /// The set that a source answers the qname from; nil: none any more.
    private func firstSet(_ source: Splice, _ verdict: Verdict) -> FirstSet? {
        switch source {
        case .none: return nil
        case .record: return policy.local.records.find(name.bytes).map(FirstSet.record)
        case .safeSearch:
            let number = policy.safeSearch(for: name.bytes, asker: asker)
            return number < 0 ? nil : .safeSearch(number)
        case .list: return verdict.answer == .records ? .list : nil
        }
    }

    /// The target of the last CNAME is asked for like any name, but its answer is not judged: who made the CNAME wants it.
    private mutating func look(
        up draft: inout LocalAnswer, _ source: Splice, _ verdict: Verdict, _ question: RawSpan, isStream: Bool,
        now: UInt64, _ out: inout MutableRawSpan
    ) -> Action {
        let forwards = policy.local.forwards
        let zone = forwards.zone(of: draft.target.bytes)
        guard forwards.isForwarded(zone) else {
            draft.appendSOA(ttl: settings.blocking.ttl, to: &out)
            return .answer(finish(draft, .nameError, source, verdict, question, isStream: isStream, &out))
        }
        setKey(draft.target, zone)
        let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
        guard let hit = cache.find(key, draft.target.bytes, seconds: seconds),
            isCurrent(hit.facts)
        else {
            splice = source
            asked = draft.target
            return .ask
        }
        let rcode = RCode(hit.facts.rcode)
        guard rcode == .noError || rcode == .nameError else {
            let byteCount = Reply.composeEmpty(
                &out, query, question: question, rcode: rcode, error: nil, text: RawSpan())
            return .answer(Answer(byteCount, source.reason, rcode, verdict))
        }
        guard draft.splice(cache.message(hit), elapsed: seconds &- hit.facts.stored, to: &out) else {
            return .answer(failRecords(source, question, &out))
        }
        var answer = finish(draft, rcode, source, verdict, question, isStream: isStream, &out)
        answer.isCached = true
        answer.upstream = hit.facts.upstream
        return .answer(answer)
    }

    /// The answer of a query that waited for the target of its CNAMEs; `name` and `digest` become its own.
    mutating func spliceCompletion(
        _ source: Splice, _ question: RawSpan, isStream: Bool, into out: inout MutableRawSpan
    ) -> Answer {
        _ = name.parse(question, at: 0)
        digest = AnswerDigest()
        guard completion.isAdmitted else { return fail(query, question, .failed, &out) }
        // The records may have changed meanwhile, and lead elsewhere.
        var verdict = Verdict.forward
        if source == .list { verdict = policy.verdict(for: name.bytes, qtype: query.qtype, asker: asker) }
        guard let first = firstSet(source, verdict) else { return failRecords(source, question, &out) }
        var draft = LocalAnswer(end: Reply.composeHead(&out, query, question, .noError))
        guard walk(first, verdict, &draft, &out) == .alias, draft.target == completion.name(completion.slot)
        else {
            return failRecords(source, question, &out)
        }
        let rcode = RCode(completion.facts.rcode)
        guard rcode == .noError || rcode == .nameError else {
            let byteCount = Reply.composeEmpty(
                &out, query, question: question, rcode: rcode, error: nil, text: RawSpan())
            return Answer(byteCount, source.reason, rcode, verdict)
        }
        guard draft.splice(completion.message, elapsed: 0, to: &out) else {
            return failRecords(source, question, &out)
        }
        var answer = finish(draft, rcode, source, verdict, question, isStream: isStream, &out)
        answer.upstream = completion.upstream
        return answer
    }

    /// SERVFAIL: the CNAMEs lead in a circle, or do not fit.
    private mutating func failRecords(
        _ source: Splice, _ question: RawSpan, _ out: inout MutableRawSpan
    ) -> Answer {
        digest = AnswerDigest()
        let byteCount = Reply.composeEmpty(
            &out, query, question: question, rcode: .serverFailure, error: .other, text: RawSpan())
        return Answer(byteCount, source.reason, .serverFailure)
    }

    /// Sets counts, flags and digest, cuts what is over the client's size, and appends the OPT record.
    ///
    /// AA is set for what this machine is the authority on, as other resolvers do for names of their own; the flag speaks
    /// of the first owner in the answer (RFC 1035 section 4.1.1).
    private mutating func finish(
        _ draft: LocalAnswer, _ rcode: RCode, _ source: Splice, _ verdict: Verdict, _ question: RawSpan, isStream: Bool,
        _ out: inout MutableRawSpan
    ) -> Answer {
        var end = draft.end
        var flags = out.get16(2) & 0xfff0 | rcode.code & 0xf | (source == .record ? Flags.aa : 0)
        Compose.counts(&out, answers: draft.answers, authority: draft.authority, additional: 0)
        digest = AnswerDigest(message: out.bytes.extracting(first: end))
        if end + (query.hasEDNS ? 11 : 0) > limit(query, isStream) {
            end = Query.headerByteCount + question.byteCount
            flags |= Flags.tc
            Compose.counts(&out, answers: 0, authority: 0, additional: 0)
        }
        out.put16(2, flags)
        if query.hasEDNS { end = Reply.composeOPT(&out, at: end, query, rcode, nil, RawSpan()) }
        return Answer(end, source.reason, rcode, verdict)
    }
}
