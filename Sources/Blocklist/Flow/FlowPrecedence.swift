/// Which of two rules on flows is asked first, the lesser: what says more, by program and user, name, address, port,
/// protocol; of equals the allowing rule, then the older one.
struct FlowPrecedence: Comparable {
    /// The conditions by how much they say, in the order in which they are compared, from the upper bits to the lower.
    private let says: UInt64
    private let id: Int32

    init(_ rule: FlowRule) {
        let conditions = rule.conditions
        let name = conditions.labels * 2 + (conditions.isExact ? 1 : 0)
        let prefix = conditions.remote.map { $0.length + 1 } ?? 0
        let ports = conditions.ports.map { 65_537 - $0.count } ?? 0
        var says = UInt64(OwnerCondition(conditions.owner).rank)
        for (value, bits) in [(name, 8), (prefix, 8), (ports, 17), (conditions.proto == nil ? 0 : 1, 1)] {
            says = says << UInt64(bits) | UInt64(value)
        }
        self.says = says << 1 | (rule.action == .allow ? 1 : 0)
        id = rule.id
    }

    static func < (left: FlowPrecedence, right: FlowPrecedence) -> Bool {
        left.says != right.says ? left.says > right.says : left.id < right.id
    }
}

extension FlowConditions {
    /// Of the name; 0 without one.
    var labels: Int {
        name.map { $0.utf8.count { $0 == NameBytes.dot } + 1 } ?? 0
    }
}
