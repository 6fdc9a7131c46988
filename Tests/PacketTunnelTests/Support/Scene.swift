import Foundation

@testable import PacketTunnel

/// A host with webtun's tunnel, and its gateway: what most tests of capture need.
enum Scene {
    /// Runs `body` in a fresh application host with the capture attached. The state directory is the test's own.
    static func run(
        _ backEnd: CaptureRequest.BackEnd, prepare: String = "", _ change: (inout CaptureRequest) -> Void = { _ in },
        _ body: @escaping @Sendable (inout Peer, any Capture, Hosts) throws -> Void
    ) throws {
        try with(backEnd, prepare, change) { hosts in
            let tun = try TunDevice(hosts.request)
            let capture = try hosts.request.capture(tun)
            var peer = Peer(tun)
            try capture.attach()
            defer { capture.detach() }
            try body(&peer, capture, hosts)
        }
    }

    /// The same in full mode, with a thread that forwards what `judge` lets it. The network that both hosts are on is captured
    /// too, unless `change` says otherwise.
    static func full(
        _ backEnd: CaptureRequest.BackEnd, prepare: String = "", _ change: (inout CaptureRequest) -> Void = { _ in },
        judge: @escaping Forwarder.Judge = { _, _ in .allow },
        _ body: @escaping @Sendable (Forwarder, any Capture, Hosts) throws -> Void
    ) throws {
        let full = { (request: inout CaptureRequest) in
            request.mode = .full
            request.excludesLocalNetworks = false
            change(&request)
        }
        try with(backEnd, prepare, full) { hosts in
            let tun = try TunDevice(hosts.request)
            let capture = try hosts.request.capture(tun)
            let forwarder = Forwarder(tun, capture, judge)
            defer { forwarder.stop() }
            try capture.attach()
            defer { capture.detach() }
            try body(forwarder, capture, hosts)
        }
    }

    /// Runs `body` in the application host of a fresh lab.
    private static func with(
        _ backEnd: CaptureRequest.BackEnd, _ prepare: String, _ change: (inout CaptureRequest) -> Void,
        _ body: @escaping @Sendable (Hosts) throws -> Void
    ) throws {
        try Lab.with { lab in
            let (app, far) = try lab.pair()
            let script = prepare.replacing("APP", with: app).replacing("FAR", with: far)
                .replacing("LAB", with: lab.prefix)
            for line in script.split(separator: "\n") where line.hasPrefix("new ") {
                _ = try lab.namespace(String(line.dropFirst(4)))
            }
            try Lab.run(script.split(separator: "\n").filter { !$0.hasPrefix("new ") }.joined(separator: "\n"))
            var request = CaptureRequest()
            request.backEnd = backEnd
            request.state = "/tmp/\(lab.prefix)"
            change(&request)
            let sniffer = try Lab.inside(far) { try Sniffer() }
            let hosts = Hosts(app: app, far: far, lab: lab, sniffer: sniffer, request: request)
            defer { try? FileManager.default.removeItem(atPath: hosts.request.state) }
            try Lab.inside(app) { try body(hosts) }
        }
    }

    struct Hosts: Sendable {
        let app: String
        let far: String
        let lab: Lab
        /// Of the gateway.
        let sniffer: Sniffer
        let request: CaptureRequest
    }

    /// A container `LABbox` with 10.9.0.2 and 2001:db8:9::2 behind the link `c0` of the application host.
    static let container = """
        new box
        ip link add c0 netns APP type veth peer name c0 netns LABbox
        ip -n APP addr add 10.9.0.1/24 dev c0; ip -n LABbox addr add 10.9.0.2/24 dev c0
        ip -n APP addr add 2001:db8:9::1/64 dev c0 nodad; ip -n LABbox addr add 2001:db8:9::2/64 dev c0 nodad
        ip -n APP link set c0 up; ip -n LABbox link set c0 up
        ip -n LABbox route add default via 10.9.0.1; ip -n LABbox -6 route add default via 2001:db8:9::1
        ip netns exec APP sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
        ip -n APP -6 route add default via 2001:db8::1 2>/dev/null || true
        """

    /// The container is masqueraded.
    static let masquerade = """
        ip netns exec APP nft 'table inet nat { chain post { type nat hook postrouting priority 100; oifname "e0" masquerade; }; }'
        """

    /// Waits at most five seconds: neighbours may have to be asked for more than once.
    static func wait(_ condition: () -> Bool) -> Bool {
        for _ in 0..<1000 {
            if condition() { return true }
            usleep(5000)
        }
        return condition()
    }
}

extension Scene {
    /// What is left of a capture after `kill -9`: its descriptors are closed, nothing is undone.
    static func abandon(_ capture: any Capture) {
        if let link = capture as? LinkCapture { link.detach() }  // closing the descriptors is all it does
        if let route = capture as? RouteCapture { route.abandon() }
    }
}
