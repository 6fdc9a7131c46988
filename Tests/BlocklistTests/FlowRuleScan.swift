import Kernel
import Wire

@testable import Blocklist

/// Rules on flows asked as they are written, one by one, and rules and flows at random.
extension FlowRuleSetTests {
    /// What is asked of both.
    struct Flow {
        var facts = FlowFacts()
        var app: String?
        var uid: UInt32?
        var name = ""
    }

    /// The rules in their documented order, asked in turn.
    struct Scan {
        let rules: [FlowRule]

        init(_ rules: [FlowRule]) {
            self.rules = rules.sorted { left, right in
                for (one, other) in zip(Scan.says(left), Scan.says(right)) where one != other { return one > other }
                return left.id < right.id
            }
        }

        static func says(_ rule: FlowRule) -> [Int] {
            let conditions = rule.conditions
            let path = conditions.owner.app?.hasPrefix("/")
            return [
                path == true ? 2 : path == false ? 1 : 0, conditions.owner.uid == nil ? 0 : 1,
                conditions.name?.split(separator: ".").count ?? 0, conditions.isExact ? 1 : 0,
                conditions.remote?.length ?? -1, conditions.ports.map { -$0.count } ?? -65_537,
                conditions.proto == nil ? 0 : 1, rule.action == .allow ? 1 : 0,
            ]
        }

        /// Whether all conditions hold but that on the name.
        static func holds(_ rule: FlowRule, _ flow: Flow) -> Bool {
            let conditions = rule.conditions
            if rule.groups.isDisjoint(with: flow.facts.groups) { return false }
            if let remote = conditions.remote, !remote.contains(flow.facts.remote) { return false }
            if let ports = conditions.ports {
                guard [6, 17, 33, 132, 136].contains(flow.facts.proto), ports.contains(flow.facts.port) else {
                    return false
                }
            }
            if let proto = conditions.proto, proto != flow.facts.proto { return false }
            return holds(conditions.owner, flow)
        }

        static func holds(_ owner: RuleOwner, _ flow: Flow) -> Bool {
            if let uid = owner.uid, uid != flow.uid { return false }
            guard let app = owner.app else { return true }
            guard let path = flow.app else { return false }
            return app.hasPrefix("/") ? path == app : path.hasSuffix("/" + app)
        }

        static func covers(_ conditions: FlowConditions, _ name: String) -> Bool {
            guard let wanted = conditions.name else { return true }
            return name == wanted || !conditions.isExact && name.hasSuffix("." + wanted)
        }

        func match(_ flow: Flow, isNamed: Bool) -> (action: FlowVerdict.Action, rule: Int32)? {
            var mayBeForbidden = false
            for rule in rules where Scan.holds(rule, flow) {
                if rule.conditions.name != nil, !isNamed {
                    if rule.action == .allow { return (.peek, -1) }
                    mayBeForbidden = true
                } else if Scan.covers(rule.conditions, flow.name) {
                    if mayBeForbidden, rule.action == .allow { return (.peek, -1) }
                    return (rule.action == .allow ? .allow : .drop, rule.id)
                }
            }
            return mayBeForbidden ? (.peek, -1) : nil
        }

        func query(_ flow: Flow) -> Int32? {
            rules.first {
                !$0.groups.isDisjoint(with: flow.facts.groups) && Scan.holds($0.conditions.owner, flow)
                    && Scan.covers($0.conditions, flow.name)
            }?.id
        }

        func denies(_ name: String) -> Bool {
            rules.contains { $0.action == .deny && $0.conditions.name != nil && Scan.covers($0.conditions, name) }
        }
    }

    /// Rules and flows out of few words, so that many rules speak of a flow.
    struct Source {
        var random: Seeded
        /// How many of a hundred rules have each condition.
        var share = 40
        let apps = ["/usr/bin/curl", "/opt/curl", "/usr/bin/ssh", "curl", "ssh"]
        let users: [UInt32] = [0, 1000, 4_000_000_000]
        let ports: [UInt16] = [1, 2, 53, 80, 443, 444, 1023, 1024, 8080, 32_768, 65_535]
        let protos: [UInt8] = [6, 17, 1, 132]

        mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

        mutating func pick<T>(_ all: [T]) -> T { all[Int.random(in: 0..<all.count, using: &random)] }

        mutating func name() -> String {
            (0..<Int.random(in: 1...4, using: &random)).map { _ in pick(["a", "shop", "example", "xn--a"]) }
                .joined(separator: ".")
        }

        mutating func address() -> IPAddress {
            let bits = random.next() & 0x8000_0001_0000_0103
            return chance(50)
                ? IPAddress(v4: UInt32(truncatingIfNeeded: bits)) : IPAddress(high: bits, low: random.next() & 0x1_0001)
        }

        mutating func port() -> UInt16 { chance(70) ? pick(ports) : .random(in: 1...65_535, using: &random) }

        mutating func groups() -> GroupSet { GroupSet(rawValue: UInt64.random(in: 1...7, using: &random)) }

        mutating func rule(_ id: Int32, ofQueries: Bool = false) -> FlowRule {
            var conditions = FlowConditions()
            if !ofQueries {
                if chance(share) {
                    let address = address()
                    conditions.remote = IPPrefix(
                        address, length: .random(in: 0...address.byteCount * 8, using: &random))
                }
                if chance(share) {
                    let (one, other) = (port(), port())
                    conditions.ports = chance(40) ? one...one : min(one, other)...max(one, other)
                }
                if chance(share) { conditions.proto = pick(protos) }
            }
            if chance(share) {
                conditions.name = name()
                conditions.isExact = chance(30)
            }
            if chance(share / 2) { conditions.owner.app = pick(apps) }
            if chance(share / 2) {
                let uid = pick(users)
                conditions.owner.uid = uid
                conditions.owner.user = "\(uid)"
            }
            return FlowRule(
                id: id, action: chance(50) ? .allow : .deny, conditions: conditions, comment: "", added: 0,
                groups: groups())
        }

        mutating func flow() -> Flow {
            var flow = Flow()
            flow.facts.remote = address()
            flow.facts.port = port()
            flow.facts.proto = pick(protos)
            flow.facts.groups = groups()
            if chance(90) { flow.name = name() }
            if chance(70) {
                let app = pick(Array(apps[..<3]))
                flow.app = app
                flow.facts.owner.path = Owner.hash(of: app)
                flow.facts.owner.name = Owner.hash(of: String(app.split(separator: "/").last!))
            }
            if chance(70) {
                let uid = pick(users)
                flow.uid = uid
                flow.facts.owner.uid = Int32(bitPattern: uid)
            }
            return flow
        }
    }
}
