import Blocklist
import Foundation
import Kernel
import Wire

/// Rules on flows in a state directory of their own, so many of each kind, and what a verdict on a flow costs with them.
struct FlowRules {
    /// Flows that one kind of rule speaks of, with names as `Names`.
    struct Flows {
        var remotes: [IPAddress] = []
        var ports: [UInt16] = []
        var owners: [Owner] = []
        var names = Names()
    }

    static let flows = 4096
    private let count: Int
    private var random: Seeded
    private var prefixes: [IPPrefix] = []
    private var names: [String] = []
    private var ports: [ClosedRange<UInt16>] = []

    init(_ count: Int, seed: UInt64) {
        self.count = count
        random = Seeded(state: seed)
        for index in 0..<count {
            prefixes.append(prefix())
            names.append("\(word()).\(index % 4 == 0 ? "\(word())." : "")example")
            let first = UInt16(1024 + index % 40_000)
            ports.append(first...(index % 2 == 0 ? first : first + UInt16.random(in: 1...200, using: &random)))
        }
    }

    /// One in four of IPv6.
    private mutating func prefix() -> IPPrefix {
        if Int.random(in: 0..<4, using: &random) == 0 {
            let address = IPAddress(high: 0x2001_0db8_0000_0000 | random.next() >> 32, low: random.next())
            return IPPrefix(address, length: .random(in: 40...128, using: &random))
        }
        let address = IPAddress(v4: 10 << 24 | UInt32(truncatingIfNeeded: random.next()) >> 8)
        return IPPrefix(address, length: .random(in: 14...32, using: &random))
    }

    private mutating func word() -> String { String(random.next() >> 30, radix: 36) }

    private func app(_ index: Int) -> String { "/opt/program-\(index)/bin/program" }

    /// The rules in a state directory; the seconds until they are in force.
    func store(_ state: String) throws -> (policy: PolicySnapshot, seconds: Double) {
        let store = try BlocklistStore(state: state)
        var requests: [BlocklistStore.FlowRequest] = []
        for index in 0..<count {
            var conditions = [FlowConditions](repeating: FlowConditions(), count: 4)
            conditions[0].remote = prefixes[index]
            conditions[1].name = names[index]
            conditions[2].ports = ports[index]
            conditions[3].owner = try RuleOwner(app: app(index), user: nil)
            requests += conditions.map { .init(.deny, $0) }
        }
        _ = try store.setFlowRules(requests)
        _ = try store.snapshot()
        let start = Clock.monotonic()
        let policy = try store.snapshot()
        return (policy, Double(Clock.monotonic() - start) / 1e9)
    }

    /// Flows that no rule speaks of, and those of one kind of rule each.
    enum Kind: String, CaseIterable { case none, prefix, name, port, app }

    mutating func flows(_ kind: Kind) -> Flows {
        var flows = Flows()
        for _ in 0..<FlowRules.flows {
            let index = Int.random(in: 0..<count, using: &random)
            flows.remotes.append(
                kind == .prefix ? prefixes[index].address : IPAddress(v4: 198 << 24 | 51 << 16 | 100 << 8 | 7))
            flows.ports.append(kind == .port ? ports[index].lowerBound : 443)
            let path = kind == .app ? app(index) : "/usr/bin/browser"
            flows.owners.append(Owner(uid: 1000, pid: 7, path: Owner.hash(of: path), name: 1, certainty: .exact))
            flows.names.append("www." + (kind == .name ? names[index] : "\(word()).test"))
        }
        return flows
    }
}

/// Nanoseconds of processor time a verdict, the median of nine rounds.
func measure(_ what: String, _ flows: FlowRules.Flows, _ policy: PolicySnapshot, isNameFinal: Bool, dropped: Bool) {
    var rounds: [Double] = []
    for round in 0..<10 {
        var found = 0
        let start = processorTime()
        flows.names.bytes.withUnsafeBytes { bytes in
            var begin = 0
            for index in 0..<FlowRules.flows {
                let end = flows.names.ends[index]
                let name = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[begin..<end]))
                let verdict = policy.flowVerdict(
                    remote: flows.remotes[index], port: flows.ports[index], proto: 6, name: name,
                    asker: Asker(owner: flows.owners[index]), isNameFinal: isNameFinal)
                if verdict.action == .drop { found += 1 }
                begin = end
            }
        }
        if round > 0 { rounds.append((processorTime() - start) / Double(FlowRules.flows)) }
        guard found == (dropped ? FlowRules.flows : 0) else { fail("lists: flows of \(what): \(found) cut") }
    }
    print(what, String(format: "%.1f", rounds.sorted()[rounds.count / 2]))
}

func flows(_ state: String, _ count: Int, seed: UInt64) throws {
    var rules = FlowRules(count, seed: seed)
    let (policy, seconds) = try rules.store(state)
    print("policy_seconds", String(format: "%.4f", seconds))
    for kind in FlowRules.Kind.allCases {
        measure(kind.rawValue, rules.flows(kind), policy, isNameFinal: true, dropped: kind != .none)
    }
    measure("unnamed", rules.flows(.none), policy, isNameFinal: false, dropped: false)
}
