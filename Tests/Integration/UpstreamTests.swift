import Foundation
import Testing

/// webtun's own questions: to the right servers, in bounded time, once, and kept as long as their answers allow.
@Suite(.serialized) struct UpstreamTests {
    /// An address that swallows packets.
    static let silent = "203.0.113.98"

    private func swallow(_ net: Internet) async throws {
        try await net.internet.ip("route add blackhole \(Self.silent)/32")
    }

    @Test func whenNoUpstreamAnswersTheClientIsToldInBoundedTime() async throws {
        try await World.with(upstreams: [Self.silent], prepare: { net, _ in try await swallow(net) }) {
            (world: World) async throws in
            for tcp in [false, true] {
                let asked = monotonicMicroseconds()
                let reply = try await world.ask(
                    "dead\(tcp).allowed.example", tcp: tcp, timeout: 15_000, options: ["--edns", "1232"])
                let took = Double(monotonicMicroseconds() - asked) / 1_000_000
                #expect(reply.rcode == "SERVFAIL", "\(reply)")
                // No Reachable Authority or Network Error (RFC 8914 sections 4.23 and 4.24).
                #expect([22, 23].contains(reply.integer("ede")), "\(reply)")
                #expect(took < 6, "SERVFAIL after \(took) s")
            }
            // What needs no upstream does not suffer.
            #expect(try await world.ask("dead.blocked.example", timeout: 200).answer == ["0.0.0.0"])
            #expect(
                try await world.ask("x.allowed.example", timeout: 15_000).integer("ede") == -1,
                "no EDE without EDNS")
        }
    }

    @Test func theNextServerIsAskedWhenOneIsSilent() async throws {
        try await World.with(
            upstreams: [Self.silent, Internet.upstreamV4], prepare: { net, _ in try await swallow(net) }
        ) { (world: World) async throws in
            let first = try await world.ask("next1.allowed.example", timeout: 8000)
            #expect(first.answer == [Internet.forwardedV4], "\(first)")
            // Once it is known to be silent it is no longer waited for.
            var times: [Int] = []
            for i in 0..<6 {
                let reply = try await world.ask("next\(i).n.allowed.example", timeout: 8000)
                #expect(reply.answer == [Internet.forwardedV4], "\(reply)")
                times.append(reply.integer("us"))
            }
            #expect(times.sorted()[2] < 500_000, "\(times) µs")
        }
    }

    @Test func upstreamsOverIPv6() async throws {
        try await World.with(upstreams: ["[\(Internet.upstreamV6)]:53"]) { (world: World) async throws in
            #expect(try await world.ask("six.allowed.example").answer == [Internet.forwardedV4])
            #expect(try await world.ask("six.allowed.example", "AAAA", six: true).answer == [Internet.forwardedV6])
        }
    }

    /// A server that is named by its link-local address has the link behind it, in options as in resolv.conf.
    @Test(arguments: ["option", "resolv.conf"])
    func aLinkLocalUpstream(from source: String) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let text = try await net.internet.must(["ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"])
                .text
            let address = try #require(
                text.split(separator: " ").first { $0.hasPrefix("fe80") }?.split(separator: "/").first)
            let option = source == "option"
            _ = try await NameServer.start(
                on: net.internet, name: "local", addresses: ["::"], port: 5353, zones: Internet.zones)
            // The port is for the option; in resolv.conf there is none.
            try await net.internet.nft(
                """
                table ip6 ports {
                    chain in {
                        type nat hook prerouting priority -100
                        ip6 daddr \(address) udp dport 53 redirect to :5353
                    }
                }
                """)
            try net.machine.resolvConf("nameserver \(address)%eth0\n")
            var webtun = try await Webtun.prepare(on: net.machine)
            webtun.upstreams = option ? ["[\(address)%eth0]:5353"] : []
            _ = try await webtun.start()
            let reply = try await Probe.ask(net.machine, server: Internet.resolverV4, "local.allowed.example")
            #expect(reply.answer == [Internet.forwardedV4], "\(reply)")
            let upstreams = try await webtun.status()["upstreams"] as? [String]
            #expect(upstreams == ["[\(address)%eth0]:\(option ? 5353 : 53)"])
            #expect(try await webtun(["run", "--upstream", "fe80::1%nolink0"]).errors.contains("fe80::1%nolink0"))
        }
    }

    @Test(arguments: ["link", "route"])
    func theServersOfResolvConfAreUsedWhenNoneAreNamed(capture: String) async throws {
        try await World.with(
            capture: capture, upstreams: [],
            prepare: { net, _ in
                try net.machine.resolvConf("nameserver 127.0.0.53\nnameserver \(Internet.upstreamV4)\n")
            }
        ) { (world: World) async throws in
            #expect(try await world.ask("own.allowed.example").answer == [Internet.forwardedV4])
            #expect(try await world.ask("own.blocked.example").answer == ["0.0.0.0"])
        }
    }

    @Test func identicalQuestionsInFlightAreAskedOnce() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab, upstreams: false)
            let server = try await NameServer.start(
                on: net.internet, name: "upstream", addresses: [Internet.upstreamV4], zones: Internet.zones)
            let webtun = try await Webtun.prepare(on: net.machine)
            _ = try await webtun.start()
            let name = "joined.allowed.example"
            await server.pause()
            let loop = try await Probe.loop(
                net.machine, server: Internet.resolverV4, name, every: 5, milliseconds: 150, timeout: 5000, log: "join")
            try await Task.sleep(for: .milliseconds(200))
            await server.resume()
            let tally = try await loop.finish(within: 10)
            #expect(tally.integer("sent") >= 15)
            #expect(tally.integer("answered") == tally.integer("sent"), "\(tally)")
            #expect(loop.changes.map(\.reply.answer) == [[Internet.forwardedV4]])
            // One question and its answer, and perhaps a retry of both.
            #expect(await net.capture.waits(for: name))
            let seen = net.capture.count(name: name)
            #expect(seen <= 6, "\(seen) packets for \(tally.integer("sent")) identical queries")
        }
    }

    @Test func answersAreKeptForTheirTTLAndNoLonger() async throws {
        try await World.with { (world: World) async throws in
            let name = "short.negative.example"
            let first = try await world.ask(name)
            #expect(first.answer == ["203.0.113.81"] && first.integer("ttl") == 2, "\(first)")
            #expect(await world.net.capture.waits(for: name))
            let asked = world.net.capture.count(name: name)
            try await Task.sleep(for: .milliseconds(1100))
            let kept = try await world.ask(name)
            #expect(kept.answer == first.answer && kept.integer("ttl") <= 1, "the TTL runs down: \(kept)")
            #expect(world.net.capture.count(name: name) == asked, "it was kept")
            try await Task.sleep(for: .milliseconds(1500))
            let again = try await world.ask(name)
            #expect(again.answer == first.answer && again.integer("ttl") == 2, "\(again)")
            #expect(await eventually(within: 2) { world.net.capture.count(name: name) > asked })
        }
    }

    /// The time of a negative answer is the smaller of the SOA's TTL and its last field (RFC 2308 section 5).
    @Test(arguments: [("nothing.negative.example", "A", "NXDOMAIN"), ("short.negative.example", "AAAA", "NOERROR")])
    func negativeAnswersAreKeptAsLongAsTheSOASays(name: String, type: String, rcode: String) async throws {
        try await World.with { (world: World) async throws in
            let first = try await world.ask(name, type)
            #expect(first.rcode == rcode && first.answer.isEmpty, "\(first)")
            #expect(first.integer("negative_ttl") == 3, "\(first)")
            #expect(await world.net.capture.waits(for: name))
            let asked = world.net.capture.count(name: name)
            try await Task.sleep(for: .milliseconds(1200))
            let kept = try await world.ask(name, type)
            #expect(kept.rcode == rcode && kept.integer("negative_ttl") <= 2, "\(kept)")
            #expect(world.net.capture.count(name: name) == asked, "it was kept")
            try await Task.sleep(for: .milliseconds(2500))
            let again = try await world.ask(name, type)
            #expect(again.rcode == rcode && again.integer("negative_ttl") == 3, "\(again)")
            #expect(await eventually(within: 2) { world.net.capture.count(name: name) > asked })
        }
    }

    @Test func aTruncatedReplyIsAskedForAgainOverTCP() async throws {
        try await World.with { (world: World) async throws in
            let reply = try await world.ask("huge.allowed.example", tcp: true)
            #expect(reply.words["counts"]?.hasPrefix("1/200/") == true, "\(reply)")
        }
    }
}

extension NameServer {
    /// Stop it in its tracks: it receives, and answers later. nsd's children have to stop too.
    func pause() async { await signalAll(SIGSTOP) }
    func resume() async { await signalAll(SIGCONT) }

    private func signalAll(_ signal: Int32) async {
        var pids = [service.pid]
        var at = 0
        while at < pids.count {
            let children = try? await run(["pgrep", "-P", "\(pids[at])"])
            pids += children?.lines.compactMap { pid_t($0) } ?? []
            at += 1
        }
        for pid in pids { kill(pid, signal) }
    }
}
