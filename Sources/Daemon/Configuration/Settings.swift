import Export
import Kernel
import QueryLog
import Wire

extension Configuration {
    /// Every key, in the order of `etc/webtun.toml`.
    public static let settings: [Setting] = [
        .choice("capture.backend", \.capture.backend),
        .choice("capture.mode", \.capture.mode),
        .links("capture.links", \.capture.links),
        .links("capture.serve", \.capture.serve),
        .integer("capture.mark", \.capture.mark, 1...UInt32.max, hexadecimal: true),
        .integer("capture.table", \.capture.table, 1...UInt32.max),
        .choice("capture.fail", \.capture.fail),

        .text(
            "tunnel.name", \.tunnel.name, wanted: "the name of a link, at most 15 characters",
            parse: { LinkName.isValid($0) && !$0.contains("%") ? $0 : nil }, print: \.self),
        .address("tunnel.address", \.tunnel.address, isIPv6: false),
        .address("tunnel.peer", \.tunnel.peer, isIPv6: false),
        .address("tunnel.address6", \.tunnel.address6, isIPv6: true),
        .address("tunnel.peer6", \.tunnel.peer6, isIPv6: true),
        .integer("tunnel.mtu", \.tunnel.mtu, 0...65_535),
        .flag("tunnel.offloads", \.tunnel.offloads),
        .prefixes("tunnel.include", \.tunnel.include),
        .prefixes("tunnel.exclude", \.tunnel.exclude),
        .flag("tunnel.exclude_local", \.tunnel.excludesLocal),

        .choice("flows.default", \.flows.standard),
        .choice("flows.drop", \.flows.drop),
        .integer("flows.capacity", \.flows.capacity, 1024...1_048_575),
        .flag("flows.fast_path", \.flows.fastPath),

        .texts(
            "dns.upstream", \.dns.upstream, wanted: "an address with or without port, like \"192.0.2.53:53\"",
            parse: {
                guard let server = SocketAddress($0, defaultPort: 53), !server.address.isUnspecified,
                    !server.address.isMulticastOrBroadcast
                else { return nil }
                return server
            }, print: { $0.port == 53 ? $0.host : $0.description }),
        .choice("dns.blocking_mode", \.dns.blockingMode),
        .texts(
            "dns.blocking_addresses", \.dns.blockingAddresses, wanted: "an IPv4 or IPv6 address",
            parse: { IPAddress($0) }, print: \.description),
        .integer("dns.blocking_ttl", \.dns.blockingTTL, 0...604_800),
        .integer("dns.cache_bytes", \.dns.cacheBytes, 65_536...(4 << 30)),
        .integer("dns.max_ttl", \.dns.maxTTL, 0...604_800),
        .integer("dns.max_negative_ttl", \.dns.maxNegativeTTL, 0...86_400),
        .integer("dns.listener_port", \.dns.listenerPort, 1...65_535),
        .integer("dns.tcp_idle_seconds", \.dns.tcpIdleSeconds, 1...3600),
        .integer("dns.tcp_connections", \.dns.tcpConnections, 1...65_536),

        .flag("log.enabled", \.log.enabled),
        .integer("log.ring_bytes", \.log.ringBytes, 65_536...(1 << 30)),
        .integer("log.waiting_bytes", \.log.waitingBytes, 1_048_576...(4 << 30)),
        .text(
            "log.max_age", \.log.maxAge, wanted: "a time like \"12h\" or \"90d\", or \"0\" for no limit",
            parse: { $0 == "0" ? 0 : Seconds.parse($0) }, print: { $0 == 0 ? "0" : Seconds.print($0) }),
        .text(
            "log.max_blocked_age", \.log.maxBlockedAge,
            wanted: "a time like \"30d\" or \"1000d\", or \"0\" for the same as log.max_age",
            parse: { $0 == "0" ? 0 : Seconds.parse($0) }, print: { $0 == 0 ? "0" : Seconds.print($0) }),
        .integer("log.max_bytes", \.log.maxBytes, 0...(1 << 50)),
        .integer("log.max_rows", \.log.maxRows, 0...(1 << 50)),
        .choice("log.privacy", \.log.privacy),
        .integer("log.client_prefix", \.log.clientPrefix, 0...32),
        .integer("log.client_prefix6", \.log.clientPrefix6, 0...128),

        .text(
            "owners.cgroup", \.owners.cgroup, wanted: "\"auto\", \"none\" or the directory of a cgroup",
            parse: { ["auto", "none"].contains($0) || $0.hasPrefix("/") && !$0.contains("\0") ? $0 : nil },
            print: \.self),

        .text(
            "metrics.listen", \.metrics.listen, wanted: "an address and port like \"127.0.0.1:9953\", or \"\" for none",
            parse: { text in
                if text.isEmpty { return .some(nil) }
                guard let address = SocketAddress(text, defaultPort: 1), !address.address.isMulticastOrBroadcast,
                    address.port != 1 || text.hasSuffix(":1")
                else { return nil }
                return address
            }, print: { $0?.description ?? "" }),

        .text(
            "dnstap.to", \.dnstap.to,
            wanted: "\"unix:/path\" or \"tcp:address:port\", or \"\" for none",
            parse: { text in
                if text.isEmpty { return .some(nil) }
                guard let endpoint = Endpoint(text) else { return nil }
                if case .udp = endpoint { return nil }
                return endpoint
            }, print: { $0?.description ?? "" }),
        .flag("dnstap.queries", \.dnstap.queries),
        .text(
            "dnstap.identity", \.dnstap.identity, wanted: "a name of at most 255 bytes, or \"\" for that of the host",
            parse: { $0.utf8.count < 256 && !$0.contains("\0") ? $0 : nil }, print: \.self),

        .text(
            "events.to", \.events.to,
            wanted: "\"stderr\", \"syslog\", \"journal\", \"unix:/path\" or \"udp:address:port\"",
            parse: { text in
                switch text {
                case "stderr": return .some(nil)
                case "syslog": return .localSyslog
                case "journal": return .localJournal
                default:
                    guard let endpoint = Endpoint(text) else { return nil }
                    if case .tcp = endpoint { return nil }
                    return .syslog(endpoint)
                }
            }, print: { $0?.description ?? "stderr" }),
        .choice("events.queries", \.events.queries),

        .text(
            "lists.starter", \.lists.starter, wanted: "the name of a directory, or \"\" for none",
            parse: { $0.contains("\0") ? nil : $0 }, print: \.self),
    ]

    /// The keys that take effect when a running webtun reads its configuration anew; the others do at the next start.
    public static let reloadable: Set<String> = [
        "capture.fail", "capture.links", "capture.serve", "dns.upstream", "dns.blocking_mode",
        "dns.blocking_addresses", "dns.blocking_ttl", "dns.cache_bytes", "dns.max_ttl", "dns.max_negative_ttl",
        "flows.default", "flows.drop", "log.max_age", "log.max_blocked_age", "log.max_bytes", "log.max_rows",
        "tunnel.exclude", "tunnel.include",
    ]

    /// Takes the values that a running webtun can follow from another configuration.
    ///
    /// - Returns: the keys whose values differ: those taken, and those left.
    mutating func follow(_ new: Configuration) -> (taken: Set<String>, left: [String]) {
        var taken: Set<String> = []
        var left: [String] = []
        for setting in Configuration.settings where setting.value(new) != setting.value(self) {
            if Configuration.reloadable.contains(setting.key) {
                let problem = set(setting, to: setting.value(new), from: new.origin(of: setting.key))
                precondition(problem == nil, "\(setting.key) does not take its own value")
                taken.insert(setting.key)
            } else {
                left.append(setting.key)
            }
        }
        return (taken, left)
    }

    static let settingsByKey = Dictionary(uniqueKeysWithValues: settings.map { ($0.key, $0) })
    static let tables = Set(settings.map { String($0.key.prefix { $0 != "." }) })

    /// What does not go together, each as the key to blame and the reason.
    func conflicts() -> [(key: String, reason: String)] {
        var found: [(String, String)] = []
        if tunnel.address == tunnel.peer { found.append(("tunnel.peer", "must differ from tunnel.address")) }
        if tunnel.address6 == tunnel.peer6 { found.append(("tunnel.peer6", "must differ from tunnel.address6")) }
        // IPv6 needs 1280 (RFC 8200, section 5).
        if tunnel.mtu != 0 && tunnel.mtu < 1280 {
            found.append(("tunnel.mtu", "must be 1280 to 65535, or 0 for that of the links, not \(tunnel.mtu)"))
        }
        if dns.blockingMode == .custom && dns.blockingAddresses.isEmpty {
            found.append(("dns.blocking_mode", "\"custom\" needs dns.blocking_addresses"))
        }
        if dns.blockingMode != .custom && !dns.blockingAddresses.isEmpty {
            found.append(("dns.blocking_addresses", "needs dns.blocking_mode = \"custom\""))
        }
        for isIPv6 in [false, true] where dns.blockingAddresses.count(where: { $0.isIPv6 == isIPv6 }) > 1 {
            found.append(("dns.blocking_addresses", "takes at most one \(isIPv6 ? "IPv6" : "IPv4") address"))
        }
        if log.maxBlockedAge != 0 && (log.maxAge == 0 || log.maxBlockedAge < log.maxAge) {
            found.append(("log.max_blocked_age", "must be longer than log.max_age"))
        }
        if events.to == nil && events.queries != .none {
            found.append(("events.queries", "needs events.to = \"syslog\", \"journal\" or a socket"))
        }
        for server in dns.upstream
        where [tunnel.address, tunnel.peer, tunnel.address6, tunnel.peer6].contains(server.address) {
            found.append(("dns.upstream", "\(server.address) is webtun's own address"))
        }
        for link in capture.serve where capture.links.contains(link) {
            found.append(("capture.serve", "\"\(link)\" is in capture.links too"))
        }
        for (key, links) in [("capture.links", capture.links), ("capture.serve", capture.serve)] {
            if links.contains(tunnel.name) { found.append((key, "\"\(tunnel.name)\" is webtun's own device")) }
            if links.contains("lo") { found.append((key, "the loopback link cannot be captured")) }
        }
        return found.map { (key: $0.0, reason: $0.1) }
    }
}
