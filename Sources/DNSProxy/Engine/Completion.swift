import Blocklist
import Kernel
import Wire

/// What became of the slot that an upstream answered last, and what the question of each slot is.
@safe
struct Completion: ~Copyable {
    /// The question of a slot.
    private struct Asked {
        var name: Name
        var key: QuestionKey
    }

    /// Names of 255 bytes at most.
    private static let chainByteCount = Admission.chainLimit * 255

    private let asked: UnsafeMutablePointer<Asked>
    private let slots: Int
    private var admission: Admission
    private let buffer: UnsafeMutableRawBufferPointer
    private let targets: UnsafeMutableRawBufferPointer
    private var targetByteCount = 0

    private(set) var slot = 0
    private(set) var upstream = SocketAddress.none
    private(set) var isAdmitted = false
    private(set) var facts = AdmittedReply()
    /// Why there is no reply.
    var error = ExtendedError.noReachableAuthority

    init(slots: Int, limits: Admission.Limits) {
        self.slots = slots
        admission = Admission(limits: limits)
        unsafe asked = .allocate(capacity: slots)
        unsafe buffer = .allocate(byteCount: 65535, alignment: 16)
        unsafe targets = .allocate(byteCount: Completion.chainByteCount, alignment: 16)
    }

    deinit {
        unsafe asked.deallocate()
        unsafe buffer.deallocate()
        unsafe targets.deallocate()
    }

    /// For the replies admitted from now on.
    mutating func setLimits(_ limits: Admission.Limits) {
        admission.limits = limits
    }

    /// Notes the question that a slot asks.
    mutating func remember(_ slot: Int, _ name: Name, _ key: QuestionKey) {
        precondition(slot >= 0 && slot < slots)
        unsafe (asked + slot).initialize(to: Asked(name: name, key: key))
    }

    /// The qname of a slot that was remembered.
    func name(_ slot: Int) -> Name {
        precondition(slot >= 0 && slot < slots)
        return unsafe asked[slot].name
    }

    func key(_ slot: Int) -> QuestionKey {
        precondition(slot >= 0 && slot < slots)
        return unsafe asked[slot].key
    }

    mutating func begin(_ slot: Int, _ upstream: SocketAddress) {
        self.slot = slot
        self.upstream = upstream
        isAdmitted = false
        targetByteCount = 0
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
        keepChain()
        return true
    }

    /// Writes the targets of the CNAMEs one behind the other.
    private mutating func keepChain() {
        var out = unsafe targets.mutableBytes
        for target in facts.chain {
            out.put(targetByteCount, target.bytes)
            targetByteCount += target.byteCount
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

    /// The targets of the admitted message's CNAMEs in order, in wire form and lower case, one behind the other.
    var chain: RawSpan {
        @_lifetime(borrow self)
        get {
            let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(targets)).extracting(first: targetByteCount)
            return unsafe _overrideLifetime(bytes, borrowing: self)
        }
    }
}
