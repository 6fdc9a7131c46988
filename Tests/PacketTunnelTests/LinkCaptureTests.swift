import Foundation
import Glibc
import Kernel
import PacketTunnel
import Testing
import Wire

@Suite("LinkCapture")
struct LinkCaptureTests {
    /// Every way to ask, both families and transports.
    static let applications: [Application] = ["198.51.100.1", "2001:db8:1::1"].flatMap { address in
        [false, true].flatMap { isTCP in
            [0, 1, 2, 3].map { way in
                var application = Application(address)
                application.isTCP = isTCP
                switch way {
                case 1: application.connected = true
                case 2: application.source = IPAddress(application.address.address.isIPv6 ? "2001:db8::2" : "192.0.2.2")
                case 3: application.device = "e0"
                default: break
                }
                return application
            }
        }
    }

    @Test("takes queries of every kind of socket and brings the answers back", arguments: [0, 1, 2])
    func answers(rpFilter: Int) throws {
        let lab = Lab()
        let (app, _) = try lab.pair()
        try Lab.run("ip netns exec \(app) sysctl -qw net.ipv4.conf.all.rp_filter=\(rpFilter)")
        try Lab.inside(app) {
            let request = CaptureRequest()
            let tun = try TunDevice(request)
            let capture = try LinkCapture(request, tun: tun)
            var peer = Peer(tun)
            try capture.attach()
            defer { capture.detach() }
            #expect(capture.state.isCapturing)
            #expect(capture.state.links.map(\.name) == ["e0"])
            for application in LinkCaptureTests.applications {
                let query = try application.ask()
                #expect(peer.answer(1) == 1, "captured: \(application)")
                #expect(query.answered(), "answered: \(application)")
            }
            #expect(capture.counters.captured >= 16, "\(capture.counters)")
            #expect(capture.counters.local == 0, "\(capture.counters)")
            #expect(capture.counters.errors == 0)
        }
    }
}
