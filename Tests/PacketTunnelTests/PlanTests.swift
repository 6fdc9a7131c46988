import Foundation
import Testing
import Wire

@testable import PacketTunnel

/// What `--dry-run` prints, on a host with the addresses of `Lab.pair`.
@Suite("Plan")
struct PlanTests {
    /// The text of the plan on a fresh host, after a script in which APP is that host.
    func plan(_ prepare: String = "", _ change: (inout CaptureRequest) -> Void) throws -> String {
        try Lab.with { lab in
            let hosts = try lab.pair()
            try Lab.run(
                "ip netns exec \(hosts.app) sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.e0.rp_filter=0\n"
                    + prepare.replacing("APP", with: hosts.app))
            var request = CaptureRequest()
            request.state = "/tmp/\(lab.prefix)"
            change(&request)
            let final = request
            return try Lab.inside(hosts.app) {
                let before = try Lab.run(CaptureTests.policy + "; ip link; ip address")
                let text = try final.plan().description
                let after = try Lab.run(CaptureTests.policy + "; ip link; ip address")
                #expect(before == after)
                #expect(!FileManager.default.fileExists(atPath: final.state))
                return text
            }
        }
    }

    static let tun = """
        ip tuntap add dev webtun0 mode tun multi_queue vnet_hdr
            undo: by itself, when webtun ends
        ip link set webtun0 mtu 1500 txqueuelen 4096 addrgenmode none
            undo: by itself, when webtun ends
        ip address add 10.1.0.1 peer 10.1.0.2 dev webtun0
            undo: by itself, when webtun ends
        ip link set webtun0 up
            undo: by itself, when webtun ends

        """
    static let tun6 = """
        ip address add fd77:6562:7475:6e00::1 peer fd77:6562:7475:6e00::2 dev webtun0 nodad
            undo: by itself, when webtun ends

        """

    @Test("of `link`: the programs and their hooks")
    func link() throws {
        let text = try plan("ip -n APP link add br0 type bridge") {
            $0.backEnd = .link
            $0.serve = ["br*"]
        }
        #expect(
            text == PlanTests.tun + PlanTests.tun6 + """
                bpftool net attach tcx_ingress name tun_ingress dev webtun0
                    undo: by itself, when webtun ends
                bpftool net attach tcx_egress name egress_ether dev e0
                    undo: by itself, when webtun ends
                bpftool net attach tcx_ingress name ingress_ether dev br0
                    undo: by itself, when webtun ends
                """)
    }

    @Test("of full mode by `link`: both directions of each link")
    func fullLink() throws {
        let text = try plan("ip -n APP link add br0 type bridge") {
            $0.backEnd = .link
            $0.mode = .full
            $0.mtu = 1400
            $0.serve = ["br*"]
        }
        #expect(
            text == (PlanTests.tun + PlanTests.tun6).replacing("mtu 1500", with: "mtu 1400") + """
                bpftool net attach tcx_ingress name full_tun_ingress dev webtun0
                    undo: by itself, when webtun ends
                bpftool net attach tcx_ingress name full_return_ether dev e0
                    undo: by itself, when webtun ends
                bpftool net attach tcx_egress name full_egress_ether dev e0
                    undo: by itself, when webtun ends
                bpftool net attach tcx_egress name full_return_ether dev br0
                    undo: by itself, when webtun ends
                bpftool net attach tcx_ingress name full_served_ether dev br0
                    undo: by itself, when webtun ends
                """)
    }

    @Test("of full mode by `route`: what the kernel needs to forward, what is left alone, what is diverted")
    func fullRoute() throws {
        let text = try plan {
            $0.backEnd = .route
            $0.mode = .full
            $0.include = [Prefix("198.51.100.0/24")!, Prefix("203.0.113.0/24")!]
            $0.exclude = [Prefix("203.0.113.128/25")!, Prefix("2001:db8:7::/48")!]
        }
        let commands = text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix(" ") }
        let rules = commands.filter { $0.hasPrefix("ip") && $0.contains("rule add priority 77") }
        func rule(_ priority: Int, _ selector: String, _ action: String, isIPv6: Bool = false) -> String {
            "ip \(isIPv6 ? "-6 " : "")rule add priority \(priority) \(selector) \(action) protocol 119"
        }
        #expect(commands.contains("sysctl net.ipv4.conf.webtun0.accept_local=1"))
        #expect(commands.contains("sysctl net.ipv6.conf.webtun0.force_forwarding=1"))
        #expect(
            rules.suffix(11) == [
                rule(774, "to 169.254.0.0/16", "goto 776"), rule(774, "to 224.0.0.0/4", "goto 776"),
                rule(774, "to 255.255.255.255/32", "goto 776"), rule(774, "to 192.0.2.0/24", "goto 776"),
                rule(774, "to 203.0.113.128/25", "goto 776"),
                rule(775, "iif lo to 198.51.100.0/24", "lookup 7774"),
                rule(775, "iif lo to 203.0.113.0/24", "lookup 7774"),
                rule(774, "to fe80::/10", "goto 776", isIPv6: true), rule(774, "to ff00::/8", "goto 776", isIPv6: true),
                rule(774, "to 2001:db8:7::/48", "goto 776", isIPv6: true),
                rule(774, "to 2001:db8::/64", "goto 776", isIPv6: true),
            ])
    }

    static let rules = """
        ip rule add priority 774 nop protocol 119
            undo: ip rule del priority 774 nop protocol 119
        ip rule add priority 770 fwmark 0x77740001 goto 774 protocol 119
            undo: ip rule del priority 770 fwmark 0x77740001 goto 774 protocol 119
        ip rule add priority 771 iif webtun0 goto 774 protocol 119
            undo: ip rule del priority 771 iif webtun0 goto 774 protocol 119
        ip rule add priority 772 ipproto udp dport 53 lookup 7774 protocol 119
            undo: ip rule del priority 772 ipproto udp dport 53 lookup 7774 protocol 119
        ip rule add priority 773 ipproto tcp dport 53 lookup 7774 protocol 119
            undo: ip rule del priority 773 ipproto tcp dport 53 lookup 7774 protocol 119
        """

    static let settings = """
        sysctl net.ipv4.conf.webtun0.rp_filter=2
            undo: by itself, when webtun ends
        sysctl net.ipv4.conf.webtun0.forwarding=1
            undo: by itself, when webtun ends

        """

    @Test("of `route`: settings, routes and rules with their undo, IPv6 last")
    func route() throws {
        let text = try plan { $0.backEnd = .route }
        #expect(
            text == PlanTests.tun + PlanTests.tun6 + PlanTests.settings + """
                ip route replace default dev webtun0 table 7774 metric 2000 protocol 119
                    undo: ip route del default dev webtun0 table 7774 metric 2000 protocol 119
                ip route replace default dev webtun0 table 7774 src 192.0.2.2 metric 1000 protocol 119
                    undo: ip route del default dev webtun0 table 7774 src 192.0.2.2 metric 1000 protocol 119
                ip -6 route replace default dev webtun0 table 7774 metric 2000 protocol 119
                    undo: ip -6 route del default dev webtun0 table 7774 metric 2000 protocol 119
                ip -6 route replace default dev webtun0 table 7774 src 2001:db8::2 metric 1000 protocol 119
                    undo: ip -6 route del default dev webtun0 table 7774 src 2001:db8::2 metric 1000 protocol 119

                """ + PlanTests.rules + "\n" + PlanTests.rules.replacing("ip rule", with: "ip -6 rule"))
    }

    @Test("of `route` where the reverse path is strict and IPv6 is off")
    func routeStrict() throws {
        let text = try plan(
            """
            ip netns exec APP sysctl -qw net.ipv4.conf.e0.rp_filter=1
            ip netns exec APP sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
            """
        ) { $0.backEnd = .route }
        #expect(!text.contains("-6 ") && !text.contains("::"), "\(text)")
        #expect(
            text.contains("sysctl net.ipv4.conf.e0.rp_filter=2\n    undo: sysctl net.ipv4.conf.e0.rp_filter=1\n"),
            "\(text)")
        #expect(text.hasSuffix(PlanTests.rules))
    }
}
