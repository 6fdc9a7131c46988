import Foundation
import Testing

/// Links come, go and change while webtun runs.
@Suite(.serialized) struct LinkTests {
    /// Whether a query bound to the link is held within two seconds.
    private func holds(_ world: World, link: String, name: String) async throws -> Bool {
        var number = 0
        return try await eventually(within: 2, every: 50) {
            number += 1
            let reply = try await world.ask(
                "\(name)\(number).blocked.example", timeout: 300, options: ["--way", "device", "--link", link])
            return reply.answer == ["0.0.0.0"]
        }
    }

    private func addLink(_ world: World, subnet: Int) async throws {
        try await world.net.lab.link(world.machine, "eth1", world.net.internet, "eth1")
        try await world.machine.ip(
            """
            addr add 192.0.3.10/24 dev eth1
            route add default via 192.0.3.1 dev eth1 metric 200
            """)
        try await world.net.internet.ip("addr add 192.0.3.1/24 dev eth1")
    }

    @Test func linksAppearVanishAndAppearAgain() async throws {
        try await World.with(links: ["eth0", "eth1"]) { (world: World) async throws in
            #expect(try await holds(world, link: "eth0", name: "zero"))
            for round in 1...2 {
                try await addLink(world, subnet: round)
                #expect(try await holds(world, link: "eth1", name: "one\(round)x"))
                #expect(try await world.webtun.status()["links"] as? [String] == ["eth0", "eth1"])
                try await world.machine.ip("link del eth1")
                #expect(try await holds(world, link: "eth0", name: "zero\(round)x"))
                let gone = try await eventually(within: 2, every: 50) {
                    try await world.webtun.status()["links"] as? [String] == ["eth0"]
                }
                #expect(gone)
            }
        }
    }

    @Test func aLinkThatChangesItsAddressesIsStillHeld() async throws {
        try await World.with { (world: World) async throws in
            try await world.machine.ip(
                """
                link set eth0 address 02:00:5e:10:00:01
                addr del \(Internet.machineV4)/24 dev eth0
                addr add 192.0.2.77/24 dev eth0
                route add default via 192.0.2.1
                """)
            for tcp in [false, true] {
                let held = try await eventually(within: 2, every: 50) {
                    let reply = try await world.ask("mac.blocked.example", tcp: tcp, timeout: 300)
                    return reply.answer == ["0.0.0.0"]
                }
                #expect(held)
                let forwarded = try await eventually(within: 2, every: 50) {
                    try await world.ask("mac.allowed.example", tcp: tcp, timeout: 500).answer == [Internet.forwardedV4]
                }
                #expect(forwarded)
            }
            #expect(!world.net.capture.holds(name: "mac.blocked.example"))
            try await world.machine.ip("link set eth0 down\nlink set eth0 up\nroute add default via 192.0.2.1")
            #expect(try await holds(world, link: "eth0", name: "down"))
        }
    }

    /// A link without link-layer header, as WireGuard and PPP make them. Here: VXLAN-GPE, which carries bare IP packets.
    @Test func aLayer3LinkIsHeld() async throws {
        try await World.with(
            links: ["eth0", "bare0"],
            prepare: { net, _ in
                for (host, peer, own) in [
                    (net.machine, "192.0.2.1", "10.99.0.1"), (net.internet, Internet.machineV4, "10.99.0.2"),
                ] {
                    try await host.ip(
                        """
                        link add bare0 type vxlan dstport 4790 gpe external
                        link set bare0 up
                        addr add \(own)/24 dev bare0 noprefixroute
                        route add 10.99.0.0/24 encap ip id 7 dst \(peer) dev bare0
                        """)
                }
                try await net.machine.ip(
                    "route add \(Internet.resolverV4)/32 encap ip id 7 dst 192.0.2.1 dev bare0 src 10.99.0.1")
                let reply = try await Probe.ask(net.machine, server: Internet.resolverV4, "bare.blocked.example")
                guard reply.answer == [Internet.escapedV4] else {
                    throw LabError("the bare link does not work: \(reply)")
                }
            }
        ) { (world: World) async throws in
            for tcp in [false, true] {
                let reply = try await world.ask("held\(tcp).blocked.example", tcp: tcp)
                #expect(reply.answer == ["0.0.0.0"], "\(reply)")
                let allowed = try await world.ask("let\(tcp).allowed.example", tcp: tcp)
                #expect(allowed.answer == [Internet.forwardedV4], "\(allowed)")
            }
            #expect(!world.net.capture.holds(name: "heldfalse.blocked.example"))
        }
    }

    @Test func otherTrafficIsLeftAlone() async throws {
        try await World.with { (world: World) async throws in
            // A port next to 53, ICMP of both families, and queries to the loopback are none of webtun's business.
            let zone = ["example": Internet.zone(a: "192.0.2.5", aaaa: "2001:db8::5")]
            _ = try await NameServer.start(
                on: world.net.internet, name: "beside", addresses: [Internet.resolverV4], port: 54, zones: zone)
            let beside = try await Probe.ask(
                world.machine, server: Internet.resolverV4, port: 54, "x.blocked.example")
            #expect(beside.answer == ["192.0.2.5"], "\(beside)")
            _ = try await NameServer.start(on: world.machine, name: "local", addresses: ["127.0.0.9"], zones: zone)
            let local = try await Probe.ask(world.machine, server: "127.0.0.9", "x.blocked.example")
            #expect(local.answer == ["192.0.2.5"], "\(local)")
        }
    }
}
