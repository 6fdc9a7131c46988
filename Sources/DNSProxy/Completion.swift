import Blocklist
import Kernel
import Wire

/// What became of the slot that an upstream answered last, and whose question each slot is.
@safe
struct Completion: ~Copyable {
    /// The question of a slot.
    private struct Asked {
        var name: Name
        var key: QuestionKey
        /// One who asked it.
        var client: IPAddress
        var owner: Owner
    }

    private let asked: UnsafeMutablePointer<Asked>
    private let slots: Int
    private var admission: Admission
    private let buffer: UnsafeMutableRawBufferPointer

    private(set) var slot = 0
    private(set) var upstream = SocketAddress.none
    private(set) var isAdmitted = false
    private(set) var facts = AdmittedReply()
    /// The policy's word over the qname, or over the CNAME target that is blocked.
    private(set) var verdict = Verdict.forward
    private(set) var isPaused = false
    /// The qname is blocked by now, or a CNAME target is and no rule allows the qname.
    private(set) var isBlocked = false
    /// Why it is blocked.
    private(set) var reason = Reason.none
    /// Why there is no reply.
    var error = ExtendedError.noReachableAuthority

    init(slots: Int, limits: Admission.Limits) {
        self.slots = slots
        admission = Admission(limits: limits)
        unsafe asked = .allocate(capacity: slots)
        unsafe buffer = .allocate(byteCount: 65535, alignment: 16)
    }

    deinit {
        unsafe asked.deallocate()
        unsafe buffer.deallocate()
    }

    /// For the replies admitted from now on.
    mutating func setLimits(_ limits: Admission.Limits) {
        admission.limits = limits
    }

    /// Notes the question that a slot asks.
    mutating func remember(_ slot: Int, _ name: Name, _ key: QuestionKey, _ origin: Origin) {
        precondition(slot >= 0 && slot < slots)
        unsafe (asked + slot).initialize(to: Asked(name: name, key: key, client: origin.client, owner: origin.owner))
    }

    /// The qname of a slot that was remembered.
    func name(_ slot: Int) -> Name {
        precondition(slot >= 0 && slot < slots)
        return unsafe asked[slot].name
    }

    /// The profile of one who asked a slot's question.
    func profile(_ slot: Int, _ policy: PolicySnapshot) -> UInt16 {
        precondition(slot >= 0 && slot < slots)
        return unsafe policy.profile(of: asked[slot].client, owner: asked[slot].owner)
    }

    func key(_ slot: Int) -> QuestionKey {
        precondition(slot >= 0 && slot < slots)
        return unsafe asked[slot].key
    }

    mutating func begin(_ slot: Int, _ upstream: SocketAddress) {
        self.slot = slot
        self.upstream = upstream
        isAdmitted = false
        isBlocked = false
        verdict = .forward
    }

    /// Lets ldns parse the reply. `false` when it is not fit to be an answer.
    ///
    /// - Parameter policy: what SVCB and HTTPS records must not tell; nil in a pause.
    mutating func admit(
        _ reply: RawSpan, _ name: borrowing Name, _ slot: Int, _ policy: PolicySnapshot?
    ) -> Bool {
        let key = key(slot)
        var out = unsafe buffer.mutableBytes
        let admitted = admission.admit(
            reply, name: name, qtype: key.qtype, qclass: key.qclass, hiding: policy, into: &out)
        guard let admitted else {
            error = .invalidData
            return false
        }
        facts = admitted
        isAdmitted = true
        return true
    }

    /// Asks the policy over the qname again, and over each CNAME target unless a rule allows the qname.
    mutating func judge(_ name: borrowing Name, _ policy: PolicySnapshot, _ asker: Asker, isPaused: Bool) {
        self.isPaused = isPaused
        isBlocked = false
        verdict = .forward
        if isPaused { return }
        let qtype = key(slot).qtype
        verdict = policy.verdict(for: name.bytes, qtype: qtype, asker: asker)
        if verdict.givesAnswer { verdict = .forward }
        if verdict.action == .block {
            // A rule that came while the question was in flight.
            isBlocked = true
            reason = Reason(verdict)
        }
        if verdict.action != .forward { return }
        for target in facts.chain {
            let found = policy.verdict(for: target.bytes, qtype: qtype, asker: asker)
            if found.action == .allow { return }
            if found.action == .block, !found.givesAnswer {
                verdict = found
                isBlocked = true
                reason = .cname
                return
            }
        }
    }

    /// The admitted message: ID 0, question in lower case, no OPT record.
    var message: RawSpan {
        @_lifetime(borrow self)
        get {
            let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(buffer)).extracting(first: facts.byteCount)
            return unsafe _overrideLifetime(bytes, borrowing: self)
        }
    }
}
