import ContentFilter
public import DNSProxy
import Kernel
import PacketTunnel
import QueryLog
import Wire

/// The configuration as each room wants it.
extension Configuration {
    func captureRequest(state: String) -> CaptureRequest {
        var request = CaptureRequest()
        request.backEnd =
            switch capture.backend {
            case .auto: .auto
            case .link: .link
            case .route: .route
            }
        request.links = capture.links
        request.serve = capture.serve
        request.tun = tunnel.name
        request.mtu = tunnel.mtu == 0 ? nil : tunnel.mtu
        request.offloads = tunnel.offloads
        request.mode =
            switch capture.mode {
            case .dns: .dns
            case .full: .full
            }
        request.include = tunnel.include
        request.exclude = tunnel.exclude
        request.excludesLocalNetworks = tunnel.excludesLocal
        request.fastPath = flows.fastPath
        request.flowCapacity = flows.capacity
        request.addresses.near4 = tunnel.address
        request.addresses.far4 = tunnel.peer
        request.addresses.near6 = tunnel.address6
        request.addresses.far6 = tunnel.peer6
        request.mark = capture.mark
        request.table = capture.table
        request.state = state
        return request
    }

    func loopSettings(engine: SettingsBook, servers: [SocketAddress]) -> LoopSettings {
        var settings = LoopSettings(
            engine: engine, servers: servers, mark: capture.mark, near4: tunnel.address, far4: tunnel.peer,
            near6: tunnel.address6, far6: tunnel.peer6, listenerPort: dns.listenerPort, streams: dns.tcpConnections,
            streamIdleSeconds: Int(dns.tcpIdleSeconds))
        settings.flows.mode = capture.mode == .full ? .judge : .forward
        settings.flows.defaults = flows.defaults
        settings.flows.capacity = Int(flows.capacity)
        return settings
    }

    /// How queries are answered.
    public var engineSettings: EngineSettings {
        EngineSettings(
            blocking: blocking, cacheBytes: dns.cacheBytes,
            limits: Admission.Limits(positive: dns.maxTTL, negative: dns.maxNegativeTTL))
    }

    private var blocking: Blocking {
        let mode: Blocking.Mode =
            switch dns.blockingMode {
            case .null: .null
            case .nxdomain: .nxdomain
            case .nodata: .nodata
            case .refused: .refused
            case .custom: .custom
            }
        return Blocking(mode: mode, ttl: dns.blockingTTL, addresses: dns.blockingAddresses)
    }
}

extension Configuration {
    /// Refuses servers whose own questions would come back to webtun.
    ///
    /// - Parameter machine: the addresses of this machine.
    func checkUpstreams(machine: [IPAddress]) throws(ConfigurationError) {
        let place = origin(of: "dns.upstream")
        let problems = dns.upstream.compactMap { server -> ConfigurationError.Problem? in
            guard let reason = ServerDiscovery.refusal(of: server, own: machine) else { return nil }
            return .init(
                place: place.description, key: place.key("dns.upstream"), reason: "\(server.address): \(reason)")
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
    }
}

extension Configuration.Tunnel {
    var addresses: [IPAddress] { [address, peer, address6, peer6] }
}

extension Configuration.Flows {
    var defaults: FlowDefaults {
        var defaults = FlowDefaults()
        defaults.drops = standard == .deny
        defaults.isSilent = drop == .silent
        return defaults
    }
}

extension Configuration.Log {
    var limits: QueryLogLimits {
        QueryLogLimits(
            maximumAge: maxAge == 0 ? nil : Int64(maxAge) * 1_000_000,
            maximumBytes: maxBytes == 0 ? nil : Int64(maxBytes), maximumRows: maxRows == 0 ? nil : Int64(maxRows),
            maximumBlockedAge: maxBlockedAge == 0 ? nil : Int64(maxBlockedAge) * 1_000_000)
    }

    /// How the log's writer works.
    var options: QueryLogWriter.Options {
        var options = QueryLogWriter.Options()
        options.limits = limits
        options.privacy.level = privacy
        options.privacy.prefix4 = Int(clientPrefix)
        options.privacy.prefix6 = Int(clientPrefix6)
        options.waitingBytes = waitingBytes
        return options
    }
}

extension Configuration.Owners {
    var source: PacketTunnel.Owners.Cgroup {
        switch cgroup {
        case "auto": .auto
        case "none": .none
        default: .path(cgroup)
        }
    }
}
