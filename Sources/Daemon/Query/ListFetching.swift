public import Blocklist
import DNSProxy
import Kernel
import Wire

extension ListFetcher {
    /// Fetches as the daemon does: past the capture, by webtun's mark, with the names of hosts asked of the upstreams, so
    /// that no list can keep itself or another one from being updated. Without the right to set marks (CAP_NET_ADMIN) it
    /// fetches like any program.
    init(_ configuration: Configuration, upstreams: [SocketAddress]? = nil) {
        let own = configuration.tunnel.addresses
        let configured = upstreams ?? configuration.dns.upstream
        let mark = configuration.capture.mark
        self.init(mark: mark) { host in
            let servers =
                configured.isEmpty
                ? ServerDiscovery(own: ServerDiscovery.machineAddresses() + own).servers : configured
            return HostAddresses(servers: servers, mark: mark).find(host)
        }
    }

    /// With the configuration of this machine's daemon; its defaults when there is no file.
    ///
    /// - Throws: `ConfigurationError`.
    public static func ofThisMachine(file: String? = nil) throws -> ListFetcher {
        ListFetcher(try Configuration.load(file: file, overrides: []))
    }
}

/// Asks upstreams for the addresses of a host. Blocks its thread.
struct HostAddresses {
    let servers: [SocketAddress]
    let mark: UInt32

    /// IPv4 addresses first; empty when the host is an address itself, or nobody knows it.
    func find(_ host: String) -> [String] {
        guard !host.contains(":"), host.contains(where: { !"0123456789.".contains($0) }) else { return [] }
        return ["A", "AAAA"].flatMap { type in
            servers.lazy.compactMap { ask($0, host, type) }.first ?? []
        }
    }

    /// nil: no answer that says anything.
    private func ask(_ server: SocketAddress, _ host: String, _ type: String) -> [String]? {
        let id = UInt16.random(in: 0...UInt16.max)
        guard let query = try? QueryMessage.compose(name: host, type: type, id: id),
            let reply = try? QueryClient(server: server, mark: mark).ask(query, isStream: false),
            let message = MessageText(reply.message, milliseconds: 0), message.rcode == .noError
        else { return nil }
        return message.answer.filter { $0.type == type }.map(\.data)
    }
}
