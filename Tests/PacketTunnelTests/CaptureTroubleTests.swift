import Foundation
import Glibc
import Kernel
import Testing
import Wire

@testable import PacketTunnel

/// Machines on which a capture cannot be, or not all of it.
@Suite("Capture in trouble")
struct CaptureTroubleTests {
    /// Runs `body` on a fresh host, with a state directory of its own, after a script in which APP is that host.
    func host(
        _ backEnd: CaptureRequest.BackEnd, _ prepare: String = "",
        _ body: @escaping @Sendable (CaptureRequest) throws -> Void
    ) throws {
        try Lab.with { lab in
            let hosts = try lab.pair()
            try Lab.run(prepare.replacing("APP", with: hosts.app))
            var request = CaptureRequest()
            request.backEnd = backEnd
            request.state = "/tmp/\(lab.prefix)"
            try FileManager.default.createDirectory(atPath: request.state, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: "/tmp/\(lab.prefix)") }
            let final = request
            try Lab.inside(hosts.app) { try body(final) }
        }
    }

    func capture(_ request: CaptureRequest) throws -> any Capture {
        let tun = try TunDevice(request)
        return try request.capture(tun)
    }

    @Test(
        "refuses a table or a place that somebody uses, and changes nothing",
        arguments: [
            ("ip route add 203.0.113.0/24 dev e0 table 7774", "ip route show table 7774"),
            ("ip -6 route add 2001:db8:9::/48 dev e0 table 7774", "ip route show table 7774"),
            ("ip rule add priority 5000 from 192.0.2.2 lookup 7774", "ip rule show priority 5000"),
            ("ip -6 rule add priority 772 from 2001:db8::2 lookup main", "ip -6 rule show priority 772"),
        ])
    func tableInUse(command: String, what: String) throws {
        try host(.route, "ip netns exec APP \(command)") { request in
            let before = try Lab.run(CaptureTests.policy)
            #expect(throws: CaptureError.tableInUse(7774, what: what)) { _ = try capture(request) }
            let after = try Lab.run(CaptureTests.policy)
            #expect(before == after)
            #expect(!FileManager.default.fileExists(atPath: request.state + "/undo.json"))
            // Another table is free, unless it is the place of the rule that is taken.
            var other = request
            other.table = 7775
            if !what.contains("772") {
                let tun = try TunDevice(other)
                let capture = try other.capture(tun)
                try capture.attach()
                capture.detach()
            }
        }
    }

    @Test(
        "refuses a journal it cannot read, and leaves it", arguments: [CaptureRequest.BackEnd.link, .route],
        [
            ("{\"version\":1,\"changes\":[{\"rule\":", "not a journal of webtun"),
            ("", "not a journal of webtun"),
            ("{\"version\":2,\"changes\":[]}", "written by another version (2)"),
        ])
    func corruptJournal(backEnd: CaptureRequest.BackEnd, content: (text: String, reason: String)) throws {
        try host(backEnd) { request in
            let path = request.state + "/undo.json"
            try Data(content.text.utf8).write(to: URL(filePath: path))
            func isRefused(_ body: () throws -> Void) {
                do {
                    try body()
                    Issue.record("it was taken")
                } catch let error as CaptureError {
                    guard case .journal(path, let reason) = error else {
                        Issue.record("\(error)")
                        return
                    }
                    #expect(reason.hasPrefix(content.reason))
                } catch {
                    Issue.record("\(error)")
                }
            }
            isRefused { _ = try capture(request) }
            isRefused { _ = try request.cleanup() }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == content.text)
            #expect(!(try Lab.run("ip rule")).contains("protocol 119") && if_nametoindex("webtun0") == 0)
        }
    }

    @Test("undoes what the journal of a webtun that died has", arguments: [CaptureRequest.BackEnd.link, .route])
    func journal(backEnd: CaptureRequest.BackEnd) throws {
        try host(.route) { request in
            let before = try Lab.run(CaptureTests.policy)
            do {
                let tun = try TunDevice(request)
                let died = try RouteCapture(request, tun: tun)
                try died.attach()
                died.abandon()
            }
            #expect(try Journal(state: request.state).changes().count > 10)
            var next = request
            next.backEnd = backEnd
            _ = try capture(next)
            let after = try Lab.run(CaptureTests.policy)
            #expect(before == after)
            #expect(!FileManager.default.fileExists(atPath: request.state + "/undo.json"))
        }
    }

    @Test("works for IPv4 where IPv6 is switched off", arguments: [CaptureRequest.BackEnd.link, .route])
    func withoutIPv6(backEnd: CaptureRequest.BackEnd) throws {
        let off = """
            ip netns exec APP sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
            """
        try host(backEnd, off) { request in
            let tun = try TunDevice(request)
            let hasIPv6 = tun.hasIPv6
            #expect(!hasIPv6)
            let capture = try request.capture(tun)
            var peer = Peer(tun)
            try capture.attach()
            defer { capture.detach() }
            #expect(capture.state.isCapturing, "\(capture.state)")
            for isTCP in [false, true] {
                var application = Application("198.51.100.1")
                application.isTCP = isTCP
                let query = try application.ask()
                #expect(peer.answer(1) == 1 && query.answered())
            }
            #expect(!(try Lab.run("ip -6 rule 2>/dev/null || true")).contains("7774"))
        }
    }

    @Test("`auto` takes `route` on a kernel without TCX, and `link` is refused there")
    func withoutTCX() throws {
        try host(.auto) { request in
            #expect(try request.chosenBackEnd() == .link)
            try OldKernel.begin()
            #expect(!LinkCapture.isSupported)
            #expect(try request.chosenBackEnd() == .route)
            #expect(try request.plan().backEnd == .route)
            let tun = try TunDevice(request)
            var link = request
            link.backEnd = .link
            #expect(throws: CaptureError.noTCX) { try link.plan() }
            #expect(throws: CaptureError.noTCX) { try link.capture(tun) }

            let capture = try request.capture(tun)
            var peer = Peer(tun)
            try capture.attach()
            defer { capture.detach() }
            #expect(capture.state.backEnd == .route && capture.state.isCapturing, "\(capture.state)")
            let query = try Application("198.51.100.1").ask()
            #expect(peer.answer(1) == 1 && query.answered())
        }
    }
}
