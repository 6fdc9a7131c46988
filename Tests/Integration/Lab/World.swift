import Foundation

/// A world in which webtun filters: what most tests start from.
struct World {
    let net: Internet
    let webtun: Webtun
    let daemon: Running

    var machine: Host { net.machine }

    /// Build the internet, start webtun on its machine, wait until it filters, do `body`.
    static func with(
        capture: String = "link", links: [String] = ["eth0"], serve: [String] = [], configuration: String = "",
        upstreams: [String] = [Internet.upstreamV4], extra: [String] = [],
        prepare: (Internet, Webtun) async throws -> Void = { _, _ in },
        _ body: (World) async throws -> Void
    ) async throws {
        try await Lab.with { lab in
            let net = try await Internet.open(in: lab)
            var webtun = try await Webtun.prepare(on: net.machine)
            webtun.configuration = configuration
            webtun.upstreams = upstreams
            try await prepare(net, webtun)
            let daemon = try await webtun.start(capture: capture, links: links, serve: serve, extra: extra)
            try await body(World(net: net, webtun: webtun, daemon: daemon))
            // A test may stop or kill it; nothing may make it crash.
            if let status = daemon.status, status != 0, status != 128 + SIGKILL {
                let said = "\(daemon.output.suffix(2000))\n\(daemon.errors.prefix(6000))"
                throw LabError("webtun ended with \(status):\n\(said)")
            }
        }
    }

    /// Ask the far resolver from the machine, which webtun must prevent.
    func ask(
        _ name: String, _ type: String = "A", six: Bool = false, tcp: Bool = false, timeout: Int = 2000,
        options: [String] = []
    )
        async throws -> Probe.Reply
    {
        try await Probe.ask(
            machine, server: six ? Internet.resolverV6 : Internet.resolverV4, name, type, tcp: tcp, timeout: timeout,
            options: options)
    }
}

extension Host {
    /// Everything of the network's configuration that a program could change, as text to compare.
    func networkState() async throws -> String {
        var text = ""
        for command in [
            ["ip", "-o", "link"], ["ip", "-o", "address"], ["ip", "-4", "rule"], ["ip", "-6", "rule"],
            ["ip", "-4", "route", "show", "table", "all"], ["ip", "-6", "route", "show", "table", "all"],
            ["nft", "list", "ruleset"],
            [
                "sysctl", "-a", "-r",
                #"^net\.(ipv[46]\.(ip_forward|conf\..*(forwarding|rp_filter|accept_local|src_valid_mark))|netfilter\.nf_conntrack_(acct|timestamp)$)"#,
            ],
        ] {
            text += "# \(command.joined(separator: " "))\n" + (try await must(command).text)
        }
        return text
    }
}
