import Blocklist
import DNSProxy
import Kernel
import PacketTunnel
import Wire

/// Who sends the packets: asked once for each query and each flow, when the log or a rule wants to know.
extension PacketPath {
    /// Nanoseconds that a decision waits for an owner that has to be looked up, when there are rules that depend on it.
    private static let patience: UInt64 = 10_000_000

    mutating func owner(of flow: FlowKey, _ now: UInt64) -> Owner {
        guard log.isOn || needsFlowOwner else { return .unknown }
        return owners?.owner(of: flow, now: now, patience: needsFlowOwner ? PacketPath.patience : 0) ?? .unknown
    }

    /// Whoever asked over UDP, or in a stream.
    mutating func owner(of origin: Origin) -> Owner {
        guard log.isOn || needsQueryOwner else { return .unknown }
        let flow = FlowKey(
            source: origin.client, sourcePort: origin.clientPort, destination: origin.resolver,
            destinationPort: origin.resolverPort, proto: origin.isStream ? Packet.Number.tcp : Packet.Number.udp)
        return owners?.owner(of: flow, now: origin.arrived, patience: needsQueryOwner ? PacketPath.patience : 0)
            ?? .unknown
    }

    mutating func followOwners(_ policy: PolicySnapshot) {
        needsQueryOwner = policy.needsQueryOwner
        needsFlowOwner = policy.needsFlowOwner
    }
}
