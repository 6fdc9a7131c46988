import Blocklist
import CLDNS
import Wire

/// Which records of a reply belong to the question.
extension Admission {
    enum Walk {
        /// The name the chain ends at, and whether it has records of the type asked.
        case end(Name, found: Bool)
        case loop
        case tooLong
    }

    /// Follows the CNAMEs from the qname, filling `chain` and marking in `keepsAnswer` what lies on the way.
    mutating func followChain(
        _ message: borrowing LDNSMessage, from qname: Name, qtype: UInt16, qclass: UInt16, _ chain: inout [Name]
    ) -> Walk {
        let count = message.count(.answer)
        keepsAnswer.removeAll(keepingCapacity: true)
        keepsAnswer.append(contentsOf: repeatElement(false, count: count))
        let cname = RecordType.cname.code
        var current = qname
        while true {
            var alias = -1
            var found = false
            for index in 0..<count {
                let record = message.record(.answer, index)
                guard record.qclass == qclass, record.isOwned(by: current) else { continue }
                if record.type == qtype || qtype == RecordType.any.code {
                    keepsAnswer[index] = true
                    found = true
                } else if record.type == cname, alias < 0 {
                    alias = index
                } else if record.type == LDNSRecord.rrsig, record.covered == qtype {
                    keepsAnswer[index] = true
                }
            }
            if found || alias < 0 { return .end(current, found: found) }
            keepsAnswer[alias] = true
            for index in 0..<count {
                let record = message.record(.answer, index)
                guard record.qclass == qclass else { continue }
                let isSignature = record.type == LDNSRecord.rrsig
                if isSignature, record.covered == cname, record.isOwned(by: current) { keepsAnswer[index] = true }
                // The DNAME a CNAME was made from (RFC 6672 section 3.1) stands above its owner.
                let isDNAME = record.type == LDNSRecord.dname || isSignature && record.covered == LDNSRecord.dname
                if isDNAME, record.isAbove(current) { keepsAnswer[index] = true }
            }
            guard let target = message.record(.answer, alias).target else { return .end(current, found: false) }
            if target == qname || chain.contains(target) { return .loop }
            if chain.count == Admission.chainLimit { return .tooLong }
            chain.append(target)
            current = target
        }
    }

    /// Takes the marked records over. Returns the shortest TTL in seconds.
    func takeAnswer(
        _ message: borrowing LDNSMessage, of qname: Name, hiding policy: PolicySnapshot?,
        into composed: inout LDNSMessage, _ facts: inout AdmittedReply
    ) -> UInt32 {
        var shortest = UInt32.max
        let changed = changedBindings(message, of: qname, hiding: policy, &facts)
        for index in keepsAnswer.indices where keepsAnswer[index] {
            let record = message.record(.answer, index)
            // Nobody has signed the records as they are now.
            if record.type == LDNSRecord.rrsig, changed.types.contains(record.covered) { continue }
            let ttl = min(record.ttl, limits.positive)
            shortest = min(shortest, ttl)
            if let data = changed.data[index] {
                composed.add(record, rdata: data, ttl: ttl)
                composed.isAuthenticated = false
                facts.isAuthentic = false
                continue
            }
            composed.add(record, to: .answer, ttl: ttl)
            if facts.addressCount < 4, let address = record.address {
                facts.addresses[facts.addressCount] = address
                facts.addressCount += 1
            }
        }
        return shortest
    }

    /// The SVCB and HTTPS records among the marked ones that must not stay as they are: their types, and by index their new
    /// data.
    private func changedBindings(
        _ message: borrowing LDNSMessage, of qname: Name, hiding policy: PolicySnapshot?, _ facts: inout AdmittedReply
    ) -> (types: Set<UInt16>, data: [Int: [UInt8]]) {
        var types: Set<UInt16> = []
        var data: [Int: [UInt8]] = [:]
        for index in keepsAnswer.indices where keepsAnswer[index] {
            let record = message.record(.answer, index)
            guard record.type == ServiceBinding.svcb || record.type == ServiceBinding.https else { continue }
            facts.hasServiceHints = true
            guard let policy, policy.isBypassProtected else { continue }
            guard let shorter = strip(record, of: qname, chain: facts.chain, hiding: policy) else { continue }
            types.insert(record.type)
            data[index] = shorter
        }
        return (types, data)
    }

    /// The data of an SVCB or HTTPS record without what would let a client find or hide a name that the policy hides: the
    /// qname, one of its aliases, or the record's own target. Nil when nothing is to be taken out.
    private func strip(
        _ record: LDNSRecord, of qname: Name, chain: [Name], hiding policy: PolicySnapshot
    ) -> [UInt8]? {
        let data = record.wireData
        guard let binding = unsafe ServiceBinding(data.span.bytes) else { return nil }
        let names = [qname, binding.target] + chain
        guard names.contains(where: { $0.byteCount > 1 && policy.hides($0.bytes) }) else { return nil }
        let shorter = unsafe binding.stripped(data.span.bytes)
        return shorter.count < data.count ? shorter : nil
    }

    /// Takes over the SOA whose zone holds the name, and the records of that zone that prove the denial. Returns the TTL in
    /// seconds: the lesser of the SOA's TTL and its MINIMUM field (RFC 2308 section 5); 0 without an SOA.
    func takeDenial(
        _ message: borrowing LDNSMessage, of name: Name, qclass: UInt16, into composed: inout LDNSMessage
    ) -> UInt32 {
        let count = message.count(.authority)
        var soa = -1
        for index in 0..<count where soa < 0 {
            let record = message.record(.authority, index)
            guard record.type == RecordType.soa.code, record.qclass == qclass else { continue }
            if record.isOwned(by: name) || record.isAbove(name) { soa = index }
        }
        guard soa >= 0, let zone = message.record(.authority, soa).ownerName else { return 0 }
        let start = message.record(.authority, soa)
        let ttl = min(start.ttl, start.soaMinimum, limits.negative)
        var shortest = ttl
        for index in 0..<count {
            let record = message.record(.authority, index)
            guard record.qclass == qclass, record.isWithin(zone), index == soa || record.isProof(orSOA: true) else {
                continue
            }
            let capped = index == soa ? ttl : min(record.ttl, ttl)
            shortest = min(shortest, capped)
            composed.add(record, to: .authority, ttl: capped)
        }
        return shortest
    }

    /// Takes over the NSEC records that prove that an answer from a wildcard may be one (RFC 4035 section 3.1.3.3).
    func takeWildcardProof(_ message: borrowing LDNSMessage, into composed: inout LDNSMessage) -> UInt32 {
        var shortest = UInt32.max
        guard
            let signature = keepsAnswer.indices.first(where: {
                keepsAnswer[$0] && message.record(.answer, $0).type == LDNSRecord.rrsig
            }), let zone = message.record(.answer, signature).signer
        else { return shortest }
        for index in 0..<message.count(.authority) {
            let record = message.record(.authority, index)
            guard record.isProof(orSOA: false), record.isWithin(zone) else { continue }
            let ttl = min(record.ttl, limits.positive)
            shortest = min(shortest, ttl)
            composed.add(record, to: .authority, ttl: ttl)
        }
        return shortest
    }
}
