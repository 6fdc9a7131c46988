import Blocklist
import CAllocations
import Kernel
import TestPackets
import Testing
import Wire

@testable import ContentFilter

/// An engine with a policy, and the flow of packets through it.
private struct Judge: ~Copyable {
    static let client = "192.0.2.7"
    static let server = "203.0.113.80"

    var engine: FlowEngine
    var now: UInt64 = 1_000_000_000
    var sequence = 1000

    init(
        deny: [String] = [], flows: [(UserRule.Action, (inout FlowConditions) -> Void)] = [], drops: Bool = false,
        isSilent: Bool = false, capacity: Int = 1000
    ) {
        var settings = FlowSettings(
            mode: .judge, peer4: FlowEngineTests.peer4, peer6: FlowEngineTests.peer6)
        settings.defaults.drops = drops
        settings.defaults.isSilent = isSilent
        settings.capacity = capacity
        settings.names = 1000
        engine = FlowEngine(settings: settings, policy: Judge.policy(deny: deny, flows: flows))
    }

    static func policy(
        deny: [String] = [], flows: [(UserRule.Action, (inout FlowConditions) -> Void)] = []
    ) -> PolicySnapshot {
        TestPolicy.make(
            deny: deny,
            flows: flows.map { action, set in
                var conditions = FlowConditions()
                set(&conditions)
                return BlocklistStore.FlowRequest(action, conditions)
            })
    }

    mutating func pass(_ packet: [UInt8], owner: Owner = .unknown) -> FlowEngine.Action {
        var changed = packet
        let layout = Packet.parse(packet.span.bytes)
        var span = changed.mutableSpan
        var bytes = span.mutableBytes
        now += 1_000_000
        let action = engine.decide(
            &bytes, layout, .init(now: now, client: FlowEngine.machine, owner: owner))
        if case .reply = action {} else { #expect(changed == packet) }
        return action
    }

    mutating func tcp(
        _ flags: UInt8, _ payload: [UInt8] = [], port: Int = 443, from: Int = 40000, to server: String = server
    ) -> FlowEngine.Action {
        let packet = TestPackets.tcp(
            Judge.client, server, (from, port), flags: flags, sequence: sequence, acknowledgment: 77, payload)
        sequence += payload.count + (flags & Segment.syn != 0 ? 1 : 0)
        return pass(packet)
    }

    mutating func reports() -> [(event: FlowReport.Event, dropped: Bool, reason: FlowReason, name: String)] {
        var found: [(event: FlowReport.Event, dropped: Bool, reason: FlowReason, name: String)] = []
        while let report = engine.nextReport() {
            let name = engine.reportedName
            found.append((report.event, report.isDropped, report.reason, name.byteCount == 0 ? "" : Name.text(name)))
        }
        return found
    }
}

private func host(_ name: String) -> [UInt8] { Array("GET / HTTP/1.1\r\nHost: \(name)\r\n\r\n".utf8) }

@Suite struct FlowJudgingTests {
    private let syn = Segment.syn
    private let ack = Segment.ack

    @Test func withoutRulesEveryFlowIsAllowedAtItsFirstPacket() {
        var judge = Judge()
        #expect(judge.tcp(syn) == .allow)
        #expect(judge.engine.flow.description == "tcp 192.0.2.7:40000 > 203.0.113.80:443")
        let reports = judge.reports()
        #expect(reports.count == 1 && reports[0].event == .judged && !reports[0].dropped)
        // What was read together with the first packet: the kernel need not hear of it again.
        #expect(judge.tcp(ack) == .forward)
        // Later it has to: the kernel has forgotten the flow.
        judge.now += 1_000_000_000
        #expect(judge.tcp(ack) == .allow)
        #expect(judge.reports().isEmpty)
        #expect(judge.pass(TestPackets.udp(Judge.client, Judge.server, (1, 443), [1])) == .allow)
        #expect(judge.pass(TestPackets.echo(Judge.client, Judge.server, [1])) == .allow)
        #expect(judge.pass(TestPackets.ip(Judge.client, Judge.server, 47, [0, 0, 8, 0])) == .allow)
        #expect(judge.engine.liveFlows == 4)
    }

    @Test func theDefaultCanBeToDrop() {
        var judge = Judge(flows: [(.allow, { $0.remote = try! IPPrefix("203.0.113.0/25") })], drops: true)
        #expect(judge.tcp(syn) == .allow)
        #expect(judge.tcp(syn, from: 40001, to: "203.0.113.200") == .reject)
        #expect(judge.pass(TestPackets.udp(Judge.client, "198.51.100.9", (1, 443), [1])) == .reject)
        #expect(judge.pass(TestPackets.echo(Judge.client, "198.51.100.9", [1])) == .reject)
        let reports = judge.reports()
        #expect(reports.map(\.dropped) == [true], "the last one; each packet's report is to be taken at once")
    }

    @Test func addressesPortsAndProtocolsAreForbidden() {
        var judge = Judge(flows: [
            (.deny, { $0.remote = try! IPPrefix("203.0.113.80") }),
            (.deny, { $0.ports = 8000...8010 }),
            (.deny, { $0.proto = 47 }),
        ])
        #expect(judge.tcp(syn) == .reject)
        let reports = judge.reports()
        #expect(reports.count == 1 && reports[0].dropped && reports[0].reason == .flow)
        // The same again is answered again, and told once.
        judge.now += 1_000_000_000
        #expect(judge.tcp(syn) == .reject)
        #expect(judge.tcp(syn, port: 8005, to: "198.51.100.1") == .reject)
        #expect(judge.tcp(syn, port: 8011, to: "198.51.100.1") == .allow)
        #expect(judge.pass(TestPackets.ip(Judge.client, "198.51.100.1", 47, [0, 0, 8, 0])) == .reject)
        #expect(judge.pass(TestPackets.ip(Judge.client, "198.51.100.1", 50, [0, 0, 8, 0])) == .allow)
    }

    @Test func silenceIsKeptWhenItIsWanted() {
        var judge = Judge(flows: [(.deny, { $0.ports = 443...443 })], isSilent: true)
        #expect(judge.tcp(syn) == .drop(.policy))
        #expect(judge.engine.counters[.policy] == 1)
    }

    @Test func theNameInTheFirstBytesDecides() {
        var judge = Judge(deny: ["blocked.example"])
        for (name, expected, dropped) in [
            ("www.blocked.example", FlowEngine.Action.cut, true), ("other.example", .allow, false),
        ] {
            judge.sequence = 5000 * name.utf8.count
            let from = 41000 + name.utf8.count
            #expect(judge.tcp(syn, port: 80, from: from) == .forward)
            #expect(judge.tcp(ack, port: 80, from: from) == .forward)
            #expect(judge.reports().isEmpty, "no verdict yet")
            // Cut anywhere.
            let head = host(name)
            #expect(judge.tcp(ack, Array(head[..<20]), port: 80, from: from) == .forward)
            #expect(judge.tcp(ack, Array(head[20...]), port: 80, from: from) == expected)
            let reports = judge.reports()
            #expect(reports.count == 1 && reports[0].name == name && reports[0].dropped == dropped, "\(reports)")
        }
        #expect(judge.engine.counters.flowsCut == 1)
    }

    @Test func aFlowWithoutNameGetsTheDefault() {
        for drops in [false, true] {
            var judge = Judge(deny: ["blocked.example"], drops: drops)
            #expect(judge.tcp(syn, port: 22) == .forward)
            #expect(judge.tcp(ack, Array("SSH-2.0-x\r\n".utf8), port: 22) == (drops ? .cut : .allow))
            let reports = judge.reports()
            #expect(reports.count == 1 && reports[0].reason == .unnamed && reports[0].dropped == drops)
        }
    }

    /// A DNS answer says which name an address stands for.
    private func learn(_ judge: inout Judge, _ name: String, _ address: String) {
        let wire = Name(name)!
        var message: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
        for index in 0..<wire.byteCount { message.append(wire.bytes.u8(index)) }
        message += [0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4] + TestPackets.address(address)
        judge.engine.learn(client: FlowEngine.machine, message.span.bytes, now: judge.now)
    }

    @Test func theNameThatDNSToldDecides() {
        var judge = Judge(flows: [(.deny, { $0.name = "mail.example" })])
        learn(&judge, "mail.example", Judge.server)
        #expect(judge.tcp(syn, port: 25) == .reject)
        var reports = judge.reports()
        #expect(reports.count == 1 && reports[0].name == "mail.example" && reports[0].dropped, "\(reports)")
        // On the web an address has many names, and the flow says which one it means.
        #expect(judge.tcp(syn, port: 80, from: 40001) == .forward)
        #expect(judge.tcp(ack, host("other.example"), port: 80, from: 40001) == .allow)
        reports = judge.reports()
        #expect(reports.count == 1 && reports[0].name == "other.example")
        // Says it nothing, the name is DNS's.
        #expect(judge.tcp(syn, port: 80, from: 40002) == .forward)
        #expect(judge.tcp(ack, [0, 1, 2, 3], port: 80, from: 40002) == .cut)
    }

    @Test func aChangeOfThePolicyCutsAFlowThatIsAlive() {
        var judge = Judge()
        #expect(judge.tcp(syn) == .allow)
        #expect(judge.tcp(ack, [1, 2, 3]) == .forward)
        _ = judge.reports()
        let before = judge.engine.generation
        judge.engine.adopt(Judge.policy(flows: [(.deny, { $0.ports = 443...443 })]))
        #expect(judge.engine.generation != before)
        #expect(judge.tcp(ack, [4, 5]) == .cut)
        let reports = judge.reports()
        #expect(reports.count == 1 && reports[0].dropped && reports[0].reason == .flow)
        #expect(reports[0].event == .rejudged)
        // The application's own reset ends the far side.
        #expect(judge.tcp(Segment.rst) == .forward)
        #expect(judge.tcp(ack, [6]) == .cut)
        // A new attempt is refused, not cut.
        judge.sequence = 99_000
        #expect(judge.tcp(syn) == .reject)
        #expect(judge.reports().map(\.event) == [.judged, .ended])
        // Allowed once more, the next attempt passes.
        judge.engine.adopt(Judge.policy())
        #expect(judge.tcp(syn) == .allow)
    }

    @Test func theNameIsRememberedForLaterPolicies() {
        var judge = Judge(deny: ["nothing.example"])
        #expect(judge.tcp(syn, port: 80) == .forward)
        #expect(judge.tcp(ack, host("later.example"), port: 80) == .allow)
        judge.engine.adopt(Judge.policy(deny: ["later.example"]))
        #expect(judge.tcp(ack, host("later.example"), port: 80) == .cut)
        #expect(judge.engine.counters.flowsCut == 1)
    }

    @Test func whatEndsWithoutANameIsToldToo() {
        var judge = Judge(deny: ["blocked.example"])
        #expect(judge.tcp(syn) == .forward)
        // Of connections that were forgotten: nothing to tell.
        #expect(judge.tcp(Segment.fin | ack, from: 40001) == .forward)
        #expect(judge.engine.liveFlows == 1)
        #expect(judge.tcp(ack, from: 40002) == .forward)
        #expect(judge.engine.liveFlows == 2)
        judge.engine.endAll(now: judge.now)
        let reports = judge.reports()
        #expect(reports.map(\.event) == [.judged, .ended])
        #expect(reports.allSatisfy { !$0.dropped && $0.reason == .unnamed })
        #expect(judge.engine.table.free == judge.engine.table.capacity)
    }

    @Test func aPauseLetsEverythingPass() {
        var judge = Judge(flows: [(.deny, { $0.ports = 443...443 })])
        judge.engine.setPaused(until: judge.now + 10_000_000_000)
        #expect(judge.tcp(syn) == .allow)
        #expect(judge.reports().first?.reason == .paused)
        judge.engine.setPaused(until: 0)
        #expect(judge.tcp(ack) == .cut)
    }

    /// A flow is judged by the groups of whoever began it; who is paused may go everywhere.
    @Test func whoBeganItDecides() throws {
        let policy = try TestPolicy.make { store in
            _ = try store.addGroups(["kids", "work"])
            var https = FlowConditions()
            https.ports = 443...443
            _ = try store.setFlowRules([.init(.deny, https, groups: ["kids"])])
            _ = try store.setClients([PolicySubject(client: "192.0.2.7")], groups: ["kids"])
            _ = try store.setClients([PolicySubject(client: "192.0.2.8")], groups: ["work"])
            _ = try store.setClients([PolicySubject(client: "192.0.2.9")], groups: ["kids"])
            try store.pause(PolicyPause(.subject(PolicySubject(client: "192.0.2.9")), until: nil))
        }
        var judge = Judge(drops: true)
        judge.engine.adopt(policy)
        func packet(_ client: String) -> [UInt8] {
            TestPackets.tcp(client, Judge.server, (40000, 443), flags: syn, sequence: 1, acknowledgment: 0, [])
        }
        #expect(judge.pass(packet("192.0.2.7")) == .reject)
        #expect(judge.reports().first?.reason == .flow)
        #expect(judge.pass(packet("192.0.2.9")) == .allow, "paused, whatever the default is")
        #expect(judge.reports().first?.reason == .paused)
        #expect(judge.pass(packet("192.0.2.8")) == .reject, "the default")
        #expect(judge.reports().first?.reason == FlowReason.none)
    }

    @Test func rulesForProgramsNeedTheirOwner() {
        let program = "/usr/bin/curl"
        var judge = Judge(flows: [(.deny, { $0.owner = try! RuleOwner(app: program, user: nil) })])
        let packet = TestPackets.tcp(Judge.client, Judge.server, (1, 443), flags: syn)
        let other = TestPackets.tcp(Judge.client, Judge.server, (2, 443), flags: syn)
        let layout = Packet.parse(packet.span.bytes)
        var copy = packet
        var span = copy.mutableSpan
        var bytes = span.mutableBytes
        #expect(judge.engine.decide(&bytes, layout, .init(now: 1, client: FlowEngine.machine)) == .identify)
        #expect(judge.engine.liveFlows == 0)
        #expect(judge.pass(packet, owner: Owner(uid: 0, pid: 7, path: Owner.hash(of: program))) == .reject)
        #expect(judge.pass(other, owner: Owner(uid: 0, pid: 7, path: Owner.hash(of: "/usr/bin/dig"))) == .allow)
    }

    @Test func fragmentsFollowTheirFirstOne() {
        var judge = Judge(flows: [(.deny, { $0.ports = 9...9 })])
        func fragment(_ port: Int, _ offset: Int, _ id: Int) -> [UInt8] {
            let payload = offset & 0x1fff == 0 ? [0, 1, 0, UInt8(port), 0, 40, 0, 0] : [UInt8](repeating: 7, count: 8)
            var packet = TestPackets.ip(Judge.client, Judge.server, 17, payload, fragment: offset)
            packet.replaceSubrange(4..<6, with: TestPackets.big16(id))
            return packet
        }
        #expect(judge.pass(fragment(9, 0x2000, 1)) == .reject)
        #expect(judge.pass(fragment(9, 0x0001, 1)) == .drop(.fragment))
        #expect(judge.pass(fragment(10, 0x2000, 2)) == .allow)
        #expect(judge.pass(fragment(10, 0x0001, 2)) == .forward)
        // Of a query: it could not be judged.
        #expect(judge.pass(fragment(53, 0x2000, 3)) == .drop(.fragment))
        #expect(judge.pass(fragment(53, 0x0001, 3)) == .drop(.fragment))
    }

    @Test func errorsPassAndSoDoResetsOfNobody() {
        var judge = Judge(drops: true)
        #expect(judge.pass(TestPackets.echo(Judge.client, Judge.server, [1], type: 3)) == .forward)
        #expect(judge.tcp(Segment.rst) == .forward)
        #expect(judge.engine.liveFlows == 0)
    }

    @Test func flowsEndWhenTheyAreSilentAndWhenTheTableIsFull() {
        var judge = Judge(capacity: 100)
        for port in 1...90 {
            #expect(judge.pass(TestPackets.udp(Judge.client, Judge.server, (port, 99), [1])) == .allow)
        }
        #expect(judge.engine.liveFlows == 90)
        judge.engine.makeRoom(for: 20, now: judge.now)
        #expect(judge.engine.liveFlows == 80 && judge.engine.counters.flowsEvicted == 10)
        #expect(judge.engine.nextIdle(now: judge.now).map(\.number) == nil)
        judge.now += 119_950_000_000
        var idle = 0
        var kept = 0
        while let report = judge.engine.nextIdle(now: judge.now) {
            #expect(report.patience == 120_000_000_000 && report.isInKernel)
            // The kernel knows of younger packets of every other one.
            if idle % 2 == 0 {
                judge.engine.endIdle(now: judge.now)
            } else {
                judge.engine.keepIdle(now: judge.now)
                kept += 1
            }
            idle += 1
        }
        #expect(idle > 20 && idle < 80 && judge.engine.liveFlows == 80 - idle + kept)
        let key = FlowKey(
            source: IPAddress(Judge.client)!, sourcePort: 90, destination: IPAddress(Judge.server)!,
            destinationPort: 99, proto: 17)
        #expect(judge.engine.count(key).map(\.event) == .counted)
        judge.engine.finish(key, now: judge.now)
        judge.engine.finish(key, now: judge.now)
        #expect(judge.engine.count(key).map(\.event) == nil)
        judge.engine.endAll(now: judge.now)
        #expect(judge.engine.liveFlows == 0)
        var ends: Set<UInt64> = []
        while let report = judge.engine.nextReport() {
            if report.event == .ended { ends.insert(report.number) }
        }
        #expect(ends == Set(1...90))
        // Every slot is free again.
        for port in 1...100 { _ = judge.pass(TestPackets.udp(Judge.client, Judge.server, (port, 98), [1])) }
        #expect(judge.engine.liveFlows == 100)
    }

    /// Allocations for a packet and its reports; the first packets set up what is set up once.
    private func pass(_ judge: inout Judge, _ packet: inout [UInt8], _ reports: inout Int, counts: Bool) -> UInt {
        let layout = Packet.parse(packet.span.bytes)
        var span = packet.mutableSpan
        var bytes = span.mutableBytes
        judge.now += 1000
        let arrival = FlowEngine.Arrival(now: judge.now, client: FlowEngine.machine, owner: .unknown)
        let before = allocations_of_this_thread()
        _ = judge.engine.decide(&bytes, layout, arrival)
        while judge.engine.nextReport().map(\.number) != nil { reports += 1 }
        let after = allocations_of_this_thread()
        return counts ? UInt(after - before) : 0
    }

    @Test func nothingAllocates() {
        var judge = Judge(deny: ["blocked.example"], flows: [(.deny, { $0.ports = 9...9 })], capacity: 5000)
        // Each flow: SYN, a request that names it, and a few packets more.
        var packets: [[UInt8]] = []
        for flow in 0..<400 {
            let ports = (20_000 + flow, flow % 5 == 0 ? 9 : 80)
            let name = flow % 3 == 0 ? "a\(flow).blocked.example" : "b\(flow).example"
            packets.append(TestPackets.tcp(Judge.client, Judge.server, ports, flags: syn, sequence: 1))
            packets.append(
                TestPackets.tcp(
                    Judge.client, Judge.server, ports, flags: ack, sequence: 2, acknowledgment: 9, host(name)))
            packets.append(
                TestPackets.tcp(Judge.client, Judge.server, ports, flags: ack, sequence: 99, acknowledgment: 9, [1, 2]))
        }
        var allocations: UInt = 0
        var reports = 0
        for round in 0..<3 {
            for index in packets.indices {
                allocations += pass(&judge, &packets[index], &reports, counts: round > 0 || index > 30)
            }
            judge.engine.endAll(now: judge.now)
        }
        #expect(allocations == 0)
        #expect(reports > 1200)
    }
}
