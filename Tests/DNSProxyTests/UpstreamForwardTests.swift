import Blocklist
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// Names of forward zones: only their servers are ever asked.
@Suite struct UpstreamForwardTests {
    /// A usual server, and two of the zone `corp.example`.
    private struct Place {
        let usual: FakeServer
        let first: FakeServer
        let second: FakeServer
        let lab: UpstreamLab

        init(_ zones: [(String, [Int])] = [("corp.example", [3, 4])]) throws {
            (usual, first, second) = (
                try FakeServer("127.0.0.2"), try FakeServer("127.0.0.3"), try FakeServer("127.0.0.4")
            )
            lab = try UpstreamLab(usual)
            forward(zones)
        }

        func forward(_ zones: [(String, [Int])]) {
            lab.exchange.setForwards(
                ForwardTable(
                    zones.map { name, hosts in
                        ForwardZone(
                            name: name, servers: hosts.map { SocketAddress(IPAddress("127.0.0.\($0)")!, port: 53) })
                    }),
                now: lab.now, poller: lab.poller)
            lab.drain()
        }
    }

    @Test func eachNameGoesToTheServersOfItsLongestZone() throws {
        try inNamespace {
            let place = try Place([("corp.example", [3]), ("lab.corp.example", [4])])
            for (name, server) in [
                ("www.corp.example", place.first), ("corp.example", place.first), ("x.lab.corp.example", place.second),
                ("notcorp.example", place.usual), ("example", place.usual),
            ] {
                place.lab.ask(name)
                let query = try server.expect("\(name)")
                #expect(query.name == Name(name))
                server.send(query.address(), to: query)
                place.lab.run()
                #expect(place.lab.done.last?.completion.server == server.address)
            }
            for server in [place.usual, place.first, place.second] { #expect(server.receive() == nil) }
        }
    }

    @Test func silenceOfAZoneLeadsToItsOtherServersAndNowhereElse() throws {
        try inNamespace {
            let place = try Place()
            place.lab.ask("secret.corp.example")
            _ = try place.first.expect()
            #expect(place.lab.pass() == 400)
            _ = try place.second.expect()
            while place.lab.done.isEmpty { place.lab.pass() }
            #expect(place.lab.outcome == .failed(.timeout))
            #expect(place.usual.receive() == nil, "the name must not leak")
        }
    }

    @Test func errorsAndDeadServersOfAZoneDoNotLeadElsewhere() throws {
        try inNamespace {
            let place = try Place()
            place.lab.ask("a.corp.example")
            for server in [place.first, place.second] {
                let query = try server.expect()
                server.send(query.reply(flags: 0x8185), to: query)
                place.lab.run()
            }
            #expect(place.lab.isAnswered, "what the last one says is the answer")
            #expect(place.usual.receive() == nil)
            // Nobody listens there.
            place.forward([("corp.example", [9])])
            place.lab.ask("b.corp.example")
            for _ in 0..<20 where place.lab.done.count < 2 {
                place.lab.run()
                place.lab.pass()
            }
            #expect(place.lab.outcome == .failed(.refused))
            // The zone's server is down now; a name of no zone is no probe of it, nor the other way round.
            place.lab.now += 60_000 * UpstreamLab.millisecond
            place.lab.ask("www.example")
            _ = try place.usual.expect()
            #expect(place.usual.receive() == nil)
        }
    }

    @Test func aUsualServerThatIsDownIsNotProbedWithNamesOfAZone() throws {
        try inNamespace {
            let place = try Place()
            place.lab.ask("www.example")
            while place.lab.done.isEmpty { place.lab.pass() }
            while place.usual.receive() != nil {}
            place.lab.now += 60_000 * UpstreamLab.millisecond
            for index in 0..<5 {
                place.lab.ask("n\(index).corp.example")
                let query = try place.first.expect()
                place.first.send(query.address(), to: query)
                place.lab.run()
            }
            #expect(place.usual.receive() == nil)
        }
    }

    @Test func questionsInFlightFollowAChangeOfZones() throws {
        try inNamespace {
            let place = try Place([])
            place.lab.ask("www.corp.example")
            _ = try place.usual.expect()
            place.forward([("corp.example", [4, 3])])
            let query = try place.second.expect("the order is the zone's")
            #expect(place.usual.receive() == nil && place.first.receive() == nil)
            place.second.send(query.address(), to: query)
            place.lab.run()
            #expect(place.lab.done.last?.completion.server == place.second.address)
            // A server of both: nothing that is known of it is lost, and the list stays the list.
            place.forward([("corp.example", [2])])
            #expect(place.lab.exchange.serverAddresses == [place.usual.address])
            place.lab.ask("x.corp.example")
            _ = try place.usual.expect()
        }
    }

    @Test func aZoneWithoutServersFailsAtOnce() throws {
        try inNamespace {
            let place = try Place([("corp.example", [])])
            place.lab.ask("www.corp.example")
            #expect(place.lab.outcome == .failed(.noServers))
            #expect(place.usual.receive() == nil)
        }
    }

    @Test func truncatedAnswersOfAZoneComeOverTCPFromItsServer() throws {
        try inNamespace {
            let place = try Place()
            try place.first.listen()
            place.lab.ask("big.corp.example")
            let query = try place.first.expect()
            place.first.send(query.reply(flags: 0x8380), to: query)
            place.lab.run()
            let connection = try #require(place.first.accept().first)
            let again = try #require(place.first.receive(over: connection).first)
            place.first.sendStream(again.address(9), to: again)
            place.lab.run()
            #expect(place.lab.isAnswered)
            #expect(place.lab.done.last?.completion.isStream == true)
            #expect(place.usual.receive() == nil)
        }
    }

    @Test func manyZonesWithManyServers() throws {
        try inNamespace {
            let place = try Place((0..<48).map { ("z\($0).example", [10 + $0]) } + [("corp.example", [3])])
            place.lab.ask("x.corp.example")
            _ = try place.first.expect("the last of 50 servers")
            let far = try FakeServer("127.0.0.57")
            place.lab.ask("x.z47.example")
            _ = try far.expect()
            #expect(place.usual.receive() == nil)
        }
    }
}
