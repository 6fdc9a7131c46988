import Foundation
import Glibc
import Kernel
import PacketTunnel
import Testing
import Wire

/// Full mode with the least of a filter, in namespaces, with the machine's kernel.
@Suite("Full mode")
struct FullModeTests {
    static let backEnds = CaptureTests.backEnds
    static let addresses = ["198.51.100.1", "2001:db8:1::1"]

    @Test("forwards datagrams of applications", arguments: backEnds, addresses)
    func datagrams(backEnd: CaptureRequest.BackEnd, address: String) throws {
        try Scene.full(backEnd, judge: { _, _ in .forward }) { forwarder, capture, hosts in
            _ = try Application(address.contains(":") ? "[\(address)]:5300" : address + ":5300").ask("onward")
            #expect(Scene.wait { !hosts.sniffer.frames(with: "onward").isEmpty })
            let seen = forwarder.seen()
            #expect(seen.packets.keys.contains { $0.destinationPort == 5300 }, "\(seen)")
        }
    }
}
