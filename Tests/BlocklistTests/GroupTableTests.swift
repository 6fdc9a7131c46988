import CAllocations
import Foundation
import Kernel
import Testing
import Wire

@testable import Blocklist

/// The precedence of groups, clients, users, programs, schedules and pauses as a table: a real store, who asks and when, and
/// what the policy says.
struct GroupTableTests {
    /// A moment in the table: 2026-11-24 is a Tuesday.
    static let noon = "2026-11-24T12:00:00Z"
    static let night = "2026-11-24T22:00:00Z"

    struct Case: CustomTestStringConvertible, Sendable {
        var client = "192.0.2.1"
        var app: String?
        var user: UInt32?
        var at = noon
        var pause: PauseScope?
        var name: String
        var verdict: Verdict.Action
        var because: String

        var testDescription: String { "\(name) for \(client): \(verdict), \(because)" }
    }

    private static func client(_ text: String) -> PauseScope {
        (try? PolicySubject(client: text)).map(PauseScope.subject) ?? .all
    }

    /// Lists: `ads` (default and kids), `games` (kids), `work-allow` (allows videos.example; work), `night` (night).
    /// Clients: 192.0.2.0/24 kids; 192.0.2.64/26 kids and default; 192.0.2.66 work; 02:…:07 (192.0.2.7) off; 198.51.100.0/24
    /// kids and night; users 1000 work; programs `curl` kids, `/opt/curl` default.
    static let groups: [Case] = [
        Case(
            client: "203.0.113.1", name: "ads.example", verdict: .block,
            because: "who is assigned nowhere is in default"),
        Case(client: "203.0.113.1", name: "games.example", verdict: .forward, because: "the list is of kids"),
        Case(client: "192.0.2.1", name: "games.example", verdict: .block, because: "the prefix is in kids"),
        Case(client: "192.0.2.1", name: "ads.example", verdict: .block, because: "the list is in kids too"),
        Case(client: "192.0.2.1", name: "tracker.example", verdict: .forward, because: "a list of default alone"),
        Case(client: "192.0.2.65", name: "tracker.example", verdict: .block, because: "default is named too"),
        Case(client: "192.0.2.65", name: "games.example", verdict: .block, because: "both groups hold"),
        Case(client: "192.0.2.66", name: "games.example", verdict: .forward, because: "the longest prefix decides"),
        Case(
            client: "192.0.2.7", name: "games.example", verdict: .forward, because: "the device comes before the prefix"
        ),
        Case(client: "192.0.2.7", name: "ads.example", verdict: .forward, because: "its group is disabled"),
        Case(client: "2001:db8::1", name: "games.example", verdict: .block, because: "IPv6 prefixes too"),
        Case(client: "2001:db9::1", name: "games.example", verdict: .forward, because: "another prefix"),
    ]

    static let owners: [Case] = [
        Case(
            client: "192.0.2.1", user: 1000, name: "games.example", verdict: .forward,
            because: "the user before the prefix"),
        Case(
            client: "203.0.113.1", user: 1000, name: "videos.example", verdict: .allow,
            because: "the allow list of work"),
        Case(
            client: "203.0.113.1", user: 1001, name: "videos.example", verdict: .block, because: "default has it denied"
        ),
        Case(
            client: "203.0.113.1", app: "/usr/bin/curl", user: 1000, name: "games.example", verdict: .block,
            because: "the program before the user"),
        Case(
            client: "203.0.113.1", app: "/opt/curl", name: "games.example", verdict: .forward,
            because: "the path before the name"),
        Case(
            client: "203.0.113.1", app: "/opt/curl", name: "tracker.example", verdict: .block,
            because: "the path is in default"),
    ]

    static let rules: [Case] = [
        Case(client: "192.0.2.1", name: "shop.example", verdict: .block, because: "a rule of kids"),
        Case(
            client: "203.0.113.1", name: "shop.example", verdict: .allow,
            because: "the rule of default on the same name"),
        Case(client: "192.0.2.65", name: "shop.example", verdict: .allow, because: "in both groups allow wins"),
        Case(client: "192.0.2.66", name: "shop.example", verdict: .forward, because: "no rule of work"),
        Case(client: "192.0.2.1", name: "ad7.example", verdict: .block, because: "an expression of kids"),
        Case(
            client: "203.0.113.1", name: "ad7.example", verdict: .forward, because: "the expression is not of default"),
        Case(
            client: "192.0.2.66", app: "/usr/bin/wget", name: "any.example", verdict: .block,
            because: "a rule for a program holds in every group"),
        Case(
            client: "192.0.2.66", app: "/usr/bin/apt", name: "any.example", verdict: .forward,
            because: "unless it is said to be of one"),
        Case(
            client: "192.0.2.1", app: "/usr/bin/apt", name: "any.example", verdict: .block,
            because: "and that one holds"),
    ]

    static let times: [Case] = [
        Case(
            client: "198.51.100.1", name: "late.example", verdict: .forward,
            because: "the group is not in force at noon"),
        Case(client: "198.51.100.1", at: night, name: "late.example", verdict: .block, because: "from 21:00 it is"),
        Case(
            client: "198.51.100.1", at: "2026-11-25T06:59:59Z", name: "late.example", verdict: .block,
            because: "until 07:00 of the next day"),
        Case(
            client: "198.51.100.1", at: "2026-11-25T07:00:00Z", name: "late.example", verdict: .forward,
            because: "not at 07:00"),
        Case(
            client: "198.51.100.1", at: "2026-11-28T22:00:00Z", name: "late.example", verdict: .forward,
            because: "not on Saturdays"),
        Case(client: "198.51.100.1", name: "games.example", verdict: .block, because: "the other group always holds"),
        Case(client: "203.0.113.1", at: night, name: "late.example", verdict: .forward, because: "not in that group"),
    ]

    static let pauses: [Case] = [
        Case(
            client: "192.0.2.1", pause: .group("kids"), name: "games.example", verdict: .forward,
            because: "the group is paused"),
        Case(
            client: "192.0.2.65", pause: .group("kids"), name: "games.example", verdict: .forward,
            because: "the group is paused"),
        Case(
            client: "192.0.2.65", pause: .group("kids"), name: "tracker.example", verdict: .block,
            because: "default goes on"),
        Case(client: "203.0.113.1", pause: .group("kids"), name: "ads.example", verdict: .block, because: "not in it"),
        Case(
            client: "192.0.2.1", pause: client("192.0.2.0/28"), name: "games.example", verdict: .forward,
            because: "the prefix is paused"),
        Case(
            client: "192.0.2.1", app: "/usr/bin/wget", pause: client("192.0.2.1"), name: "any.example",
            verdict: .forward, because: "a pause comes before all rules"),
        Case(
            client: "192.0.2.16", pause: client("192.0.2.0/28"), name: "games.example", verdict: .block,
            because: "another address"),
        Case(
            client: "192.0.2.1", app: "/usr/bin/curl", pause: .subject(.app("curl")), name: "games.example",
            verdict: .forward, because: "the program is paused"),
        Case(
            client: "192.0.2.1", app: "/usr/bin/wget", pause: .subject(.app("curl")), name: "games.example",
            verdict: .block, because: "another program"),
        Case(
            client: "192.0.2.1", user: 1001, pause: .subject(.user("bob", 1001)), name: "games.example",
            verdict: .forward, because: "the user is paused"),
    ]

    /// The lists, rules and groups of the table.
    static func store(_ scratch: Scratch) throws -> BlocklistStore {
        let store = try BlocklistStore(state: scratch.path + "/state")
        _ = try store.addGroups(["kids", "work", "night", "off"])
        try store.setGroupsEnabled(["off"], false)
        for (name, names, allow, groups) in [
            ("ads", "ads.example\n", false, ["default", "kids"]),
            ("tracker", "tracker.example\nvideos.example\n", false, []),
            ("games", "games.example\n", false, ["kids"]), ("work-allow", "videos.example\n", true, ["work"]),
            ("late", "late.example\nads.example\n", false, ["night"]),
            ("deny-work", "videos.example\n", false, ["work"]),
        ] as [(String, String, Bool, [String])] {
            _ = try store.add(
                scratch.file(name + ".txt", names), .init(name: name, format: .domains, allow: allow, groups: groups))
        }
        _ = try store.setRules([
            .init(.deny, .suffix, "shop.example", groups: ["kids"]), .init(.allow, .suffix, "shop.example"),
            .init(.deny, .regex, "^ad[0-9]+\\.", groups: ["kids"]),
            .init(.deny, .suffix, "any.example", owner: RuleOwner(app: "wget", user: nil)),
            .init(.deny, .suffix, "any.example", owner: RuleOwner(app: "apt", user: nil), groups: ["kids"]),
        ])
        _ = try store.addSchedule("night", GroupSchedule(days: Weekdays("sun-fri"), from: 1260, to: 420, zone: "UTC"))
        for (subject, groups) in try [
            (PolicySubject(client: "192.0.2.0/24"), ["kids"]),
            (PolicySubject(client: "192.0.2.64/26"), ["kids", "default"]),
            (PolicySubject(client: "192.0.2.66"), ["work"]), (PolicySubject(client: "02:00:00:00:00:07"), ["off"]),
            (PolicySubject(client: "198.51.100.0/24"), ["kids", "night"]),
            (PolicySubject(client: "2001:db8::/32"), ["kids"]),
            (.user("alice", 1000), ["work"]), (.app("curl"), ["kids"]), (.app("/opt/curl"), ["default"]),
        ] {
            _ = try store.setClients([subject], groups: groups)
        }
        return store
    }

    /// The policy at a moment, with the device of the table on its link.
    static func policy(_ store: BlocklistStore, at time: String = noon) throws -> PolicySnapshot {
        let now = Int64(try Date(time, strategy: .iso8601).timeIntervalSince1970) * 1_000_000
        let policy = try store.snapshot(at: now)
        let device = try #require(try MACAddress("02:00:00:00:00:07"))
        let inputs = policy.members.inputs
        let plan = ProfilePlan.make(inputs, [try #require(IPAddress("192.0.2.7")): device], now: now).plan
        return PolicySnapshot(index: policy.index, overlay: policy.overlay, members: ProfileTable(plan, inputs))
    }

    static func asker(_ item: Case, _ policy: PolicySnapshot) throws -> Asker {
        var owner = Owner.unknown
        if let user = item.user { owner.uid = Int32(user) }
        if let app = item.app {
            owner.path = Owner.hash(of: app)
            owner.name = Owner.hash(of: String(app.split(separator: "/").last ?? ""))
        }
        let client = try #require(IPAddress(item.client))
        return Asker(owner: owner, profile: policy.profile(of: client, owner: owner))
    }

    @Test(arguments: groups + owners + rules + times + pauses)
    func decides(_ item: Case) throws {
        let scratch = try Scratch()
        let store = try GroupTableTests.store(scratch)
        if let pause = item.pause { try store.pause(PolicyPause(pause, until: nil)) }
        let policy = try GroupTableTests.policy(store, at: item.at)
        let asker = try GroupTableTests.asker(item, policy)
        let verdict = policy.verdict(for: wire(item.name).span.bytes, asker: asker)
        #expect(verdict.action == item.verdict)
        // A flow to the name is judged in the same way.
        let flow = policy.flowVerdict(
            remote: IPAddress(v4: 0xCB00_7163), port: 443, proto: 6, name: wire(item.name).span.bytes, asker: asker,
            isNameFinal: true)
        #expect((flow.action == .drop) == (item.verdict == .block))
    }

    @Test func aListIsNamedThatIsInForce() throws {
        let scratch = try Scratch()
        let store = try GroupTableTests.store(scratch)
        let policy = try GroupTableTests.policy(store, at: GroupTableTests.night)
        func list(_ client: String) throws -> String? {
            let asker = try GroupTableTests.asker(Case(client: client, name: "", verdict: .block, because: ""), policy)
            return policy.listName(policy.verdict(for: wire("ads.example").span.bytes, asker: asker).list)
        }
        #expect(try list("203.0.113.1") == "ads")
        _ = try store.setClients([PolicySubject(client: "203.0.113.1")], groups: ["night"])
        let second = try GroupTableTests.policy(store, at: GroupTableTests.night)
        let asker = try GroupTableTests.asker(
            Case(client: "203.0.113.1", name: "", verdict: .block, because: ""), second)
        #expect(second.listName(second.verdict(for: wire("ads.example").span.bytes, asker: asker).list) == "late")
    }

    /// Flow rules, and lists of addresses: those of other groups are passed over, down to a shorter prefix.
    @Test func flowsAreJudgedByGroups() throws {
        let scratch = try Scratch()
        let store = try GroupTableTests.store(scratch)
        _ = try store.add(
            scratch.file("a.txt", "198.51.100.0/24\n203.0.113.7\n"), .init(name: "a", format: .ip, groups: ["kids"]))
        _ = try store.add(
            scratch.file("b.txt", "198.51.0.0/16\n203.0.113.7\n"), .init(name: "b", format: .ip, groups: ["work"]))
        var mail = FlowConditions()
        mail.ports = 25...25
        _ = try store.setFlowRules([.init(.deny, mail, groups: ["kids"])])
        var curl = FlowConditions()
        curl.owner = try RuleOwner(app: "wget", user: nil)
        curl.ports = 26...26
        _ = try store.setFlowRules([.init(.deny, curl)])
        let policy = try GroupTableTests.policy(store)
        func verdict(_ remote: String, _ port: UInt16, _ client: String, app: String? = nil) throws -> FlowVerdict {
            let asker = try GroupTableTests.asker(
                Case(client: client, app: app, name: "", verdict: .block, because: ""), policy)
            return policy.flowVerdict(
                remote: try #require(IPAddress(remote)), port: port, proto: 6, name: RawSpan(), asker: asker,
                isNameFinal: true)
        }
        let (kid, worker, other) = ("192.0.2.1", "192.0.2.66", "203.0.113.1")
        #expect(try verdict("192.0.2.200", 25, kid).action == .drop)
        #expect(try verdict("192.0.2.200", 25, worker).action == .allow)
        #expect(
            try verdict("192.0.2.200", 26, worker, app: "/bin/wget").action == .drop,
            "a rule for a program holds everywhere")
        #expect(try policy.listName(verdict("198.51.100.1", 80, kid).list) == "a")
        #expect(try policy.listName(verdict("198.51.100.1", 80, worker).list) == "b", "the shorter prefix is in force")
        #expect(try verdict("198.51.100.1", 80, other).action == .allow)
        #expect(try policy.listName(verdict("203.0.113.7", 80, kid).list) == "a")
        #expect(try policy.listName(verdict("203.0.113.7", 80, worker).list) == "b", "the same address in two lists")
        #expect(try verdict("203.0.113.7", 80, other).action == .allow)
    }

    /// Whether a policy has changed is told by its plan: at any time of the day the same inputs make the same one.
    @Test(arguments: [1_767_268_800, 1_767_308_400] as [Int64]) func thePlanIsThatOfItsInputs(seconds: Int64) throws {
        let scratch = try Scratch()
        let store = try GroupTableTests.store(scratch)
        let now = seconds * 1_000_000
        let first = try store.snapshot(at: now).members
        for _ in 0..<50 {
            let next = try store.snapshot(at: now).members
            try #require(next.plan == first.plan && next.inputs == first.inputs)
        }
    }

    /// Assigning lists makes no new index; the follower brings it into force.
    @Test func theIndexStaysWhenGroupsChange() throws {
        let scratch = try Scratch()
        let store = try GroupTableTests.store(scratch)
        let policy = try store.snapshot()
        let follower = try PolicyFollower(state: store.state, current: policy)
        #expect(try follower.poll() == nil)
        let kid = try #require(IPAddress("192.0.2.1"))
        func blocks(_ policy: PolicySnapshot, _ name: String) -> Bool {
            let asker = Asker(profile: policy.profile(of: kid, owner: .unknown))
            return policy.verdict(for: wire(name).span.bytes, asker: asker).action == .block
        }
        #expect(blocks(policy, "games.example") && !blocks(policy, "tracker.example"))
        try store.assign(.init(lists: ["tracker"]), to: "kids", .add)
        let second = try #require(try follower.poll())
        #expect(second.index === policy.index && second.overlay === policy.overlay)
        #expect(blocks(second, "tracker.example"))
        try store.setGroupsEnabled(["kids"], false)
        let third = try #require(try follower.poll())
        #expect(third.index === policy.index && !blocks(third, "games.example"))
        try store.setGroupsEnabled(["kids"], true)
        #expect(try follower.poll() != nil)
        // A device that appears.
        _ = try store.setClients([PolicySubject(client: "02:00:00:00:00:09")], groups: ["kids"])
        #expect(try follower.poll() != nil)
        #expect(follower.needsNeighbours)
        follower.neighbours = [
            try #require(IPAddress("203.0.113.9")): try #require(try MACAddress("02:00:00:00:00:09"))
        ]
        let fourth = try #require(try follower.poll())
        #expect(fourth.profile(of: try #require(IPAddress("203.0.113.9")), owner: .unknown) != 0)
        #expect(try follower.poll() == nil)
        // A pause that ends while nobody changes anything.
        try store.pause(PolicyPause(.group("kids"), until: BlocklistStore.now() + 300_000))
        let paused = try #require(try follower.poll())
        #expect(paused.isPaused(paused.profile(of: kid, owner: .unknown)))
        #expect(try follower.poll() == nil)
        usleep(320_000)
        let resumed = try #require(try follower.poll())
        #expect(blocks(resumed, "games.example"))
    }

    /// Finding the profile and judging by it allocates nothing, with many clients, owners and profiles.
    @Test func profilesDoNotAllocate() throws {
        let scratch = try Scratch()
        let store = try GroupTableTests.store(scratch)
        for index in 0..<60 {
            let name = "g\(index)"
            if index < 50 { _ = try store.addGroups([name]) }
            let groups = ["kids", "g\(index % 50)"]
            _ = try store.setClients(
                [
                    PolicySubject(client: "10.0.\(index).0/24"), .app("app\(index)"),
                    .user("u\(index)", UInt32(2000 + index)),
                ],
                groups: groups)
        }
        try store.pause(PolicyPause(GroupTableTests.client("10.0.7.0/24"), until: nil))
        try store.pause(PolicyPause(.subject(.app("app9")), until: nil))
        let policy = try GroupTableTests.policy(store)
        #expect(policy.profileCount > 50)
        let names = ["games.example", "www.ads.example", "shop.example", "ad7.example", "nothing.test"].map(wire)
        let clients = (0..<64).map { IPAddress(v4: 0x0A00_0001 + UInt32($0) << 8) } + [IPAddress("2001:db8::1")!]
        let owners = [Owner.unknown, Owner(uid: 2033), Owner(uid: 7, name: Owner.hash(of: "app41"))]
        var allocations: UInt = 0
        var (blocked, paused) = (0, 0)
        for round in 0..<20 {
            for client in clients {
                for owner in owners {
                    for name in names {
                        let span = name.span.bytes
                        let before = allocations_of_this_thread()
                        let profile = policy.profile(of: client, owner: owner)
                        let verdict = policy.verdict(for: span, asker: Asker(owner: owner, profile: profile))
                        let flow = policy.flowVerdict(
                            remote: client, port: 443, proto: 6, name: span,
                            asker: Asker(owner: owner, profile: profile),
                            isNameFinal: true)
                        let after = allocations_of_this_thread()
                        if round > 0 { allocations += after - before }
                        if verdict.action == .block { blocked += 1 }
                        if policy.isPaused(profile), flow.action == .allow { paused += 1 }
                    }
                }
            }
        }
        #expect(allocations == 0)
        #expect(blocked > 1000 && paused > 100)
    }
}
