import Foundation
import Kernel
import Testing
import Wire

@testable import DNSProxy

/// Discovery over directories that stand for `/`.
@Suite struct ServerDiscoveryTests {
    /// A root directory, removed in the end.
    final class Root {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("webtun-\(UUID().uuidString)").path

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func write(_ file: String, _ text: String) throws {
            let target = URL(fileURLWithPath: path + file)
            try FileManager.default.createDirectory(
                at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: target, options: .atomic)
        }

        func discovery(own: [String] = []) -> ServerDiscovery {
            ServerDiscovery(root: path, own: own.map { IPAddress($0)! })
        }
    }

    private func texts(_ discovery: ServerDiscovery) -> [String] { discovery.servers.map(\.description) }

    @Test func resolvConfInItsOrderEachServerOnce() throws {
        let root = Root()
        try root.write(
            "/etc/resolv.conf",
            """
            # nameserver 192.0.2.9
            ; nameserver 192.0.2.8
            domain example.com
            nameserver 192.0.2.2
            \tnameserver\t192.0.2.1
            nameserver 2001:db8::53
            nameserver 192.0.2.2
            options edns0
            """)
        let discovery = root.discovery()
        #expect(texts(discovery) == ["192.0.2.2:53", "192.0.2.1:53", "[2001:db8::53]:53"])
        #expect(Set(discovery.found.map(\.source)) == ["/etc/resolv.conf"])
    }

    @Test func aStubLeadsToResolved() throws {
        let root = Root()
        try root.write("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
        try root.write("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\nnameserver 127.0.0.1\n")
        try root.write("/run/systemd/netif/links/10", "ADMIN_STATE=configured\nDNS=192.0.2.1 198.51.100.4\n")
        try root.write("/run/systemd/netif/links/2", "DNS=203.0.113.1:5353#dns.example 2001:db8::1\nNTP=192.0.2.7\n")
        let discovery = root.discovery()
        #expect(
            texts(discovery) == ["192.0.2.1:53", "203.0.113.1:5353", "[2001:db8::1]:53", "198.51.100.4:53"])
        #expect(
            discovery.found.map(\.source) == [
                "/run/systemd/resolve/resolv.conf", "/run/systemd/netif/links/2", "/run/systemd/netif/links/2",
                "/run/systemd/netif/links/10",
            ])
        #expect(discovery.passed.map(\.text) == ["127.0.0.53", "127.0.0.1"])
        #expect(discovery.passed.map(\.source) == ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"])
    }

    @Test func withoutResolvedNetworkManager() throws {
        let root = Root()
        try root.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        try root.write("/run/NetworkManager/resolv.conf", "nameserver 192.0.2.2\n")
        #expect(texts(root.discovery()) == ["192.0.2.2:53"])
        try root.write("/run/NetworkManager/no-stub-resolv.conf", "nameserver 192.0.2.3\n")
        #expect(texts(root.discovery()) == ["192.0.2.3:53"])
    }

    @Test(arguments: [
        "127.0.0.53", "127.8.9.1", "::1", "0.0.0.0", "::", "10.1.0.2", "fd77:6562:7475:6e00::2", "224.0.0.251",
        "255.255.255.255", "ff02::fb", "fe80::1",
    ])
    func whatWouldLoopOrCannotBe(server: String) throws {
        let root = Root()
        try root.write("/etc/resolv.conf", "nameserver \(server)\n")
        let discovery = root.discovery(own: ["10.1.0.2", "fd77:6562:7475:6e00::2"])
        #expect(discovery.servers.isEmpty)
        #expect(discovery.passed.count == 1)
        #expect(discovery.passed.first?.reason.isEmpty == false)
    }

    @Test func aWordThatIsNoAddressIsToldNotTaken() throws {
        let root = Root()
        try root.write("/etc/resolv.conf", "nameserver dns.example\nnameserver\nnameserver 192.0.2.1 # office\n")
        let discovery = root.discovery()
        #expect(texts(discovery) == ["192.0.2.1:53"])
        #expect(
            discovery.passed == [
                .init(text: "dns.example", source: "/etc/resolv.conf", reason: "no IP address", isStub: false)
            ])
    }

    @Test func aLinkLocalServerHasItsLink() throws {
        let root = Root()
        try root.write("/etc/resolv.conf", "nameserver fe80::1%lo\nnameserver fe80::2%7\n")
        #expect(root.discovery().servers.map(\.scope) == [1, 7])
        try root.write("/etc/resolv.conf", "nameserver 127.0.0.53\n")
        try root.write("/run/systemd/netif/links/5", "DNS=fe80::3 192.0.2.1\n")
        #expect(root.discovery().servers.map(\.scope) == [5, 0], "the file's name is the interface index")
        #expect(ServerDiscovery.parse("[fe80::4%9]:5353#name")?.scope == 9)
        #expect(ServerDiscovery.parse("[fe80::4%9]:5353#name")?.port == 5353)
    }

    @Test func pollTellsWhatChanged() throws {
        let root = Root()
        var discovery = root.discovery()
        #expect(discovery.servers.isEmpty)
        #expect(discovery.poll() == nil)
        try root.write("/etc/resolv.conf", "nameserver 192.0.2.1\n")
        #expect(discovery.poll()?.map(\.description) == ["192.0.2.1:53"])
        #expect(discovery.poll() == nil)
        try root.write("/etc/resolv.conf", "# by hand\nnameserver 192.0.2.1\n")
        #expect(discovery.poll() == nil, "another file with the same servers")
        try root.write("/etc/resolv.conf", "nameserver 127.0.0.53\n")
        #expect(discovery.poll() == [])
        try root.write("/run/systemd/netif/links/2", "DNS=192.0.2.4\n")
        #expect(discovery.poll()?.map(\.description) == ["192.0.2.4:53"])
        try root.write("/run/systemd/netif/links/2", "DNS=192.0.2.5\n")
        #expect(discovery.poll()?.map(\.description) == ["192.0.2.5:53"])
    }

    @Test func theMachinesAddressesAreItsOwn() throws {
        try inNamespace {
            #expect(ServerDiscovery.machineAddresses().contains(IPAddress("127.0.0.1")!))
        }
        let server = SocketAddress(IPAddress("192.0.2.1")!, port: 53)
        #expect(ServerDiscovery.refusal(of: server, own: [server.address]) != nil)
        #expect(ServerDiscovery.refusal(of: server, own: []) == nil)
    }
}
