import Foundation

/// The world most tests happen in.
///
/// ```
///  masked ── cont0 ┐
///                  ├ machine ── eth0 ─────── eth0 ── internet
///  served ──── br0 ┘                     (capture here)
/// ```
/// `machine` is the host webtun filters. `masked` is a container behind masquerade, `served` one behind a bridge.
/// `internet` carries two name servers that tell different stories about the same names, so that an answer says who
/// gave it: `Internet.resolver` is where applications send their queries, `Internet.upstream` is where webtun asks.
struct Internet {
    let lab: Lab
    let machine: Host
    let masked: Host
    let served: Host
    let internet: Host
    /// All that leaves or reaches the machine over eth0, seen from the other side.
    let capture: PacketCapture

    static let machineV4 = "192.0.2.10"
    static let machineV6 = "2001:db8:1::10"
    /// The resolver applications use: an arbitrary address that webtun is never told of.
    static let resolverV4 = "198.51.100.53"
    static let resolverV6 = "2001:db8:53::53"
    /// The server webtun forwards to.
    static let upstreamV4 = "203.0.113.53"
    static let upstreamV6 = "2001:db8:113::53"
    /// Addresses only the resolver tells: they appear in an answer exactly when the query escaped webtun.
    static let escapedV4 = "198.51.100.66"
    static let escapedV6 = "2001:db8:53::66"
    /// Addresses only the upstream tells.
    static let forwardedV4 = "203.0.113.80"
    static let forwardedV6 = "2001:db8:113::80"

    static func open(in lab: Lab, upstreams: Bool = true) async throws -> Internet {
        let machine = try await lab.host("machine")
        let masked = try await lab.host("masked")
        let served = try await lab.host("served")
        let internet = try await lab.host("internet")
        try await lab.link(machine, "eth0", internet, "eth0")
        try await lab.link(machine, "cont0", masked, "eth0")
        try await lab.link(machine, "port0", served, "eth0")
        try await machine.sysctl([
            "net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv4.ping_group_range": "0 0",
        ])
        try await machine.ip(
            """
            link add br0 type bridge
            link set port0 master br0
            link set br0 up
            addr add \(machineV4)/24 dev eth0
            addr add \(machineV6)/64 dev eth0
            addr add 10.77.1.1/24 dev cont0
            addr add fd77:1::1/64 dev cont0
            addr add 10.77.2.1/24 dev br0
            addr add fd77:2::1/64 dev br0
            route add default via 192.0.2.1
            route add default via 2001:db8:1::1
            """)
        try await internet.ip(
            """
            addr add 192.0.2.1/24 dev eth0
            addr add 2001:db8:1::1/64 dev eth0
            addr add \(resolverV4)/32 dev lo
            addr add \(resolverV6)/128 dev lo
            addr add \(upstreamV4)/32 dev lo
            addr add \(upstreamV6)/128 dev lo
            """)
        for (host, subnet) in [(masked, 1), (served, 2)] {
            try await host.ip(
                """
                addr add 10.77.\(subnet).2/24 dev eth0
                addr add fd77:\(subnet)::2/64 dev eth0
                route add default via 10.77.\(subnet).1
                route add default via fd77:\(subnet)::1
                """)
        }
        for (family, clients) in [("ip", "ip saddr 10.77.0.0/16"), ("ip6", "ip6 saddr fd77::/16")] {
            try await machine.nft(
                """
                table \(family) lab {
                    chain post {
                        type nat hook postrouting priority 100
                        oifname "eth0" \(clients) masquerade
                    }
                }
                """)
        }
        _ = try await NameServer.start(
            on: internet, name: "resolver", addresses: [resolverV4, resolverV6],
            zones: ["example": zone(a: escapedV4, aaaa: escapedV6)])
        if upstreams {
            _ = try await NameServer.start(
                on: internet, name: "upstream", addresses: [upstreamV4, upstreamV6], zones: Self.zones)
        }
        let capture = try await PacketCapture.start(on: internet, link: "eth0")
        return Internet(
            lab: lab, machine: machine, masked: masked, served: served, internet: internet, capture: capture)
    }

    /// The zones of the upstream: `example`, where every name below `allowed.` and `blocked.` has addresses and the rest
    /// does not exist, and `negative.example` for the times of negative answers.
    static let zones = [
        "example": zone(a: forwardedV4, aaaa: forwardedV6),
        "negative.example": """
        $ORIGIN negative.example.
        @ 3600 IN SOA ns.negative.example. admin.negative.example. 1 3600 600 86400 3
        @ 3600 IN NS ns.negative.example.
        ns 3600 IN A 203.0.113.53
        short 2 IN A 203.0.113.81

        """,
    ]

    static func zone(a: String, aaaa: String) -> String {
        var text = """
            $ORIGIN example.
            @ 300 IN SOA ns.example. admin.example. 1 3600 600 86400 60
            @ 300 IN NS ns.example.
            ns 300 IN A \(upstreamV4)
            allowed 300 IN A \(a)
            allowed 300 IN AAAA \(aaaa)
            *.allowed 300 IN A \(a)
            *.allowed 300 IN AAAA \(aaaa)
            blocked 300 IN A \(a)
            blocked 300 IN AAAA \(aaaa)
            *.blocked 300 IN A \(a)
            *.blocked 300 IN AAAA \(aaaa)
            alias.allowed 300 IN CNAME target.allowed.example.
            text.allowed 300 IN TXT "forwarded"

            """
        // 60 addresses: more than 512 bytes, less than 1232. And 200: more than any UDP size in use.
        for i in 1...60 { text += "big.allowed 300 IN A 203.0.113.\(i)\n" }
        for i in 1...200 { text += "huge.allowed 300 IN A 203.0.113.\(i)\n" }
        return text
    }
}
