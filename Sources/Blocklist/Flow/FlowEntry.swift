import Kernel
import Wire

/// What is known of a flow, its name aside; of a query the owner and the groups.
struct FlowFacts {
    var remote = IPAddress(v4: 0)
    /// The remote port, 0 for a protocol without ports.
    var port: UInt16 = 0
    var proto: UInt8 = 0
    var owner = Owner.unknown
    /// Those in force; rules of no other count.
    var groups = GroupSet.every

    /// TCP, UDP, DCCP, SCTP and UDP-Lite have ports.
    @inline(__always)
    static func hasPorts(_ proto: UInt8) -> Bool {
        proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136
    }
}

/// A rule on flows as integers.
struct FlowEntry {
    private let high: UInt64
    private let low: UInt64
    private let maskHigh: UInt64
    private let maskLow: UInt64
    private let owner: OwnerCondition
    private let groups: GroupSet
    /// -1: every protocol.
    private let proto: Int16
    private let firstPort: UInt16
    private let lastPort: UInt16
    private let hasPorts: Bool
    /// 0: both families.
    private let family: UInt8
    let isExact: Bool
    /// Of the name.
    let labels: UInt8
    let allow: Bool
    /// The rule's id.
    let rule: Int32
    /// The name in wire form: where it begins among the set's names and its bytes, 0 for none.
    let namePlace: Int32
    let nameCount: Int32

    init(_ rule: FlowRule, namePlace: Int, nameCount: Int) {
        let conditions = rule.conditions
        let mask = conditions.remote.map { IPPrefix.mask(length: $0.length, isIPv6: $0.address.isIPv6) }
        high = conditions.remote?.address.high ?? 0
        low = conditions.remote?.address.low ?? 0
        maskHigh = mask?.high ?? 0
        maskLow = mask?.low ?? 0
        family = conditions.remote.map { $0.address.isIPv6 ? 6 : 4 } ?? 0
        owner = OwnerCondition(conditions.owner)
        groups = rule.groups
        proto = conditions.proto.map { Int16($0) } ?? -1
        hasPorts = conditions.ports != nil
        firstPort = conditions.ports?.lowerBound ?? 0
        lastPort = conditions.ports?.upperBound ?? .max
        isExact = conditions.isExact
        labels = UInt8(conditions.labels)
        allow = rule.action == .allow
        self.rule = rule.id
        self.namePlace = Int32(namePlace)
        self.nameCount = Int32(nameCount)
    }

    var hasOwner: Bool { !owner.isEmpty }

    /// Whether all conditions but that on the name hold.
    @inline(__always)
    func holds(_ facts: FlowFacts) -> Bool {
        !groups.isDisjoint(with: facts.groups) && (proto < 0 || proto == Int16(facts.proto))
            && (!hasPorts || FlowFacts.hasPorts(facts.proto) && firstPort <= facts.port && facts.port <= lastPort)
            && (family == 0 || (family == 6) == facts.remote.isIPv6)
            && facts.remote.high & maskHigh == high && facts.remote.low & maskLow == low && owner.holds(facts.owner)
    }
}
