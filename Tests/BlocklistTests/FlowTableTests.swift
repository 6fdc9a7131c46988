import CAllocations
import Kernel
import Testing
import Wire

@testable import Blocklist

/// The order of precedence of flows as a table: rules, lists and switch of a real store, flows, and what the policy says of
/// them. docs/policy.md has the same table.
struct FlowTableTests {
    struct Flow: Sendable {
        var remote = "203.0.113.7"
        var port: UInt16 = 443
        var proto: UInt8 = 6
        var name = ""
        var app: String?
        var uid: UInt32?
        var isNameFinal = true
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var title: String
        var flows: [BlocklistStore.FlowRequest] = []
        var rules: [BlocklistStore.RuleRequest] = []
        var deny: [String] = []
        var allow: [String] = []
        var isBypassOn = false
        var flow = Flow()
        var action: FlowVerdict.Action
        var reason: FlowVerdict.Reason

        var testDescription: String { title }
    }

    static func flow(
        _ action: UserRule.Action, _ remote: String? = nil, name: String? = nil, isExact: Bool = false,
        ports: ClosedRange<UInt16>? = nil, proto: UInt8? = nil, app: String? = nil, user: String? = nil
    ) -> BlocklistStore.FlowRequest {
        var conditions = FlowConditions()
        conditions.remote = remote.map(PrefixTableTests.prefix)
        conditions.name = name
        conditions.isExact = isExact
        conditions.ports = ports
        conditions.proto = proto
        guard let owner = try? RuleOwner(app: app, user: user) else { fatalError() }
        conditions.owner = owner
        return .init(action, conditions)
    }

    static let specific: [Case] = [
        Case(title: "nothing matches: the default", action: .allow, reason: .none),
        Case(title: "a prefix", flows: [flow(.deny, "203.0.113.0/24")], action: .drop, reason: .flow),
        Case(
            title: "the longer prefix wins", flows: [flow(.deny, "203.0.113.0/24"), flow(.allow, "203.0.113.0/28")],
            action: .allow, reason: .flow),
        Case(
            title: "an address over a prefix that allows",
            flows: [flow(.allow, "203.0.113.0/24"), flow(.deny, "203.0.113.7")], action: .drop, reason: .flow),
        Case(
            title: "an address over a port", flows: [flow(.deny, ports: 443...443), flow(.allow, "203.0.113.7")],
            action: .allow, reason: .flow),
        Case(
            title: "a narrower range of ports",
            flows: [flow(.deny, ports: 1...1023), flow(.allow, ports: 400...500)], action: .allow, reason: .flow),
        Case(
            title: "a port over a protocol", flows: [flow(.allow, proto: 6), flow(.deny, ports: 443...443)],
            action: .drop, reason: .flow),
        Case(
            title: "of equal conditions the last one made stands",
            flows: [flow(.allow, ports: 443...443), flow(.deny, ports: 443...443)], action: .drop, reason: .flow),
        Case(
            title: "of rules that say as much allow wins",
            flows: [flow(.deny, name: "shop.example"), flow(.allow, name: "www.shop.example", isExact: false)],
            flow: Flow(name: "www.shop.example"), action: .allow, reason: .flow),
        Case(
            title: "a name over an address", flows: [flow(.deny, "203.0.113.7"), flow(.allow, name: "shop.example")],
            flow: Flow(name: "www.shop.example"), action: .allow, reason: .flow),
        Case(
            title: "an exact name over the same name",
            flows: [
                flow(.deny, name: "shop.example"), flow(.allow, name: "shop.example", isExact: true),
            ], flow: Flow(name: "shop.example"), action: .allow, reason: .flow),
        Case(
            title: "an exact name is not what is below it",
            flows: [
                flow(.deny, name: "shop.example"), flow(.allow, name: "shop.example", isExact: true),
            ], flow: Flow(name: "www.shop.example"), action: .drop, reason: .flow),
        Case(
            title: "a program over a name", flows: [flow(.allow, name: "shop.example"), flow(.deny, app: "curl")],
            flow: Flow(name: "shop.example", app: "/usr/bin/curl"), action: .drop, reason: .flow),
        Case(
            title: "a path over a program's name",
            flows: [flow(.deny, app: "curl"), flow(.allow, app: "/usr/bin/curl")],
            flow: Flow(app: "/usr/bin/curl"), action: .allow, reason: .flow),
        Case(
            title: "another path", flows: [flow(.deny, app: "curl"), flow(.allow, app: "/usr/bin/curl")],
            flow: Flow(app: "/opt/curl"), action: .drop, reason: .flow),
        Case(
            title: "a program over a user", flows: [flow(.deny, user: "1000"), flow(.allow, app: "curl")],
            flow: Flow(app: "/usr/bin/curl", uid: 1000), action: .allow, reason: .flow),
        Case(
            title: "another user", flows: [flow(.deny, user: "1000")], flow: Flow(app: "/usr/bin/curl", uid: 1001),
            action: .allow, reason: .none),
        Case(
            title: "an owner that is not known", flows: [flow(.deny, app: "curl"), flow(.deny, user: "0")],
            action: .allow, reason: .none),
    ]

    static let conditions: [Case] = [
        Case(title: "another protocol", flows: [flow(.deny, proto: 17)], action: .allow, reason: .none),
        Case(
            title: "a port with UDP", flows: [flow(.deny, ports: 443...443, proto: 17)], flow: Flow(proto: 17),
            action: .drop, reason: .flow),
        Case(
            title: "ICMP has no ports", flows: [flow(.deny, ports: 1...65535)], flow: Flow(port: 8, proto: 1),
            action: .allow, reason: .none),
        Case(
            title: "every IPv4 address", flows: [flow(.deny, "0.0.0.0/0")], action: .drop, reason: .flow),
        Case(
            title: "every IPv4 address is none of IPv6", flows: [flow(.deny, "0.0.0.0/0")],
            flow: Flow(remote: "2001:db8::1"), action: .allow, reason: .none),
        Case(
            title: "a suffix begins at a label", flows: [flow(.deny, name: "shop.example")],
            flow: Flow(name: "myshop.example"), action: .allow, reason: .none),
    ]

    static let order: [Case] = [
        Case(
            title: "a flow rule over a rule on names", flows: [flow(.allow, "203.0.113.7")],
            rules: [.init(.deny, .suffix, "ads.example")], flow: Flow(name: "ads.example"), action: .allow,
            reason: .flow),
        Case(
            title: "a name blocked for DNS", rules: [.init(.deny, .suffix, "ads.example")],
            flow: Flow(name: "www.ads.example"), action: .drop, reason: .rule),
        Case(
            title: "a listed name", deny: ["ads.example"], flow: Flow(name: "www.ads.example"), action: .drop,
            reason: .list),
        Case(
            title: "a rule on names over a list of addresses", rules: [.init(.allow, .suffix, "shop.example")],
            deny: ["203.0.113.0/24"], flow: Flow(name: "shop.example"), action: .allow, reason: .rule),
        Case(
            title: "an allow list of names over a list of addresses", deny: ["203.0.113.0/24"], allow: ["shop.example"],
            flow: Flow(name: "shop.example"), action: .allow, reason: .list),
        Case(
            title: "an allow list of addresses over a list of names", deny: ["ads.example"], allow: ["203.0.113.0/24"],
            flow: Flow(name: "ads.example"), action: .allow, reason: .list),
        Case(
            title: "a regular expression for a program",
            rules: [
                .init(.deny, .regex, "^ad", owner: owner(app: "curl"))
            ], flow: Flow(name: "ads.example", app: "/usr/bin/curl"), action: .drop, reason: .rule),
    ]

    static let bypass: [Case] = [
        Case(title: "off", flow: Flow(remote: "192.0.2.1", port: 853), action: .allow, reason: .none),
        Case(
            title: "DNS over TLS", isBypassOn: true, flow: Flow(remote: "192.0.2.1", port: 853), action: .drop,
            reason: .bypass),
        Case(
            title: "DNS over QUIC", isBypassOn: true, flow: Flow(remote: "2001:db8::1", port: 853, proto: 17),
            action: .drop, reason: .bypass),
        Case(
            title: "DNS over HTTPS by address", isBypassOn: true, flow: Flow(remote: "9.9.9.9"), action: .drop,
            reason: .bypass),
        Case(
            title: "the same over QUIC", isBypassOn: true, flow: Flow(remote: "2620:fe::fe", proto: 17), action: .drop,
            reason: .bypass),
        Case(
            title: "another port of a resolver", isBypassOn: true, flow: Flow(remote: "9.9.9.9", port: 80),
            action: .allow, reason: .none),
        Case(
            title: "DNS over HTTPS by name", isBypassOn: true, flow: Flow(name: "dns.google"), action: .drop,
            reason: .bypass),
        Case(
            title: "a rule on names is an exception", rules: [.init(.allow, .suffix, "dns.google")], isBypassOn: true,
            flow: Flow(remote: "8.8.8.8", name: "dns.google"), action: .allow, reason: .rule),
        Case(
            title: "a flow rule is an exception", flows: [flow(.allow, "9.9.9.9", ports: 853...853)], isBypassOn: true,
            flow: Flow(remote: "9.9.9.9", port: 853), action: .allow, reason: .flow),
        Case(
            title: "an allow list is an exception", allow: ["9.9.9.9"], isBypassOn: true, flow: Flow(remote: "9.9.9.9"),
            action: .allow, reason: .list),
    ]

    /// Before the name is known.
    static let early: [Case] = [
        Case(title: "no names anywhere", flow: Flow(isNameFinal: false), action: .allow, reason: .none),
        Case(
            title: "names are listed", deny: ["ads.example"], flow: Flow(isNameFinal: false), action: .peek,
            reason: .none),
        Case(
            title: "a name of an answer may be another's", deny: ["ads.example"],
            flow: Flow(name: "ads.example", isNameFinal: false), action: .peek, reason: .none),
        Case(
            title: "a rule that needs no name", flows: [flow(.deny, "203.0.113.7")], deny: ["ads.example"],
            flow: Flow(isNameFinal: false), action: .drop, reason: .flow),
        Case(
            title: "a rule with a name that comes before",
            flows: [
                flow(.deny, "203.0.113.7"), flow(.allow, name: "shop.example"),
            ], flow: Flow(isNameFinal: false), action: .peek, reason: .none),
        Case(
            title: "a listed address at once", deny: ["203.0.113.7", "192.0.2.1"],
            flow: Flow(isNameFinal: false), action: .drop, reason: .list),
        Case(
            title: "a listed address of an allowed name", rules: [.init(.allow, .suffix, "shop.example")],
            deny: ["203.0.113.7"], flow: Flow(name: "shop.example", isNameFinal: false), action: .peek, reason: .none),
        Case(
            title: "a bypass at once", deny: ["ads.example"], isBypassOn: true,
            flow: Flow(port: 853, isNameFinal: false), action: .drop, reason: .bypass),
    ]

    static func owner(app: String) -> RuleOwner {
        guard let owner = try? RuleOwner(app: app, user: nil) else { fatalError() }
        return owner
    }

    @Test(arguments: specific + conditions + order + bypass + early)
    func decides(_ item: Case) throws {
        let scratch = try Scratch()
        let policy = try FlowTableTests.policy(item, scratch)
        let verdict = FlowTableTests.judge(policy, item.flow)
        #expect(verdict.action == item.action)
        #expect(verdict.reason == item.reason)
        let isOfList = verdict.list > 0
        #expect(isOfList == (item.reason == .list))
    }

    static func policy(_ item: Case, _ scratch: Scratch) throws -> PolicySnapshot {
        let store = try BlocklistStore(state: scratch.path + "/state")
        for (title, lines, isAllowing) in [("deny", item.deny, false), ("allow", item.allow, true)] where !lines.isEmpty
        {
            let file = try scratch.file(title + ".txt", lines.joined(separator: "\n") + "\n")
            _ = try store.add(file, .init(allow: isAllowing))
        }
        _ = try store.setFlowRules(item.flows)
        _ = try store.setRules(item.rules)
        if item.isBypassOn {
            try store.loadResolvers(BypassTests.data)
            try store.setBypass(true)
        }
        return try store.snapshot()
    }

    static func judge(_ policy: PolicySnapshot, _ flow: Flow) -> FlowVerdict {
        var owner = Owner.unknown
        if let uid = flow.uid { owner.uid = Int32(bitPattern: uid) }
        if let app = flow.app {
            owner.path = Owner.hash(of: app)
            owner.name = Owner.hash(of: String(app.split(separator: "/").last!))
        }
        let name = flow.name.isEmpty ? [] : wire(flow.name)
        return policy.flowVerdict(
            remote: IPAddress(flow.remote)!, port: flow.port, proto: flow.proto, name: name.span.bytes,
            asker: Asker(owner: owner),
            isNameFinal: flow.isNameFinal)
    }

    @Test func verdictsDoNotAllocate() throws {
        let scratch = try Scratch()
        let policy = try FlowTableTests.policy(
            Case(
                title: "",
                flows: [
                    FlowTableTests.flow(.deny, name: "games.example", app: "curl"),
                    FlowTableTests.flow(.deny, "203.0.113.0/24", ports: 25...25),
                ], rules: [.init(.deny, .regex, "^ad[0-9]", owner: FlowTableTests.owner(app: "curl"))],
                deny: ["ads.example", "tracker.example"], isBypassOn: true, action: .allow, reason: .none), scratch)
        let asker = Asker(
            owner: Owner(uid: 1000, pid: 7, path: 1, name: Owner.hash(of: "curl"), certainty: .exact))
        let names = ["", "ads.example", "www.games.example", "ad7.example", "dns.google", "nothing.example"].map {
            $0.isEmpty ? [] : wire($0)
        }
        let addresses = ["203.0.113.7", "9.9.9.9", "2001:db8::1", "192.0.2.1"].map { IPAddress($0)! }
        var allocations: UInt = 0
        var drops = 0
        for round in 0..<20 {
            for (name, address) in names.flatMap({ name in addresses.map { (name, $0) } }) {
                let span = name.span.bytes
                let before = allocations_of_this_thread()
                let final = policy.flowVerdict(
                    remote: address, port: 443, proto: 6, name: span, asker: asker, isNameFinal: true)
                let early = policy.flowVerdict(
                    remote: address, port: 443, proto: 6, name: span, asker: asker, isNameFinal: false)
                let after = allocations_of_this_thread()
                if final.action == .drop || early.action == .drop { drops += 1 }
                if round > 0 { allocations += after - before }
            }
        }
        #expect(allocations == 0)
        #expect(drops > 0)
    }
}
