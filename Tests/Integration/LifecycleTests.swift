import Foundation
import Testing

/// webtun comes and goes without a gap, and gives back what it took.
@Suite(.serialized) struct LifecycleTests {
    /// Pi-hole and others answer blocked names from upstream while they load; here not one query is answered so.
    @Test(arguments: ["link", "route"])
    func noBlockedNameIsForwardedWhileItStarts(capture: String) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            let loop = try await Probe.loop(
                net.machine, server: Internet.resolverV4, "start.blocked.example", every: 2, milliseconds: 4000,
                log: "start", options: ["--unique"])
            try await Task.sleep(for: .milliseconds(300))
            _ = try await webtun.start(capture: capture)
            for i in 0..<20 {
                let reply = try await Probe.ask(net.machine, server: Internet.resolverV4, "ready\(i).blocked.example")
                #expect(reply.answer == ["0.0.0.0"], "after the readiness line: \(reply)")
                #expect(!net.capture.holds(name: "ready\(i).blocked.example"))
            }
            let tally = try await loop.finish(within: 20)
            // Before: the resolver's own answer. After: blocked. Nothing between, nothing twice. With `link` nothing is lost;
            // with `route` the kernel's masquerade drops the packet with which a known flow changes its link.
            let answers = loop.changes.map(\.reply.answer).filter { !$0.isEmpty }
            #expect(answers == [[Internet.escapedV4], ["0.0.0.0"]], "\(loop.changes)")
            #expect((0...(capture == "link" ? 0 : 2)).contains(tally.integer("lost")), "\(tally)")
        }
    }

    @Test(arguments: ["link", "route"], [SIGTERM, SIGINT])
    func stoppingUndoesEverything(capture: String, signal: Int32) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            let before = try await net.machine.networkState()
            let daemon = try await webtun.start(capture: capture, serve: ["br0"])
            #expect(try await net.machine.networkState() != before)
            let held = try await Probe.ask(net.machine, server: Internet.resolverV4, "held.blocked.example")
            #expect(held.answer == ["0.0.0.0"])
            daemon.signal(signal)
            #expect(await daemon.waitForEnd(within: 5) == 0, "\(daemon.errors)")
            #expect(try await net.machine.networkState() == before)
            let free = try await Probe.ask(net.machine, server: Internet.resolverV4, "free.blocked.example")
            #expect(free.answer == [Internet.escapedV4])
            let container = try await Probe.ask(net.served, server: Internet.resolverV4, "free2.blocked.example")
            #expect(container.answer == [Internet.escapedV4])
            // It can start again at once.
            let again = try await webtun.start(capture: capture, log: "again")
            #expect(again.status == nil)
        }
    }

    @Test(arguments: ["link", "route"])
    func aKilledWebtunGivesTheNetworkBackWithinASecond(capture: String) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            let before = try await net.machine.networkState()
            let daemon = try await webtun.start(capture: capture, serve: ["br0"])
            let loop = try await Probe.loop(
                net.machine, server: Internet.resolverV4, "kill.blocked.example", every: 2, milliseconds: 2500,
                log: "kill", options: ["--unique"])
            try await Task.sleep(for: .milliseconds(300))
            let killed = monotonicMicroseconds()
            daemon.signal(SIGKILL)
            _ = try await loop.finish(within: 20)
            #expect(loop.changes.map(\.reply.answer) == [["0.0.0.0"], [Internet.escapedV4]], "\(loop.changes)")
            if let back = loop.changes.last {
                #expect(back.at - killed < 1_000_000, "the network was back after \((back.at - killed) / 1000) ms")
            }
            for (host, name) in [(net.machine, "m"), (net.masked, "c"), (net.served, "s")] {
                let reply = try await Probe.ask(host, server: Internet.resolverV4, "\(name).blocked.example", tcp: true)
                #expect(reply.answer == [Internet.escapedV4], "\(name): \(reply)")
            }
            try await webtun.must(["cleanup"])
            #expect(try await net.machine.networkState() == before)
            // A second cleanup finds nothing and is content.
            try await webtun.must(["cleanup"])
        }
    }

    @Test(arguments: ["link", "route"])
    func itStartsAfterItWasKilledWithoutACleanup(capture: String) async throws {
        try await World.with(capture: capture) { (world: World) async throws in
            let before = try await world.machine.networkState()
            world.daemon.signal(SIGKILL)
            _ = await world.daemon.waitForEnd(within: 5)
            let daemon = try await world.webtun.start(capture: capture, log: "second")
            #expect(try await world.ask("second.blocked.example").answer == ["0.0.0.0"])
            #expect(try await world.ask("six.blocked.example", "AAAA", six: true, tcp: true).answer == ["::"])
            #expect(
                try await world.machine.networkState().split(separator: "\n").count
                    == before.split(separator: "\n").count)
            daemon.signal(SIGTERM)
            #expect(await daemon.waitForEnd(within: 5) == 0)
        }
    }

    @Test func aSecondInstanceIsRefusedAndTheFirstGoesOn() async throws {
        try await World.with { (world: World) async throws in
            let second = try await world.webtun.launch(log: "same")
            #expect(await second.waitForEnd(within: 10) == 1)
            #expect(second.errors.contains("webtun:"), "\(second.errors)")
            #expect(second.errors.lowercased().contains("running"), "\(second.errors)")
            // Another state directory does not help: the TUN device is taken.
            let other = try await Webtun.prepare(on: world.machine, name: "other")
            let third = try await other.launch(log: "other")
            #expect(await third.waitForEnd(within: 10) == 1)
            #expect(third.errors.contains("webtun0"), "\(third.errors)")
            #expect(try await world.ask("first.blocked.example").answer == ["0.0.0.0"])
            #expect(try await world.webtun(["status"]).status == 0)
        }
    }

    @Test func statusTellsWhetherItFilters() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            #expect(try await webtun(["status"]).status == 4)
            async let waiting = webtun(["status", "--wait", "15", "--json"])
            let daemon = try await webtun.start()
            let output = try await waiting
            #expect(output.status == 0)
            let status = try Webtun.object(output.text)
            #expect(status["running"] as? Bool == true)
            #expect(status["filtering"] as? Bool == true)
            #expect(status["capture"] as? String == "link")
            #expect(status["mode"] as? String == "dns")
            #expect(status["links"] as? [String] == ["eth0"])
            _ = try await Probe.ask(net.machine, server: Internet.resolverV4, "counted.blocked.example")
            _ = try await Probe.ask(net.machine, server: Internet.resolverV4, "counted.allowed.example")
            let after = try await webtun.status()
            #expect(after["queries"] as? Int == 2)
            #expect(after["blocked"] as? Int == 1)
            #expect(after["dropped_log_rows"] as? Int == 0)
            daemon.signal(SIGTERM)
            _ = await daemon.waitForEnd(within: 5)
            let stopped = try await webtun(["status", "--json"])
            #expect(stopped.status == 4)
            #expect(try Webtun.object(stopped.text)["running"] as? Bool == false)
        }
    }

    @Test func systemdIsToldWhenItIsReadyAndWhenItStops() async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            let webtun = try await Webtun.prepare(on: net.machine)
            let socket = try NotifySocket(path: lab.path("notify"))
            let daemon = try await webtun.launch(environment: ["NOTIFY_SOCKET": lab.path("notify")])
            let ready = await eventually(within: 15) { socket.received().contains("READY=1") }
            #expect(ready)
            #expect(
                try await Probe.ask(net.machine, server: Internet.resolverV4, "told.blocked.example").answer == [
                    "0.0.0.0"
                ])
            daemon.signal(SIGTERM)
            _ = await daemon.waitForEnd(within: 5)
            #expect(socket.received().contains("STOPPING=1"))
        }
    }
}

/// The datagram socket systemd gives a service (sd_notify(3)).
final class NotifySocket {
    private let descriptor: Int32
    private var text = ""

    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8.prefix(107)) + [0]) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard descriptor >= 0, bound == 0 else { throw LabError("notify socket: \(errno)") }
    }

    deinit { close(descriptor) }

    /// All that was received so far.
    func received() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return text }
            text += String(decoding: buffer[..<count], as: UTF8.self) + "\n"
        }
    }
}
