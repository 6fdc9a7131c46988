import Foundation
import Kernel
import Testing
import Wire

@testable import Blocklist

/// Who has which groups in force.
struct ProfilePlanTests {
    /// Groups `default` (0), `kids` (1), `night` (2: 21:00 to 07:00 UTC), `off` (3: disabled).
    private static func inputs(
        _ clients: [(PolicySubject, [Int])] = [], pauses: [PolicyPause] = []
    ) -> GroupInputs {
        var inputs = GroupInputs()
        for (id, name) in [(1, "kids"), (2, "night"), (3, "off")] {
            inputs.groups.append(PolicyGroup(id: id, name: name, enabled: id != 3, comment: "", added: 0))
        }
        inputs.groups[2].schedules = [GroupSchedule(days: .every, from: 1260, to: 420, zone: "UTC")]
        inputs.clients = clients.enumerated().map { index, client in
            PolicyClient(
                id: Int32(index), subject: client.0,
                groups: client.1.reduce(into: GroupSet()) { $0.insert(GroupSet($1)) }, comment: "", added: 0)
        }
        inputs.pauses = pauses
        return inputs
    }

    private static let noon: Int64 = 12 * 3600 * 1_000_000
    private static let evening: Int64 = 22 * 3600 * 1_000_000

    private struct Asker {
        let profiles: ProfileTable

        init(_ inputs: GroupInputs, _ neighbours: Neighbours = [:], at now: Int64 = ProfilePlanTests.noon) {
            profiles = ProfileTable(ProfilePlan.make(inputs, neighbours, now: now).plan, inputs)
        }

        /// The groups in force; nil: paused.
        func groups(_ client: String, _ owner: Owner = .unknown) throws -> [Int]? {
            let profile = profiles.view[profiles.view.profile(of: try #require(IPAddress(client)), owner)]
            return profile.isPaused ? nil : profile.groups.ids
        }
    }

    private static func client(_ text: String) throws -> PolicySubject { try PolicySubject(client: text) }

    @Test func theLongestPrefixDecides() throws {
        let ask = Asker(
            try ProfilePlanTests.inputs([
                (ProfilePlanTests.client("192.0.2.0/24"), [1]), (ProfilePlanTests.client("192.0.2.64/26"), [0, 1]),
                (ProfilePlanTests.client("192.0.2.65"), [3]), (ProfilePlanTests.client("2001:db8::/32"), [1]),
                (ProfilePlanTests.client("2001:db8:0:1::/64"), [0]),
            ]))
        #expect(try ask.groups("198.51.100.1") == [0])
        #expect(try ask.groups("192.0.2.1") == [1])
        #expect(try ask.groups("192.0.2.64") == [0, 1])
        #expect(try ask.groups("192.0.2.65") == [], "the group is disabled, and no other takes its place")
        #expect(try ask.groups("2001:db8::1") == [1])
        #expect(try ask.groups("2001:db8:0:1::1") == [0])
        #expect(try ask.groups("2001:db9::1") == [0])
        #expect(!ask.profiles.view.needsOwner)
    }

    @Test func devicesComeBetweenPrefixesAndAddresses() throws {
        let neighbours: Neighbours = [
            IPAddress("192.0.2.7")!: try #require(try MACAddress("02:00:00:00:00:07")),
            IPAddress("192.0.2.8")!: try #require(try MACAddress("02:00:00:00:00:07")),
            IPAddress("2001:db8::7")!: try #require(try MACAddress("02:00:00:00:00:07")),
            IPAddress("192.0.2.9")!: try #require(try MACAddress("02:00:00:00:00:09")),
        ]
        let inputs = try ProfilePlanTests.inputs([
            (ProfilePlanTests.client("02:00:00:00:00:07"), [1]), (ProfilePlanTests.client("192.0.2.0/24"), [3]),
            (ProfilePlanTests.client("192.0.2.8"), [0, 1]),
        ])
        let ask = Asker(inputs, neighbours)
        #expect(try ask.groups("192.0.2.7") == [1])
        #expect(try ask.groups("2001:db8::7") == [1])
        #expect(try ask.groups("192.0.2.8") == [0, 1])
        #expect(try ask.groups("192.0.2.9") == [])
        #expect(try Asker(inputs).groups("192.0.2.7") == [], "not known yet")
    }

    @Test func programsComeBeforeUsersBeforeAddresses() throws {
        var alice = Owner(uid: 1000, certainty: .exact)
        let ask = Asker(
            try ProfilePlanTests.inputs([
                (.user("alice", 1000), [1]), (.app("curl"), [0, 1]), (.app("/opt/curl"), [3]),
                (ProfilePlanTests.client("192.0.2.1"), [0]),
            ]))
        #expect(ask.profiles.view.needsOwner)
        #expect(try ask.groups("192.0.2.1") == [0])
        #expect(try ask.groups("192.0.2.1", alice) == [1])
        alice.name = Owner.hash(of: "curl")
        #expect(try ask.groups("192.0.2.1", alice) == [0, 1])
        alice.path = Owner.hash(of: "/opt/curl")
        #expect(try ask.groups("192.0.2.1", alice) == [])
        #expect(try ask.groups("192.0.2.1", Owner(uid: 1001)) == [0])
    }

    @Test func schedulesPutGroupsInForce() throws {
        let inputs = try ProfilePlanTests.inputs([(ProfilePlanTests.client("192.0.2.1"), [1, 2])])
        #expect(try Asker(inputs, at: ProfilePlanTests.noon).groups("192.0.2.1") == [1])
        #expect(try Asker(inputs, at: ProfilePlanTests.evening).groups("192.0.2.1") == [1, 2])
        // The plan holds until the schedule changes something, and an hour at most.
        #expect(
            ProfilePlan.make(inputs, [:], now: ProfilePlanTests.evening).until == ProfilePlanTests.evening + 3600
                * 1_000_000)
        let before = Int64(20 * 3600 + 3000) * 1_000_000
        #expect(ProfilePlan.make(inputs, [:], now: before).until == 21 * 3600 * 1_000_000)
    }

    @Test func pausesTakeGroupsOut() throws {
        let client = try ProfilePlanTests.client("192.0.2.1")
        let other = try ProfilePlanTests.client("192.0.2.2")
        let inputs = ProfilePlanTests.inputs(
            [(client, [1]), (other, [0, 1])], pauses: [PolicyPause(.group("kids"), until: ProfilePlanTests.noon + 5)])
        let ask = Asker(inputs)
        #expect(try ask.groups("192.0.2.1") == nil, "nothing is left: paused")
        #expect(try ask.groups("192.0.2.2") == [0], "the other group goes on")
        #expect(try ask.groups("192.0.2.3") == [0])
        #expect(ProfilePlan.make(inputs, [:], now: ProfilePlanTests.noon).until == ProfilePlanTests.noon + 5)
        #expect(try Asker(inputs, at: ProfilePlanTests.noon + 5).groups("192.0.2.1") == [1], "over")
        let whole = ProfilePlanTests.inputs(pauses: [PolicyPause(.group("default"), until: nil)])
        #expect(try Asker(whole).groups("192.0.2.3") == nil)
        // Of a group that is out of force anyway.
        let night = try ProfilePlanTests.inputs(
            [(ProfilePlanTests.client("192.0.2.1"), [2])], pauses: [PolicyPause(.group("night"), until: nil)])
        #expect(try Asker(night, at: ProfilePlanTests.noon).groups("192.0.2.1") == [])
        #expect(try Asker(night, at: ProfilePlanTests.evening).groups("192.0.2.1") == nil)
    }

    @Test func clientsAndProgramsAreLeftAlone() throws {
        let mac = try #require(try MACAddress("02:00:00:00:00:07"))
        let ask = Asker(
            try ProfilePlanTests.inputs(
                [(ProfilePlanTests.client("192.0.2.7"), [1]), (.app("curl"), [1])],
                pauses: [
                    PolicyPause(.subject(ProfilePlanTests.client("192.0.2.0/28")), until: nil),
                    PolicyPause(.subject(.mac(mac)), until: nil), PolicyPause(.subject(.app("wget")), until: nil),
                    PolicyPause(.subject(.user("alice", 1000)), until: nil),
                ]), [IPAddress("192.0.2.99")!: mac])
        #expect(try ask.groups("192.0.2.7") == nil, "an assignment within a paused prefix")
        #expect(try ask.groups("192.0.2.16") == [0])
        #expect(try ask.groups("192.0.2.99") == nil)
        var owner = Owner(uid: 1, certainty: .exact)
        owner.name = Owner.hash(of: "curl")
        #expect(try ask.groups("198.51.100.1", owner) == [1])
        #expect(try ask.groups("192.0.2.7", owner) == nil, "a paused address stays so, whoever asks")
        owner.name = Owner.hash(of: "wget")
        #expect(try ask.groups("198.51.100.1", owner) == nil)
        #expect(try ask.groups("198.51.100.1", Owner(uid: 1000)) == nil)
    }

    @Test func equalCombinationsShareAProfile() throws {
        let clients = try (1...200).map { (try ProfilePlanTests.client("192.0.2.\($0)"), $0 % 2 == 0 ? [1] : [1, 3]) }
        let plan = ProfilePlan.make(ProfilePlanTests.inputs(clients), [:], now: ProfilePlanTests.noon).plan
        #expect(plan.profiles.count == 2, "default, kids")
    }
}
