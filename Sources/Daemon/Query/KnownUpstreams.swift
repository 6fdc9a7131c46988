import DNSProxy
public import Kernel

extension Configuration {
    /// The upstreams that a webtun of this configuration asks, found without one running: those configured, else the
    /// machine's own.
    public var knownUpstreams: [SocketAddress] {
        guard dns.upstream.isEmpty else { return dns.upstream }
        return ServerDiscovery(own: ServerDiscovery.machineAddresses() + tunnel.addresses).servers
    }
}
