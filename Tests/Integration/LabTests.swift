import Foundation
import Testing

/// The lab proves itself before it judges anything: without webtun, both stories are told and the capture sees the names.
@Suite(.serialized) struct LabTests {
    @Test func queriesReachTheResolverInEveryWayAndTheCaptureSeesThem() async throws {
        try await Lab.with { lab in
            let world = try await Internet.open(in: lab)
            for way in Probe.Way.allCases {
                for (server, type, source, answer) in [
                    (Internet.resolverV4, "A", Internet.machineV4, Internet.escapedV4),
                    (Internet.resolverV6, "AAAA", Internet.machineV6, Internet.escapedV6),
                ] {
                    for tcp in [false, true] {
                        let name = "lab-\(way)-\(type)-\(tcp).blocked.example"
                        let reply = try await Probe.ask(
                            world.machine, server: server, name, type, tcp: tcp,
                            options: ["--way", way.rawValue, "--link", "eth0", "--source", source])
                        #expect(reply.answer == [answer], "\(way) \(type) tcp=\(tcp): \(reply)")
                        #expect(await world.capture.waits(for: name))
                        #expect(!world.capture.holds(name: "x" + name))
                    }
                }
            }
            for container in [world.masked, world.served] {
                let reply = try await Probe.ask(
                    container, server: Internet.resolverV4, "\(container.name).blocked.example")
                #expect(reply.answer == [Internet.escapedV4])
                let six = try await Probe.ask(
                    container, server: Internet.resolverV6, "\(container.name).blocked.example", "AAAA")
                #expect(six.answer == [Internet.escapedV6])
            }
            let upstream = try await Probe.ask(world.machine, server: Internet.upstreamV4, "a.allowed.example")
            #expect(upstream.answer == [Internet.forwardedV4])
        }
    }

    @Test func resolvedStubAsksItsServerOverEachFamily() async throws {
        try await Lab.with { lab in
            let world = try await Internet.open(in: lab)
            _ = try await Resolved.start(on: world.machine, name: "v4", servers: [Internet.resolverV4], stub: true)
            _ = try await Resolved.start(
                on: world.machine, name: "v6", servers: [Internet.resolverV6], stub: false, extra: ["::1"])
            for (stub, name) in [("127.0.0.53", "stub4.blocked.example"), ("::1", "stub6.blocked.example")] {
                for tcp in [false, true] {
                    let reply = try await Probe.ask(world.machine, server: stub, name, tcp: tcp)
                    #expect(reply.answer == [Internet.escapedV4], "\(reply)")
                }
                #expect(await world.capture.waits(for: name))
            }
        }
    }

    @Test func theStreamModesOfTheProbeGetTheirAnswers() async throws {
        try await Lab.with { lab in
            let world = try await Internet.open(in: lab)
            func lines(_ options: [String]) async throws -> [Probe.Reply] {
                try await Probe.lines(
                    world.machine, server: Internet.upstreamV4, "s.allowed.example", tcp: true, options: options)
            }
            #expect(try await lines(["--together", "20"]).count == 20)
            #expect(try await lines(["--pipeline", "50"]).count == 50)
            #expect(try await lines(["--split"]).first?.answer == [Internet.forwardedV4])
            #expect(try await lines(["--connections", "30"]).first?.integer("answered") == 30)
            let loop = try await Probe.loop(
                world.machine, server: Internet.upstreamV4, "l.allowed.example", every: 5, milliseconds: 500,
                log: "lab",
                options: ["--unique"])
            let tally = try await loop.finish(within: 10)
            #expect(tally.integer("sent") == tally.integer("answered"))
            #expect(tally.integer("sent") >= 50)
            #expect(loop.changes.count == 1)
        }
    }

    @Test func nothingOfALabRemains() async throws {
        struct Abandoned: Error {}
        var namespaces: [String] = []
        var folder = ""
        var pid: pid_t = 0
        await #expect(throws: Abandoned.self) {
            try await Lab.with { lab in
                let world = try await Internet.open(in: lab)
                namespaces = [world.machine.namespace, world.internet.namespace]
                folder = lab.folder
                pid = world.capture.service.pid
                throw Abandoned()
            }
        }
        let left = try await run(["ip", "netns", "list"]).text
        for namespace in namespaces { #expect(!left.contains(namespace)) }
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(kill(pid, 0) != 0)
    }
}
