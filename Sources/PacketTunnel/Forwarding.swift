import Foundation

/// IPv6 packets that come out of the TUN are forwarded only when the machine says so: for one link by `force_forwarding` (Linux
/// 6.17), else for all of them. That makes the machine a router, and a router takes no addresses and routes from others
/// unless `accept_ra` is 2 (the kernel's ip-sysctl).
enum Forwarding {
    static func changes(_ links: [LinkTable.Link], tun: String) -> [Change] {
        let root = Change.settings
        if FileManager.default.fileExists(atPath: root + "ipv6/conf/all/force_forwarding") {
            return [.setting(path: "ipv6/conf/\(tun)/force_forwarding", value: "1")]
        }
        guard value("ipv6/conf/all/forwarding") != "1" else { return [] }
        let listeners = links.filter { !$0.isLoopback && $0.name != tun }.map { "ipv6/conf/\($0.name)/accept_ra" }
        return listeners.filter { value($0) == "1" }.map { .switching(path: $0, value: "2", old: "1") }
            + [.switching(path: "ipv6/conf/all/forwarding", value: "1", old: "0")]
    }

    private static func value(_ path: String) -> String? {
        Change.read(Change.settings + path)
    }
}
